// @ts-check
// A router's choice, computed in the page from its logits.
import { sum } from "./words.js";

/** @typedef {{ k: number, temperature?: number, softmaxFirst?: boolean }} Choice */

/** The k that rank highest, best first. @param {Float64Array} rank @param {number} k @param {Int32Array} chosen */
export function choose(rank, k, chosen) {
  for (let e = 0, filled = 0; e < rank.length; e++) {
    const value = rank[e];
    if (filled === k && value <= rank[chosen[k - 1]]) continue;
    let c = filled < k ? filled++ : k - 1;
    for (; c > 0 && rank[chosen[c - 1]] < value; c--) chosen[c] = chosen[c - 1];
    chosen[c] = e;
  }
}

/** One point's routing: probabilities of all experts, the k chosen ones (best first), and their gate weights.
 * @param {Float32Array} logits @param {number} at @param {number} E @param {Choice} choice */
export function route(logits, at, E, { k, temperature = 1, softmaxFirst = true }) {
  const z = Array.from(logits.subarray(at, at + E));
  const ranked = z.map((_, e) => e).sort((a, b) => z[b] - z[a] || a - b);
  const chosen = ranked.slice(0, k);
  const raw = z.map((v) => Math.exp((v - z[chosen[0]]) / temperature));
  const total = sum(raw);
  const picked = softmaxFirst ? total : sum(chosen.map((e) => raw[e]));
  return { probs: raw.map((v) => v / total), chosen, weights: chosen.map((e) => raw[e] / picked) };
}

/** The plane as n * n pixels: logits interpolated between the grid's places, then routed.
 * owner: the most-weighted expert; set: the chosen ones as bits; depth: the owner's gate weight.
 * @param {Float32Array} logits (G * G, E), rows from the top @param {number} G @param {number} E
 * @param {number} n @param {Choice} choice */
export function cut(logits, G, E, n, { k, temperature = 1, softmaxFirst = true }) {
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
      choose(z, k, order);
      let bits = 0;
      for (let c = 0; c < k; c++) bits |= 1 << order[c];
      let total = 0;
      for (let e = 0; e < E; e++) {
        const x = (z[e] - z[order[0]]) / temperature;
        if (x > -9 && (softmaxFirst || (bits >> e) & 1)) total += Math.exp(x);
      }
      const p = j * n + i;
      owner[p] = order[0];
      set[p] = bits;
      depth[p] = 1 / total;
    }
  }
  return { owner, set, depth, n };
}
