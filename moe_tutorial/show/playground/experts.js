// @ts-check
// Small networks side by side, each with one hidden layer of ReLU: a mixture's experts, and a tree's leaves.

import { crossEntropy } from "./common.js";

/** @typedef {ReturnType<typeof makeExperts>} Experts */

/** E networks of H neurons, C classes. Answers stand at places, since a mixture keeps only those of the chosen.
 * @param {import("./common.js").Arrays} params w_in (E, H, 2), b_in (E, H), w_out (E, H, C), b_out (E, C)
 * @param {import("./common.js").Arrays} grads of the same sizes
 * @param {{ E: number, H: number, C: number }} sizes */
export function makeExperts(params, grads, sizes) {
  // Constants, not arguments: the loops are a fifth faster for it.
  const { E, H, C } = sizes;
  const { w_in, b_in, w_out, b_out } = params;
  const { w_in: w_inBack, b_in: b_inBack, w_out: w_outBack, b_out: b_outBack } = grads;
  const neurons = new Float64Array(E * H);
  const answers = new Float64Array(E * C);
  const scores = new Float64Array(C);
  const dScores = new Float64Array(C);
  const dAnswer = new Float64Array(C);

  /** Expert e's answer to one point, at this place.
   * @param {number} e @param {number} x0 @param {number} x1 @param {number} place */
  function ask(e, x0, x1, place) {
    const a = place * C;
    const n = place * H;
    for (let o = 0; o < C; o++) answers[a + o] = b_out[e * C + o];
    for (let h = 0; h < H; h++) {
      const j = e * H + h;
      const value = w_in[2 * j] * x0 + w_in[2 * j + 1] * x1 + b_in[j];
      neurons[n + h] = value > 0 ? value : 0;
      if (value > 0) for (let o = 0; o < C; o++) answers[a + o] += value * w_out[j * C + o];
    }
  }

  /** The answers of k experts, each times its weight: their sum, in `scores`. Which experts stands in `list` from `at`, what
   * they count in `weights`; their own answers stand at the places from 0.
   * @param {number} x0 @param {number} x1 @param {Int32Array} list @param {Float64Array} weights @param {number} at
   * @param {number} k */
  function mix(x0, x1, list, weights, at, k) {
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
    for (let c = 0; c < k; c++) {
      let sum = 0;
      for (let o = 0; o < C; o++) sum += dScores[o] * answers[c * C + o];
      worth[at + c] = sum;
    }
  }

  /** Adds to the gradients of the experts that were mixed, from the same arguments.
   * @param {number} x0 @param {number} x1 @param {Int32Array} list @param {Float64Array} weights @param {number} at
   * @param {number} k @param {Float64Array} dScores */
  function learnFrom(x0, x1, list, weights, at, k, dScores) {
    for (let c = 0; c < k; c++) {
      const e = list[at + c];
      for (let o = 0; o < C; o++) {
        dAnswer[o] = weights[at + c] * dScores[o];
        b_outBack[e * C + o] += dAnswer[o];
      }
      for (let h = 0; h < H; h++) {
        const value = neurons[c * H + h];
        if (value <= 0) continue;
        const j = e * H + h;
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
  }

  /** Cross-entropy of a batch, on average. Adds to the gradients; `dWeights` becomes the loss's gradient for the weights.
   * @param {import("./data.js").Data} data @param {Int32Array} rows which of its points @param {Int32Array} list (T, E)
   * @param {Float64Array} weights (T, E) @param {number} k how many count @param {Float64Array} dWeights (T, E) */
  function learnBatch({ x: X, y: Y }, rows, list, weights, k, dWeights) {
    const T = rows.length;
    let loss = 0;
    for (let t = 0, at = 0; t < T; t++, at += E) {
      const i = rows[t];
      const x0 = X[2 * i];
      const x1 = X[2 * i + 1];
      mix(x0, x1, list, weights, at, k);
      loss += crossEntropy(scores, Y[i], 1 / T, dScores) / T;
      weigh(dScores, k, dWeights, at);
      learnFrom(x0, x1, list, weights, at, k, dScores);
    }
    return loss;
  }
  return { answers, scores, ask, mix, weigh, learnFrom, learnBatch };
}
