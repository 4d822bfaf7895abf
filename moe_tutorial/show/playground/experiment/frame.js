// @ts-check
// The interface of the engine and of its frames.

/**
 * @typedef {Object} Engine
 * @property {(begun: import("./run.js").Begun, steps: number, more?: { point?: number,
 *   goal?: (seen: any) => boolean }) => void} begin a new experiment, and train some steps
 * @property {() => Record<string, any>} settings the present ones, with the kind's name as `layer`
 * @property {(step: number) => void} run at its pace up to a step; Infinity: without end
 * @property {(perSecond: number) => void} pace steps a second; 0: as fast as it can
 * @property {() => void} pause
 * @property {() => void} step
 * @property {(step: number) => void} seek go to a step of this run
 * @property {(partial: Record<string, any>) => boolean} change some settings; returns whether the run begins again
 * @property {(point: number) => void} inspect another point
 * @property {(part: number, out: boolean) => void} knock
 * @property {(visible: boolean) => void} show
 * @property {() => void} dispose
 */

/**
 * The measurements at one step, and functions for further ones. A part is an expert, or a tree's leaf.
 * @typedef {Object} Frame
 * @property {Record<string, any>} settings all of the kind's, with its name as `layer`
 * @property {import("./data.js").Data & { drawn?: number }} data
 * @property {number} step
 * @property {import("./run.js").Run} run its initial state and changes
 * @property {boolean} busy running, or on its way to a step
 * @property {boolean} settled no other frame will follow by itself
 * @property {boolean} hurried a slider moves
 * @property {string} error
 * @property {number} serial of the last change that has been made
 * @property {number} speed steps a second
 * @property {Record<string, any>} recent the last steps: steps, task, shares, and what the kind adds
 * @property {Record<string, any>} now evaluated: shares, dead, entropy, nmi, largest, and what the kind adds
 * @property {Record<string, any>[]} history rows like `recent`, each of a step
 * @property {boolean[]} knocked for each part; empty if none can be knocked out
 * @property {number} point index of the inspected one
 * @property {Record<string, any>} inspected
 * @property {(n: number) => Plane} plane with about n grid points along a side
 * @property {(part: number, n: number) => Uint8Array} partPlane the classes that a part would predict
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
