// @ts-check
// The common interface of the engines, this page and the kernel, and of their frames.

/**
 * @typedef {Object} Engine
 * @property {(begun: import("../experiment/run.js").Begun, steps: number, more?: { point?: number,
 *   goal?: (seen: any) => boolean }) => void} begin a new experiment, and train some steps
 * @property {(step: number) => void} run at its pace up to a step; Infinity: without end
 * @property {(perSecond: number) => void} pace steps a second; 0: as fast as it can
 * @property {() => void} pause
 * @property {() => void} step
 * @property {(step: number) => void} [seek] go to a step of this run
 * @property {() => void} reset
 * @property {(partial: Record<string, any>) => void} change some settings
 * @property {(point: number) => void} inspect another point
 * @property {(part: number, out: boolean) => void} knock
 * @property {(visible: boolean) => void} show
 * @property {() => void} dispose
 */

/**
 * The measurements at one step, and functions for further ones. A part is an expert, or a tree's leaf.
 * @typedef {Object} Frame
 * @property {"browser" | "kernel"} engine
 * @property {Record<string, any>} settings all of the kind's, with its name as `layer`
 * @property {import("../experiment/data.js").Data & { drawn?: number }} data
 * @property {number} step
 * @property {import("../experiment/run.js").Run} [run] its initial state and changes, if the engine records them
 * @property {boolean} running by itself
 * @property {boolean} busy running, or on its way to a step
 * @property {boolean} settled no other frame will follow by itself
 * @property {boolean} hurried a slider moves
 * @property {boolean} [still] it cannot go on: it was recorded, or the kernel is gone
 * @property {string} error
 * @property {number} serial of the last change that has been made
 * @property {number} speed steps a second
 * @property {Record<string, any>} recent the last steps: steps, task, shares, and what the kind adds
 * @property {Record<string, any>} now evaluated: shares, dead, entropy, nmi, largest, and what the kind adds
 * @property {Record<string, any>[]} history rows like `recent`, each of a step
 * @property {boolean[]} knocked for each part; empty if none can be knocked out
 * @property {number} point index of the inspected one
 * @property {Record<string, any>} inspected
 * @property {string[] | null} can the settings of a learner's own layer in the kernel; null for a layer of the page's
 * @property {(n: number) => Plane} plane with about n grid points along a side
 * @property {((part: number, n: number) => Uint8Array) | null} partPlane the classes that a part would predict; null if unknown
 */
/** @typedef {{ n: number, owner: Uint8Array, confidence: Float32Array, predicted: Uint8Array }} Plane */

export const PACES = [10, 60, 300, 0]; // steps a second to choose from; 0: as fast as it can
export const CATCH_UP = 500; // maximum number of steps that a new start trains to catch up with the old run

/** Training steps per second, measured over the last second. */
export function makeSpeed() {
  /** @type {[number, number][]} */
  let marks = [];
  return {
    restart: () => void (marks = []),
    /** @param {number} step */
    mark(step) {
      marks.push([performance.now(), step]);
      while (marks.length > 2 && marks[0][0] < performance.now() - 1000) marks.shift();
    },
    now() {
      if (marks.length < 2) return 0;
      const [from, to] = [marks[0], marks[marks.length - 1]];
      return (1000 * (to[1] - from[1])) / Math.max(1, to[0] - from[0]);
    },
  };
}
