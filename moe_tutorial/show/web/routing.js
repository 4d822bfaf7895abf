// A router's choice, computed in the page from its logits.
// A byte holds the square root of how far a logit lies below the best one.
import { sum } from "./words.js";

export function unpack(codes, span) {
  const below = Float32Array.from({ length: 256 }, (_, q) => -span * (q / 255) ** 2);
  return Float32Array.from(codes, (q) => below[q]);
}
// One point's routing: probabilities of all experts, the k chosen ones (best first), and their gate weights.
export function route(logits, at, E, { k, temperature = 1, softmaxFirst = true }) {
  const z = Array.from(logits.subarray(at, at + E));
  const chosen = z
    .map((_, e) => e)
    .sort((a, b) => z[b] - z[a] || a - b)
    .slice(0, k);
  const raw = z.map((v) => Math.exp((v - z[chosen[0]]) / temperature));
  const total = sum(raw);
  const picked = softmaxFirst ? total : sum(chosen.map((e) => raw[e]));
  return { probs: raw.map((v) => v / total), chosen, weights: chosen.map((e) => raw[e] / picked) };
}
// Each expert's part of all choices.
export function sharesOf(logits, n, E, k) {
  const shares = Array(E).fill(0);
  for (let i = 0; i < n; i++) for (const e of route(logits, i * E, E, { k }).chosen) shares[e] += 1 / (n * k);
  return shares;
}
// The plane as n * n pixels: logits interpolated between the grid's places, then routed.
// owner: the most-weighted expert; set: the chosen ones as bits; depth: the owner's gate weight.
export function cut(logits, G, E, n, { k, temperature = 1, softmaxFirst = true }) {
  const owner = new Uint8Array(n * n),
    set = new Uint16Array(n * n),
    depth = new Float32Array(n * n);
  const row = new Float64Array(G * E),
    z = new Float64Array(E),
    order = new Uint8Array(k);
  for (let j = 0; j < n; j++) {
    const v = (j / (n - 1)) * (G - 1),
      j0 = Math.min(G - 2, v | 0),
      b = v - j0;
    for (let i = 0, at = j0 * G * E; i < G * E; i++, at++) row[i] = logits[at] * (1 - b) + logits[at + G * E] * b;
    for (let i = 0; i < n; i++) {
      const u = (i / (n - 1)) * (G - 1),
        i0 = Math.min(G - 2, u | 0),
        a = u - i0,
        at = i0 * E,
        p = j * n + i;
      for (let e = 0, filled = 0; e < E; e++) {
        const value = (z[e] = row[at + e] * (1 - a) + row[at + E + e] * a);
        if (filled === k && value <= z[order[k - 1]]) continue;
        let c = filled < k ? filled++ : k - 1; // insert e among the best k so far
        for (; c > 0 && z[order[c - 1]] < value; c--) order[c] = order[c - 1];
        order[c] = e;
      }
      const top = z[order[0]];
      let total = 0,
        bits = 0;
      for (let c = 0; c < k; c++) bits |= 1 << order[c];
      for (let e = 0; e < E; e++) {
        const x = (z[e] - top) / temperature;
        if (x > -9 && (softmaxFirst || (bits >> e) & 1)) total += Math.exp(x);
      }
      owner[p] = order[0];
      set[p] = bits;
      depth[p] = 1 / total;
    }
  }
  return { owner, set, depth, n };
}
