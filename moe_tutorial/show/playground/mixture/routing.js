// @ts-check
// Who is asked: a point's logits, probabilities, ranking, the k experts that rank highest and their weights, and the way
// back from these weights to the logits. What it computes is what moe_tutorial/layers/routing.py computes.
import { choose } from "../../web/routing.js";
import { SETTINGS } from "../experiment/experiment.js";

const GATES = Object.keys(SETTINGS.gate.choices ?? {});
const [SOFTMAX_FIRST, TOPK_FIRST, SIGMOID, HASH] = GATES.map((_, i) => i);
const HASH_STEPS = 10000; // HashRouter's

/** @typedef {ReturnType<typeof makeRouter>} Router */
/** @typedef {{ list: Int32Array, weighed: Float64Array, ranked: Float64Array, clean: Float64Array }} ByPoint (T, E): the
 *   chosen, best first; their weights; the probabilities that these came from; the probabilities without noise */
/** @typedef {ByPoint & import("./balance.js").Batch} Routed a batch's routing, also summed up */

/** @param {Float64Array} logits @param {Float64Array} into */
function softmax(logits, into) {
  const n = logits.length;
  let top = -Infinity;
  let sum = 0;
  for (let e = 0; e < n; e++) if (logits[e] > top) top = logits[e];
  for (let e = 0; e < n; e++) sum += into[e] = Math.exp(logits[e] - top);
  for (let e = 0; e < n; e++) into[e] /= sum;
}

/** @param {Float64Array} logits @param {Float64Array} into */
function sigmoid(logits, into) {
  for (let e = 0; e < logits.length; e++) into[e] = 1 / (1 + Math.exp(-logits[e]));
}

/** Of the chosen alone. @param {Float64Array} logits @param {Int32Array} chosen @param {number} k @param {Float64Array} into */
function softmaxOf(logits, chosen, k, into) {
  let top = -Infinity;
  let sum = 0;
  for (let c = 0; c < k; c++) if (logits[chosen[c]] > top) top = logits[chosen[c]];
  for (let c = 0; c < k; c++) sum += into[c] = Math.exp(logits[chosen[c]] - top);
  for (let c = 0; c < k; c++) into[c] /= sum;
}

/** The routing of one point at a time: after `route` it stands in z, probs, chosen and weights.
 * @param {number} E
 * @param {import("../common.js").Arrays} params weight (E, 2)
 * @param {Float64Array} direction (2) of the hash */
