// @ts-check
// The router of a mixture: the routing of a batch, and the backward pass from the weights and probabilities of the
// experts to the router's weight.
import { makeRouting } from "../../web/routing.js";

/** @typedef {ReturnType<typeof makeRouter>} Router */
/** @typedef {{ list: Int32Array, weighed: Float64Array, ranked: Float64Array, clean: Float64Array }} ByPoint (T, E):
 *   the chosen experts, best first; their weights; the probabilities that the weights came from; the probabilities
 *   without noise */
/** @typedef {ByPoint & import("./balance.js").Batch} Routed the routing of a batch, by point and summed up */

/** @param {number} E
 * @param {import("../common.js").Arrays} params weight (E, 2)
 * @param {Float64Array} direction (2) of the hash */
export function makeRouter(E, params, direction) {
  const { weight } = params;
  const routing = makeRouting(E, direction);
  const { mode, out, logits, probs, noisyProbs, chosen, weights } = routing;
  const dLogits = new Float64Array(E);

  /** Routes a place; the other parameters are those of makeRouting's route.
   * @param {number} x0 @param {number} x1 @param {boolean} [all] @param {number} [std]
   * @param {Float64Array} [draws] @param {number} [at] */
  function route(x0, x1, all, std, draws, at) {
    if (mode.gate === "hash") return routing.routeByHash(x0, x1);
    for (let e = 0; e < E; e++) logits[e] = out[e] ? -Infinity : weight[2 * e] * x0 + weight[2 * e + 1] * x1;
    routing.route(all, std, draws, at);
  }

  /** Routes a batch. `means`: whether to compute `clean` and `meanProbs`.
   * @param {Float64Array} X points @param {Int32Array} rows indices of the batch's points
   * @param {number} std of the noise @param {Float64Array} draws standard normal numbers (T, E)
   * @param {Routed} into @param {boolean} means */
  function routeBatch(X, rows, std, draws, into, means) {
    const { list, weighed, ranked, clean, counts, importance, meanProbs } = into;
    const { gate, k } = mode;
    const n = E; // loops read locals faster
    const T = rows.length;
    const noisy = std > 0 && gate !== "hash";
    const p = noisy ? noisyProbs : probs;
    counts.fill(0);
    importance.fill(0);
    meanProbs.fill(0);
    for (let t = 0, at = 0; t < T; t++, at += n) {
      route(X[2 * rows[t]], X[2 * rows[t] + 1], means && !noisy, std, draws, at);
      for (let c = 0; c < k; c++) {
        const e = chosen[c];
        list[at + c] = e;
        weighed[at + c] = weights[c];
        counts[e]++;
        importance[e] += weights[c];
      }
      if (gate === "softmax_topk") for (let e = 0; e < n; e++) ranked[at + e] = p[e];
      if (!means) continue;
      if (noisy) routing.probabilities(logits, probs);
      let sum = gate === "sigmoid_topk" ? 0 : 1;
      if (gate === "sigmoid_topk") for (let e = 0; e < n; e++) sum += probs[e];
      for (let e = 0; e < n; e++) {
        clean[at + e] = probs[e];
        meanProbs[e] += probs[e] / (sum * T);
      }
    }
  }

  /** The backward pass through the gate: sets dLogits from the gradient of the chosen experts' weights.
   * @param {Float64Array} dWeights @param {Int32Array} list the chosen experts
   * @param {Float64Array} given their weights @param {Float64Array} p the probabilities that the weights came from
   * @param {number} at the point's index in all four */
  function throughGate(dWeights, list, given, p, at) {
    const into = dLogits;
    const { gate, k } = mode;
    const softmaxFirst = gate === "softmax_topk";
    if (!softmaxFirst) for (let e = 0; e < into.length; e++) into[e] = 0;
    if (gate === "hash") return;
    if (gate === "sigmoid_topk") {
      for (let c = 0; c < k; c++) into[list[at + c]] = dWeights[at + c] * given[at + c] * (1 - given[at + c]);
      return;
    }
    let sum = 0;
    for (let c = 0; c < k; c++) sum += dWeights[at + c] * given[at + c];
    if (softmaxFirst) for (let e = 0; e < into.length; e++) into[e] = -p[at + e] * sum;
    for (let c = 0; c < k; c++)
      into[list[at + c]] += given[at + c] * (softmaxFirst ? dWeights[at + c] : dWeights[at + c] - sum);
  }

  /** Adds to dLogits the backward pass through the probabilities, divided by their sum.
   * @param {Float64Array} pull (E) the gradient @param {Float64Array} p the probabilities, from index `at`
   * @param {number} at */
  function throughProbabilities(pull, p, at) {
    const into = dLogits;
    const n = E;
    let sum = 0;
    let mean = 0;
    for (let e = 0; e < n; e++) {
      sum += p[at + e];
      mean += pull[e] * p[at + e];
    }
    mean /= sum;
    for (let e = 0; e < n; e++)
      into[e] += ((pull[e] - mean) / sum) * p[at + e] * (mode.gate === "sigmoid_topk" ? 1 - p[at + e] : 1);
  }

  /** Adds the gradient of a batch to that of the router's weight.
   * @param {Float64Array} X @param {Int32Array} rows @param {Float64Array} dWeights (T, E) @param {Routed} routed
   * @param {Float64Array | null} pull (E) the gradient of each point's probabilities
   * @param {Float64Array} into (E, 2) */
  function learnBatch(X, rows, dWeights, { list, weighed, ranked, clean }, pull, into) {
    if (mode.gate === "hash") return;
    const d = dLogits;
    const n = E;
    const T = rows.length;
    for (let t = 0, at = 0; t < T; t++, at += n) {
      const x0 = X[2 * rows[t]];
      const x1 = X[2 * rows[t] + 1];
      throughGate(dWeights, list, weighed, ranked, at);
      if (pull) throughProbabilities(pull, clean, at);
      for (let e = 0; e < n; e++) {
        into[2 * e] += d[e] * x0;
        into[2 * e + 1] += d[e] * x1;
      }
    }
  }

  return { ...routing, route, routeBatch, throughGate, learnBatch, dLogits };
}
