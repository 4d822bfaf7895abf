// @ts-check
// The connection to the kernel: it sends clicks and slider moves, and receives frames. Drawn frames are acknowledged at
// most five times a second, because a message costs JupyterLab more time than a drawing. Without acknowledgements the
// kernel stops sending frames, and pauses.

const GONE = "The kernel is gone: it was restarted, or it died. Run this cell again.";
const LATE = "Waiting for the kernel: training stands still while a cell runs.";
const ENDS = ["restarting", "autorestarting", "starting", "dead"]; // JupyterLab's names for a kernel that has lost its state
const TELL = 200; // ms between two acknowledgements
const ANSWER = 800; // ms until an answer is late
const FRAME = 1500; // ms until a frame is late during training

/** @param {any} model @param {boolean} live whether a kernel answers the widget
 * @param {(words: string) => void} complain called when an answer is late, and when the kernel is gone */
export function connect(model, live, complain) {
  const kernel = live ? model.widget_manager.kernel : null;
  let due = 0;
  let telling = 0;
  let gone = false;

  function expect(ms) {
    clearTimeout(due);
    due = setTimeout(complain, ms, LATE);
  }
  function post(message, buffers) {
    if (gone) return;
    try {
      model.send(message, undefined, buffers);
    } catch {
      lose(); // JupyterLab refuses messages to a kernel that does not know this widget
    }
  }
  function lose() {
    gone = true;
    clearTimeout(due);
    clearTimeout(telling);
    complain(GONE);
  }
  const checkStatus = (_, status) => {
    if (ENDS.includes(status)) lose();
  };
  kernel?.statusChanged.connect(checkStatus);

  return {
    live,
    gone: () => gone,
    /** @param {object} message @param {ArrayBuffer[]} [buffers] */
    send(message, buffers) {
      if (gone || !kernel) return;
      expect(ANSWER);
      post(message, buffers);
    },
    /** Acknowledge the frames drawn so far.
     * @param {() => number} newest the number of the newest one @param {boolean} running */
    drawn(newest, running) {
      clearTimeout(due);
      if (running) expect(FRAME);
      if (!kernel || gone) return;
      const tell = () => {
        telling = 0;
        post({ seen: newest() });
      };
      telling ||= setTimeout(tell, running ? TELL : 0);
    },
    close() {
      kernel?.statusChanged.disconnect(checkStatus);
      clearTimeout(due);
      clearTimeout(telling);
    },
  };
}
