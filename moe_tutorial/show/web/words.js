// @ts-check
// Texts for numbers and shares.

export const DEAD = 0.01; // an expert with a smaller share of the choices is dead; DEAD_BELOW in study/usage.py

/** A share in per cent, as `percent` in widgets/cards.py writes it. @param {number} share */
export const percent = (share) => `${(100 * share).toFixed(share >= 0.0005 && share < 0.1 ? 1 : 0)}\u00a0%`;
/** A share as text: "out" if the expert is knocked out, "dead" below DEAD, else in per cent.
 * @param {number} share @param {boolean} [out] */
export function useWords(share, out) {
  if (out) return "out";
  return share < DEAD ? "dead" : percent(share);
}
/** @param {number[]} values */
export const sum = (values) => values.reduce((a, b) => a + b, 0);
/** @param {number} n */
export const figure = (n) => n.toLocaleString("en");
/** @param {string} words */
export const capital = (words) => words[0].toUpperCase() + words.slice(1);
/** @param {number} E */
export const fairWords = (E) => `Upright line: a fair share, ${+(100 / E).toFixed(1)} %. Dead: under 1 %.`;

/** A title that says which experts are used.
 * @param {string} when @param {number[]} now @param {string} things
 * @param {number[] | 0} since earlier shares, so that the title can mention a rise */
export function usageTitle(when, now, things, since = 0) {
  const E = now.length;
  const most = now.indexOf(Math.max(...now));
  const dead = now.filter((v) => v < DEAD).length;
  const gone = dead ? `${dead} of ${E} ${dead === 1 ? "is" : "are"} dead` : `all ${E} work`;
  const grew = since && since[most] < 0.8 * now[most] ? `, up from ${percent(since[most])}` : "";
  const share = `${percent(now[most])} of the ${things}`;
  if (now[most] > 1.5 / E) return `${when} expert ${most} takes ${share}${grew}; ${gone}`;
  return `${when} ${dead ? gone : `all ${E} experts work`}; the largest takes ${share}`;
}

/** Shares for text alternatives, the largest first.
 * @param {number[]} shares */
export function shareWords(shares, part = "expert") {
  const living = [...shares.keys()].filter((e) => shares[e] >= DEAD).sort((a, b) => shares[b] - shares[a]);
  return living.map((e) => `${part} ${e} ${percent(shares[e])}`).join(", ");
}

/** The note on a map of the plane: what its colours and shapes mean.
 * @param {number} k @param {boolean} labelled */
export const mapWords = (k, labelled, end = "") =>
  `the ${k > 1 ? "most-weighted" : "chosen"} expert${end}.${labelled ? " Shape: the class." : ""}`;
