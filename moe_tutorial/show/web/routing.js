// @ts-check
// The forward pass of a router: from a point's logits to the chosen experts and their weights. It computes what
// moe_tutorial/layers/routing.py computes.

const HASH_STEPS = 10000; // of HashRouter

/** @typedef {{ k?: number, gate?: string, balance?: string }} Choice of the playground's settings */

/** The softmax of the first n values. @param {Float64Array} values @param {number} n @param {Float64Array} into */
function softmax(values, n, into) {
  let top = -Infinity;
  let total = 0;
  for (let i = 0; i < n; i++) if (values[i] > top) top = values[i];
  for (let i = 0; i < n; i++) total += into[i] = Math.exp(values[i] - top);
  for (let i = 0; i < n; i++) into[i] /= total;
}

/** @param {Float64Array} values @param {Float64Array} into */
function sigmoid(values, into) {
  for (let i = 0; i < values.length; i++) into[i] = 1 / (1 + Math.exp(-values[i]));
}

/** The indices of the k largest values, in descending order. Of equal values, the one with the lower index comes first.
 * @param {Float64Array} values @param {number} k @param {Int32Array} indices */
function topK(values, k, indices) {
  for (let i = 0, filled = 0; i < values.length; i++) {
    const value = values[i];
    if (filled === k && value <= values[indices[k - 1]]) continue;
    let c = filled < k ? filled++ : k - 1;
    for (; c > 0 && values[indices[c - 1]] < value; c--) indices[c] = indices[c - 1];
    indices[c] = i;
  }
}

/** Routes one point at a time. The arrays are allocated once, because a training step must not allocate.
 * @param {number} E @param {Float64Array} [direction] (2) of the hash */
export function makeRouting(E, direction = new Float64Array(2)) {
  const bias = new Float64Array(E); // added to the ranking
  const out = new Uint8Array(E); // 1 if the expert is knocked out
  const logits = new Float64Array(E); // without noise; -Infinity if the expert is knocked out
  const probs = new Float64Array(E); // of these
  const noisyLogits = new Float64Array(E);
  const noisyProbs = new Float64Array(E);
  const ranking = new Float64Array(E);
  const chosen = new Int32Array(E); // the first k entries are valid
  const weights = new Float64Array(E); // of the chosen experts
  const mode = { gate: "softmax_topk", k: 1, alive: E, biased: false };

  /** @param {Choice} choice */
  function set({ gate = "softmax_topk", k, balance }) {
    const alive = E - out.reduce((a, b) => a + b);
    Object.assign(mode, { gate, k: Math.min(k, alive), alive, biased: balance === "bias" });
    if (!mode.biased) bias.fill(0);
  }

  /** @param {Float64Array} from logits @param {Float64Array} into */
  const probabilities = (from, into) => (mode.gate === "sigmoid_topk" ? sigmoid(from, into) : softmax(from, E, into));

  /** Routes the point whose logits are in `logits`.
   * @param {boolean} [all] whether to compute the probabilities even if the gate does not use them
   * @param {number} [std] standard deviation of the noise
   * @param {Float64Array} [draws] standard normal numbers for the noise, from index `at` @param {number} [at] */
  function route(all = true, std = 0, draws = logits, at = 0) {
    const { gate, k, biased } = mode;
    const noisy = std > 0;
    const from = noisy ? noisyLogits : logits;
    const p = noisy ? noisyProbs : probs;
    if (noisy) for (let e = 0; e < E; e++) noisyLogits[e] = logits[e] + std * draws[at + e];
    if (gate === "topk_softmax") {
      if (all) softmax(from, E, p);
      topK(biased ? withBias(from) : from, k, chosen);
      for (let c = 0; c < k; c++) weights[c] = from[chosen[c]];
      softmax(weights, k, weights);
    } else {
      probabilities(from, p);
      topK(biased ? withBias(p) : from, k, chosen); // probabilities rank as their logits do
      for (let c = 0; c < k; c++) weights[c] = p[chosen[c]];
    }
  }

  /** @param {Float64Array} scores */
  function withBias(scores) {
    for (let e = 0; e < E; e++) ranking[e] = out[e] ? -Infinity : scores[e] + bias[e];
    return ranking;
  }

  /** Routes a point by a hash of its place, without learning: fine steps along the direction, modulo E, give the first
   * expert, and the next ones follow. Experts that are knocked out are skipped.
   * @param {number} x0 @param {number} x1 */
  function routeByHash(x0, x1) {
    const { k } = mode;
    const steps = Math.round(x0 * (HASH_STEPS * direction[0])) + Math.round(x1 * (HASH_STEPS * direction[1]));
    logits.fill(0);
    probs.fill(0);
    for (let e = ((steps % E) + E) % E, c = 0; c < k; e = (e + 1) % E) {
      if (out[e]) continue;
      probs[e] = weights[c] = 1 / k;
      chosen[c++] = e;
    }
  }

  return { mode, set, bias, out, logits, probs, noisyProbs, chosen, weights, probabilities, route, routeByHash };
}

