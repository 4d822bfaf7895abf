// @ts-check
// The line to the kernel: clicks and slider moves go out, frames come in. The newest frame that was drawn is
// acknowledged five times a second, no oftener, since JupyterLab spends more on each message than the drawing takes.
// Without it the kernel soon sends no other frame, and pauses.

export const GONE = "The kernel is gone: it was restarted, or it died. Run this cell again.";
const LATE = "Waiting for the kernel: training stands still while a cell runs.";
const ENDS = ["restarting", "autorestarting", "starting", "dead"]; // JupyterLab's words for a kernel that is not the one it was
const TELL = 200; // ms between two acknowledgements
const ANSWER = 800; // ms in which an answer is due,
const FRAME = 1500; // and a frame while it trains

/** @param {any} model @param {(words: string) => void} complain called when the kernel takes longer than it should, and when
 * it is gone for good */
export function connect(model, complain) {
  const kernel = model.widget_manager?.kernel;
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
      lose(); // JupyterLab refuses what is sent to a kernel that knows this widget no more
    }
  }
  function lose() {
    gone = true;
    clearTimeout(due);
    clearTimeout(telling);
    complain(GONE);
  }
  const watch = (_, status) => {
    if (ENDS.includes(status)) lose();
  };
  kernel?.statusChanged.connect(watch);

  return {
    live: !!kernel,
    gone: () => gone,
    /** @param {object} message @param {ArrayBuffer[]} [buffers] */
    send(message, buffers) {
      if (gone) return;
      expect(ANSWER);
      post(message, buffers);
    },
    /** A frame was drawn.
     * @param {() => number} newest the number of the last one @param {boolean} running */
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
      kernel?.statusChanged.disconnect(watch);
      clearTimeout(due);
      clearTimeout(telling);
    },
  };
}
