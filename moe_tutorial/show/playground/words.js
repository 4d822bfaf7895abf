// Titles and texts that all kinds use. A title states what its picture shows, computed from the numbers drawn.
import { SHAPES } from "../web/draw/pen.js";
import { sayOf } from "../web/slider.js";
import { DEAD, capital, percent, shareWords, sum } from "../web/words.js";
import { SETTINGS } from "./experiment/experiment.js";

export const most = (values) => values.indexOf(Math.max(...values));
export function ownersIn({ owner }) {
  const met = new Uint8Array(256);
  for (let p = 0; p < owner.length; p++) met[owner[p]] = 1; // a Set would be slow for a hundred thousand places
  return met.reduce((n, one) => n + one);
}
export const rightOf = ({ y }, predicted) =>
  `${y.reduce((right, label, i) => right + (label === predicted[i]), 0)} of ${y.length} training points right`;
export const shape = (c) => `${SHAPES[c].sign} ${SHAPES[c].name}`;
/** The class of an inspected point, and its prediction. `who` is the start of a sentence, such as "Leaf 2 says". */
export const verdictOn = ({ label, predicted }, who) => ({
  verdict: `It is a ${shape(label)}. ${who} ${shape(predicted)}: `,
  right: predicted === label,
});
export const goneOf = ({ knocked }) => sum(knocked.map(Number));
/** A change as text. */
export function changeWords({ name, value }) {
  if (name === "out") return `expert ${value} is knocked out`;
  if (name === "in") return `expert ${value} comes back`;
  return `${SETTINGS[name].label} → ${sayOf(SETTINGS[name])(value)}`;
}
export const pullWords = (v) => {
  if (v === 0) return "0";
  return Math.abs(v) < 0.005 ? "≈ 0" : `${v > 0 ? "+" : "−"}${Math.abs(v).toFixed(2)}`;
};

const AT_ONCE = ["out", "in", "k", "gate"]; // changes that change the answers before the next step
const isFresh = ({ run, step }) => run.changes().some(({ at, name }) => at === step && AT_ONCE.includes(name));

// Both titles tell of the training. If something was changed after its last step, they say so.
export function sharesTitle(frame, words) {
  const title = sharesSoFar(frame, words);
  return isFresh(frame) ? `Until the change: ${title[0].toLowerCase()}${title.slice(1)}` : title;
}
function sharesSoFar({ history, now }, { part, shared }) {
  const last = history.at(-1);
  const E = last.shares.length;
  const best = most(last.shares);
  const share = last.shares[best];
  if (history.length < 2) return "The shares, step by step";
  if (share > 0.5) {
    const first = history.find((row) => row.shares[best] > 0.5);
    if (!first.step) return `${capital(part)} ${best} leads from the start`;
    return `${capital(part)} ${best} passed half of the ${shared} at step ${first.step}`;
  }
  if (share * E > 2.2) return `${capital(part)} ${best} takes ${(share * E).toFixed(1)} fair shares`;
  const least = Math.min(...last.shares);
  if (least * E >= 0.5 && share * E <= 1.5 && !now.dead) return "The shares are near equal";
  if (least >= DEAD && least * E < 0.5)
    return `${capital(part)} ${last.shares.indexOf(least)} gets only ${percent(least)}`;
  return `In twenty steps of training, no ${part} takes over ${percent(share)}`;
}

export function lossTitle(frame) {
  const { history, now } = frame;
  const from = history[0].task;
  const to = history.at(-1).task;
  if (history.length < 2) return `The loss starts at ${now.loss.toFixed(2)}`;
  if (isFresh(frame)) return `The curve ends at ${to.toFixed(2)}; the change brings the loss to ${now.loss.toFixed(2)}`;
  if (to < 0.1) return `The loss is nearly gone: ${to.toFixed(2)}`;
  if (to < 0.75 * from) return `The loss fell from ${from.toFixed(2)} to ${to.toFixed(2)}`;
  return `The loss stalls at ${to.toFixed(2)}`;
}

export function usageTitle({ step, now: { shares, dead } }, { part, parts }) {
  const best = most(shares);
  if (shares[best] > 0.5) return `${capital(part)} ${best} takes ${percent(shares[best])}`;
  return dead ? `${shares.length - dead} ${parts} share the work` : step ? "Everyone works" : "Before training";
}

// A summary of the frame for screen readers.
export function summary(frame, words) {
  const { step, now } = frame;
  const shares = shareWords(Array.from(now.shares), words.part);
  return (
    `Step ${step}. ${words.message(frame)}. Loss ${now.loss.toFixed(2)}, ` +
    `usage entropy ${now.entropy.toFixed(2)} of 1, specialisation ${now.nmi.toFixed(2)}, ` +
    `${now.dead - goneOf(frame)} of ${now.shares.length} dead. Shares: ${shares}.${words.more(frame)}`
  );
}
