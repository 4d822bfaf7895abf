// @ts-check
// Small networks side by side, each with one hidden layer of ReLU: a mixture's experts, and a tree's leaves.
import { checkPlace, crossEntropy, each, largest } from "../common.js";

/** @typedef {ReturnType<typeof makeExperts>} Experts */

/** E networks of H neurons. Their answers stand at places, since a mixture keeps only those of the chosen.
 * @param {import("../common.js").Arrays} params w_in (E, H, 2), b_in (E, H), w_out (E, H, C), b_out (E, C)
 * @param {import("../common.js").Arrays} grads of the same sizes
 * @param {import("../experiment/data.js").Data} data
 * @param {{ E: number, H: number, name: string }} sizes and what one is called */
export function makeExperts(params, grads, { x: X, y: Y, classes, extent }, { E, H, name }) {
  // Each function below begins by naming what it reads, since V8 is faster with a function's own constants than with those
  // of a function around it, once there has been more than one model.
  const net = {
    H,
    C: classes,
    fired: new Int32Array(E * H), // by place: the neurons above 0, their values, and how many they are
    values: new Float64Array(E * H),
    counts: new Int32Array(E),
    answers: new Float64Array(E * classes),
    scores: new Float64Array(classes),
    dScores: new Float64Array(classes),
    dAnswer: new Float64Array(classes),
  };

  /** Expert e's answer to one point, at this place.
   * @param {number} e @param {number} x0 @param {number} x1 @param {number} place */
  function ask(e, x0, x1, place) {
    const { H, C, fired, values, counts, answers } = net;
    const { w_in, b_in, w_out, b_out } = params;
    const first = place * H;
    let end = first;
    for (let j = e * H; j < (e + 1) * H; j++) {
      const value = w_in[2 * j] * x0 + w_in[2 * j + 1] * x1 + b_in[j];
      if (value <= 0) continue;
      fired[end] = j;
      values[end] = value;
      end++;
    }
    counts[place] = end - first;
    for (let o = 0; o < C; o++) {
      let sum = b_out[e * C + o];
      for (let n = first; n < end; n++) sum += values[n] * w_out[fired[n] * C + o];
      answers[place * C + o] = sum;
    }
  }

  /** The answers of k experts, each times its weight: their sum, in `scores`. Which experts stands in `list` from `at`, what
   * they count in `weights`; their own answers stand at the places from 0.
   * @param {number} x0 @param {number} x1 @param {Int32Array} list @param {Float64Array} weights @param {number} at
   * @param {number} k */
  function mix(x0, x1, list, weights, at, k) {
    const { C, answers, scores } = net;
    for (let o = 0; o < C; o++) scores[o] = 0; // on so few numbers a loop is faster than fill()
    for (let c = 0; c < k; c++) {
      const weight = weights[at + c];
      ask(list[at + c], x0, x1, c);
      for (let o = 0; o < C; o++) scores[o] += weight * answers[c * C + o];
    }
  }

  /** How much the loss gains by more of each of these k answers: in `worth`, from `at`.
   * @param {Float64Array} dScores the loss's gradient for the scores @param {number} k @param {Float64Array} worth
   * @param {number} at */
  function weigh(dScores, k, worth, at) {
    const { C, answers } = net;
    for (let c = 0; c < k; c++) {
      let sum = 0;
      for (let o = 0; o < C; o++) sum += dScores[o] * answers[c * C + o];
      worth[at + c] = sum;
    }
  }

  /** Mixes for training point i, one of T, and adds to the gradients; `worth` becomes the loss's gradient for the weights.
   * Returns the cross-entropy.
   * @param {number} i @param {number} T @param {Int32Array} list @param {Float64Array} weights @param {number} at
   * @param {number} k @param {Float64Array} worth */
  function learnFrom(i, T, list, weights, at, k, worth) {
    const { H, C, fired, values, counts, scores, dScores, dAnswer } = net;
    const { w_out } = params;
    const { w_in: w_inBack, b_in: b_inBack, w_out: w_outBack, b_out: b_outBack } = grads;
    const x0 = X[2 * i];
    const x1 = X[2 * i + 1];
    mix(x0, x1, list, weights, at, k);
    const loss = crossEntropy(scores, Y[i], 1 / T, dScores);
    weigh(dScores, k, worth, at);
    for (let c = 0; c < k; c++) {
      const e = list[at + c];
      const weight = weights[at + c];
      for (let o = 0; o < C; o++) {
        dAnswer[o] = weight * dScores[o];
        b_outBack[e * C + o] += dAnswer[o];
      }
      const end = c * H + counts[c];
      for (let n = c * H; n < end; n++) {
        const j = fired[n];
        const value = values[n];
        let back = 0;
        for (let o = 0; o < C; o++) {
          w_outBack[j * C + o] += value * dAnswer[o];
          back += w_out[j * C + o] * dAnswer[o];
        }
        w_inBack[2 * j] += back * x0;
        w_inBack[2 * j + 1] += back * x1;
        b_inBack[j] += back;
      }
    }
    return loss;
  }

  /** The class that one of them says at a place. @param {number} e @param {number} x0 @param {number} x1 */
  function says(e, x0, x1) {
    ask(e, x0, x1, 0);
    return largest(net.answers, 0, classes);
  }
  /** And all over the plane, row by row from the top. @param {number} e @param {number} resolution */
  function partPlane(e, resolution) {
    checkPlace(name, e, E);
    const said = new Uint8Array(resolution * resolution);
    each(extent, resolution, (x0, x1, at) => (said[at] = says(e, x0, x1)));
    return said;
  }
  return { answers: net.answers, scores: net.scores, ask, mix, weigh, learnFrom, says, partPlane };
}