export function makeRouter(E, params, direction) {
  const { weight } = params;
  const bias = new Float64Array(E); // on the choice
  const out = new Uint8Array(E); // who is knocked out
  const z = new Float64Array(E); // clean logits
  const probs = new Float64Array(E); // of these
  const zNoisy = new Float64Array(E);
  const noisyProbs = new Float64Array(E);
  const rank = new Float64Array(E);
  const chosen = new Int32Array(E); // the first k count
  const weights = new Float64Array(E);
  const dLogits = new Float64Array(E);
  // What may change; loops read it, and the arrays, as constants of their own functions (as in experts.js).
  let gate = 0;
  let k = 1;
  let alive = E;
  let biased = false;

  /** @param {import("../experiment/experiment.js").Settings} settings */
  function set(settings) {
    gate = GATES.indexOf(settings.gate);
    biased = settings.balance === "bias";
    if (!biased) bias.fill(0);
    alive = E - out.reduce((a, b) => a + b);
    k = Math.min(settings.k, alive);
  }

  /** @param {number} x0 @param {number} x1 */
  function readLogits(x0, x1) {
    for (let e = 0; e < z.length; e++) z[e] = out[e] ? -Infinity : weight[2 * e] * x0 + weight[2 * e + 1] * x1;
  }

  /** @param {Float64Array} logits @param {Float64Array} into */
  const probabilities = (logits, into) => (gate === SIGMOID ? sigmoid(logits, into) : softmax(logits, into));

  /** What a choice with a bias goes by. Without one, probabilities rank as their logits do.
   * @param {Float64Array} values */
  function readRanking(values) {
    for (let e = 0; e < E; e++) rank[e] = out[e] ? -Infinity : values[e] + bias[e];
    return rank;
  }

  /** A choice that learns nothing: fine steps along a direction, modulo E. The next experts follow; who is out is passed
   * over. @param {number} x0 @param {number} x1 */
  function hash(x0, x1) {
    const steps = Math.round(x0 * (HASH_STEPS * direction[0])) + Math.round(x1 * (HASH_STEPS * direction[1]));
    z.fill(0);
    probs.fill(0);
    for (let e = ((steps % E) + E) % E, c = 0; c < k; e = (e + 1) % E) {
      if (out[e]) continue;
      probs[e] = weights[c] = 1 / k;
      chosen[c++] = e;
    }
  }

  /** A point's routing; z stays without noise. `all`: whether probs are read, also where the gate needs none of them.
   * @param {number} x0 @param {number} x1 @param {boolean} [all] @param {number} [std] of the noise
   * @param {Float64Array} [draws] of it, standard normal, from `at` @param {number} [at] */
  function route(x0, x1, all = true, std = 0, draws = z, at = 0) {
    if (gate === HASH) return hash(x0, x1);
    const noisy = std > 0;
    const logits = noisy ? zNoisy : z;
    const p = noisy ? noisyProbs : probs;
    readLogits(x0, x1);
    if (noisy) for (let e = 0; e < E; e++) zNoisy[e] = z[e] + std * draws[at + e];
    if (all || gate !== TOPK_FIRST) probabilities(logits, p);
    choose(biased ? readRanking(gate === TOPK_FIRST ? logits : p) : logits, k, chosen);
    if (gate === TOPK_FIRST) softmaxOf(logits, chosen, k, weights);
    else for (let c = 0; c < k; c++) weights[c] = p[chosen[c]];
  }

  /** Routes a batch: (T, E), of which the first k count, and the sums. `means`: whether anybody asks for `clean` and
   * `meanProbs`. @param {Float64Array} X points @param {Int32Array} rows which of them @param {number} std of the noise
   * @param {Float64Array} draws standard normal, (T, E) @param {Routed} into @param {boolean} means */
  function routeBatch(X, rows, std, draws, into, means) {
    const { list, weighed, ranked, clean, counts, importance, meanProbs } = into;
    const n = E;
    const picks = k;
    const T = rows.length;
    const noisy = std > 0 && gate !== HASH;
    const p = noisy ? noisyProbs : probs;
    counts.fill(0);
    importance.fill(0);
    meanProbs.fill(0);
    for (let t = 0, at = 0; t < T; t++, at += n) {
      route(X[2 * rows[t]], X[2 * rows[t] + 1], means && !noisy, noisy ? std : 0, draws, at);
      for (let c = 0; c < picks; c++) {
        const e = chosen[c];
        list[at + c] = e;
        weighed[at + c] = weights[c];
        counts[e]++;
        importance[e] += weights[c];
      }
      if (gate === SOFTMAX_FIRST) for (let e = 0; e < n; e++) ranked[at + e] = p[e];
      if (!means) continue;
      if (noisy) probabilities(z, probs);
      let sum = gate === SIGMOID ? 0 : 1;
      if (gate === SIGMOID) for (let e = 0; e < n; e++) sum += probs[e];
      for (let e = 0; e < n; e++) {
        clean[at + e] = probs[e];
        meanProbs[e] += probs[e] / (sum * T);
      }
    }
  }

  /** dLogits, from the gradient for the weights of the chosen: through the gate. The choice stands in `list` from `at`,
   * its weights in `given`, and the probabilities that it came from in `p`.
   * @param {Float64Array} dWeights from `at` too @param {Int32Array} list @param {Float64Array} given @param {Float64Array} p
   * @param {number} at */
  function throughGate(dWeights, list, given, p, at) {
    const into = dLogits;
    const picks = k;
    const softmaxFirst = gate === SOFTMAX_FIRST;
    if (!softmaxFirst) for (let e = 0; e < into.length; e++) into[e] = 0;
    if (gate === HASH) return;
    if (gate === SIGMOID) {
      for (let c = 0; c < picks; c++) into[list[at + c]] = dWeights[at + c] * given[at + c] * (1 - given[at + c]);
      return;
    }
    let sum = 0;
    for (let c = 0; c < picks; c++) sum += dWeights[at + c] * given[at + c];
    if (softmaxFirst) for (let e = 0; e < into.length; e++) into[e] = -p[at + e] * sum;
    for (let c = 0; c < picks; c++)
      into[list[at + c]] += given[at + c] * (softmaxFirst ? dWeights[at + c] : dWeights[at + c] - sum);
  }

  /** Adds to dLogits: from a gradient for the probabilities (made to sum to 1), which stand in `p` from `at`.
   * @param {Float64Array} pull (E) @param {Float64Array} p @param {number} at */
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
      into[e] += ((pull[e] - mean) / sum) * p[at + e] * (gate === SIGMOID ? 1 - p[at + e] : 1);
  }

  /** Adds to the gradient of the router's weight, from the gradients for a batch's weights and, with `pull`, for each
   * expert's probability, of every point.
   * @param {Float64Array} X @param {Int32Array} rows @param {Float64Array} dWeights (T, E) @param {Routed} routed
   * @param {Float64Array | null} pull (E) @param {Float64Array} into (E, 2) */
  function learnBatch(X, rows, dWeights, { list, weighed, ranked, clean }, pull, into) {
    if (gate === HASH) return;
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

  return {
    set,
    route,
    routeBatch,
    throughGate,
    learnBatch,
    bias,
    out,
    z,
    probs,
    chosen,
    weights,
    dLogits,
    k: () => k,
    alive: () => alive,
  };
}