/** The routing of N points: of each one the probabilities of all experts, the k chosen ones (best first) and their
 * weights.
 * @param {Float32Array} logits (N, E) @param {number} E @param {Choice} choice @param {number} temperature */
export function routeAll(logits, E, choice, temperature) {
  const routing = makeRouting(E);
  routing.set(choice);
  return Array.from({ length: logits.length / E }, (_, i) => {
    for (let e = 0; e < E; e++) routing.logits[e] = logits[i * E + e] / temperature;
    routing.route();
    const { probs, chosen, weights } = routing;
    const [first, second] = [chosen, weights].map((values) => Array.from(values.subarray(0, choice.k)));
    return { probs: Array.from(probs), chosen: first, weights: second };
  });
}

/** The plane as n * n pixels: logits interpolated between the grid's places, then routed.
 * owner: the most-weighted expert; set: the chosen ones as bits; depth: the owner's weight, from a softmax that leaves
 * out terms below exp(-9), since a slider redraws 160,000 pixels at each move.
 * @param {Float32Array} logits (G * G, E), rows from the top @param {number} G @param {number} E
 * @param {number} n @param {Choice} choice @param {number} [temperature] */
export function cut(logits, G, E, n, { k, gate = "softmax_topk" }, temperature = 1) {
  const owner = new Uint8Array(n * n);
  const set = new Uint16Array(n * n);
  const depth = new Float32Array(n * n);
  const row = new Float64Array(G * E);
  const z = new Float64Array(E);
  const order = new Int32Array(k);
  for (let j = 0; j < n; j++) {
    const v = (j / (n - 1)) * (G - 1);
    const j0 = Math.min(G - 2, Math.floor(v));
    const b = v - j0;
    for (let i = 0, at = j0 * G * E; i < G * E; i++, at++) row[i] = logits[at] * (1 - b) + logits[at + G * E] * b;
    for (let i = 0; i < n; i++) {
      const u = (i / (n - 1)) * (G - 1);
      const i0 = Math.min(G - 2, Math.floor(u));
      const a = u - i0;
      for (let e = 0; e < E; e++) z[e] = row[i0 * E + e] * (1 - a) + row[i0 * E + E + e] * a;
      topK(z, k, order);
      let bits = 0;
      for (let c = 0; c < k; c++) bits |= 1 << order[c];
      let total = 0;
      for (let e = 0; e < E; e++) {
        const x = (z[e] - z[order[0]]) / temperature;
        if (x > -9 && (gate === "softmax_topk" || (bits >> e) & 1)) total += Math.exp(x);
      }
      const p = j * n + i;
      owner[p] = order[0];
      set[p] = bits;
      depth[p] = 1 / total;
    }
  }
  return { owner, set, depth, n };
}
