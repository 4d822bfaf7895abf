// Train the runs with which a changed run is compared at equal steps: without the change, and with it from the start.
import { makeRun } from "./run.js";

const SLICE = 6; // ms of training at a time

/** Train runs to a step in the background, and then call done() with them. One request at a time.
 * @param {(key: string, runs: import("./run.js").Run[]) => void} done */
export function makeBaseline(done) {
  let asked = "";
  let handle = 0;

  function work(key, runs, steps) {
    const end = performance.now() + SLICE;
    for (const run of runs)
      while (run.model.step < steps && performance.now() < end) run.train(Math.min(16, steps - run.model.step));
    if (runs.every((run) => run.model.step >= steps)) return done(key, runs);
    handle = setTimeout(work, 0, key, runs, steps);
  }
  return {
    /** @param {string} key of the request; the same request is not repeated @param {import("./run.js").Begun[]} begun
     * @param {import("./data.js").Data} data @param {number} steps */
    ask(key, begun, data, steps) {
      if (key === asked) return;
      clearTimeout(handle);
      asked = key;
      const runs = begun.map((one) => makeRun(one, data));
      handle = setTimeout(work, 0, key, runs, steps);
    },
    stop: () => clearTimeout(handle),
  };
}
