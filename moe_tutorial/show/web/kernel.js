// A kernel that a widget talks to: who waits longer than it should is told so, and a kernel that was restarted, or died,
// knows the widget no more, and JupyterLab refuses what is still sent to it.
export const GONE = "The kernel is gone: it was restarted, or it died. Run this cell again.";
export const WAITING = "Waiting for the kernel: training stands still while a cell runs.";
const ENDS = ["restarting", "autorestarting", "starting", "dead"]; // JupyterLab's words for a kernel that is not the one it was

// late(): nothing came in time. lost(): nothing will come any more.
export function watchKernel(model, { late, lost }) {
  const kernel = model.widget_manager?.kernel;
  let timer = 0;
  const watch = {
    gone: false,
    // An answer has to come within so many ms.
    expect(ms) {
      clearTimeout(timer);
      timer = setTimeout(late, ms);
    },
    heard: () => clearTimeout(timer),
    post(message, buffers) {
      if (watch.gone) return;
      try {
        model.send(message, undefined, buffers);
      } catch {
        lose();
      }
    },
    dispose() {
      clearTimeout(timer);
      kernel?.statusChanged.disconnect(changed);
    },
  };
  function lose() {
    watch.gone = true;
    clearTimeout(timer);
    lost();
  }
  const changed = (_, now) => ENDS.includes(now) && lose();
  kernel?.statusChanged.connect(changed);
  return watch;
}
