// @ts-check
// Small networks with one hidden layer and ReLU: the experts of a mixture, or the leaves of a tree.
import { checkPlace, crossEntropy, each, largest } from "../common.js";

/** @typedef {ReturnType<typeof makeExperts>} Experts */

/** E networks of H neurons. An output is stored at a given place, because a mixture stores only those of the chosen
 * experts.
 * @param {import("../common.js").Arrays} params w_in (E, H, 2), b_in (E, H), w_out (E, H, C), b_out (E, C)
 * @param {import("../common.js").Arrays} grads gradients of the same sizes
 * @param {import("../experiment/data.js").Data} data
 * @param {{ E: number, H: number, name: string }} sizes and the name of one, for errors */
export function makeExperts(params, grads, { x: X, y: Y, classes, extent }, { E, H, name }) {
  // The functions below copy what they read into local constants: once a second model exists, V8 reads these faster
  // than variables of the enclosing function.
  const net = {
    H,
    C: classes,
    fired: new Int32Array(E * H), // at each place: the active neurons, their values, and their number
    values: new Float64Array(E * H),
    counts: new Int32Array(E),
    answers: new Float64Array(E * classes),
    scores: new Float64Array(classes),
    dScores: new Float64Array(classes),
    dAnswer: new Float64Array(classes),
  };

  /** Compute expert e's output for one point, and store it at a place.
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

  /** Compute the weighted sum of the outputs of k experts, in `scores`. `list` and `weights` hold the experts and their
   * weights from index `at`; the outputs are stored at the places 0 to k - 1.
   * @param {number} x0 @param {number} x1 @param {Int32Array} list @param {Float64Array} weights @param {number} at
   * @param {number} k */
  function mix(x0, x1, list, weights, at, k) {
    const { C, answers, scores } = net;
    for (let o = 0; o < C; o++) scores[o] = 0; // a loop is faster than fill() for so few numbers
    for (let c = 0; c < k; c++) {
      const weight = weights[at + c];
      ask(list[at + c], x0, x1, c);
      for (let o = 0; o < C; o++) scores[o] += weight * answers[c * C + o];
    }
  }

  /** The gradient of the loss with respect to the weights of the k outputs, in `worth` from index `at`.
   * @param {Float64Array} dScores its gradient with respect to the scores @param {number} k @param {Float64Array} worth
   * @param {number} at */
  function weigh(dScores, k, worth, at) {
    const { C, answers } = net;
    for (let c = 0; c < k; c++) {
      let sum = 0;
      for (let o = 0; o < C; o++) sum += dScores[o] * answers[c * C + o];
      worth[at + c] = sum;
    }
  }

  /** Forward and backward pass for training point i, one of T: adds to `grads`, and sets `worth` to the gradient with
   * respect to the weights. Returns the cross-entropy.
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

  /** The class that one network predicts for a point. @param {number} e @param {number} x0 @param {number} x1 */
  function says(e, x0, x1) {
    ask(e, x0, x1, 0);
    return largest(net.answers, 0, classes);
  }
  /** The classes that it predicts over the plane, row by row from the top.
   * @param {number} e @param {number} resolution */
  function partPlane(e, resolution) {
    checkPlace(name, e, E);
    const said = new Uint8Array(resolution * resolution);
    each(extent, resolution, (x0, x1, at) => (said[at] = says(e, x0, x1)));
    return said;
  }
  return { answers: net.answers, scores: net.scores, ask, mix, weigh, learnFrom, says, partPlane };
}
