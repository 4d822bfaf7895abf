// @ts-check
// Replies to guesses, to the answers of a quiz, and to verdicts on suspects. Base64 hides the right answers from a
// glance at the page, not from cheating.

/** @param {string} sealed @returns {any} */
export const unseal = (sealed) =>
  JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(sealed), (letter) => letter.charCodeAt(0))));

/** Replies to a match's wrong rows. @param {any[]} answer @param {{right: any[], said: string[]}} sealed */
const wrongRows = (answer, { right, said }) =>
  said.flatMap((words, i) => (answer[i] === right[i] ? [] : `Row ${i + 1}: ${words}`)).join("\n");

/** @type {Record<string, (answer: any, sealed: any) => string>} The reply to a wrong answer, or "" if it is right. */
const REPLIES = {
  choose: (answer, { said }) => said[answer],
  number(answer, { answer: right, tolerance, traps, otherwise }) {
    if (Math.abs(answer - right) <= tolerance) return "";
    const [, said] = traps.find((/** @type {any} */ [trap]) => Math.abs(answer - trap) <= tolerance) ?? [0, otherwise];
    return said;
  },
  // The reply to the first two neighbours of the right order that the answer has in reverse.
  order: (answer, { right, said }) =>
    said.find((/** @type {string} */ _, /** @type {number} */ i) => {
      return i + 1 < right.length && answer.indexOf(right[i]) > answer.indexOf(right[i + 1]);
    }) ?? "",
  match: wrongRows,
};

/** The results of quizzes as text. @param {{ of: number, right: string[], tries: Record<string, number> }[]} results */
export function quizWords(results) {
  const right = results.flatMap((quiz) => quiz.right);
  const first = results.flatMap((quiz) => quiz.right.filter((id) => quiz.tries[id] === 1));
  const all = results.reduce((sum, { of }) => sum + of, 0);
  return `${right.length} of ${all} right, ${first.length} at the first try`;
}

/** Whether an answer is right, and the reply to it. @param {string} kind @param {any} answer @param {any} sealed */
export function judge(kind, answer, sealed) {
  const wrong = REPLIES[kind](answer, sealed);
  return { right: !wrong, said: wrong || sealed.why };
}

/** Judge a guess: "right", "near" or "far". On a slider a guess is right within half a step, and near if it is off by
 * at most a step, a tenth of the slider, or a third of the measured number.
 * @param {any} said @param {any} measured @param {any} answers */
export function verdict(said, measured, { low, high, step }) {
  if (typeof measured !== "number") return said === measured ? "right" : "far";
  const off = Math.abs(said - measured);
  if (off <= step / 2) return "right";
  return off <= step || off <= (high - low) / 10 || off <= Math.abs(measured) / 3 ? "near" : "far";
}

/** The reply to a wrong verdict on a suspect: a probe that contradicts it, if possible one that was run on it.
 * @param {any} secrets of each round: letter -> bug, and letter -> probe -> why it fails, or "" if it passes
 * @param {number} round @param {string} letter @param {string} bug @param {string[]} paid */
export function replyTo({ truth, found }, round, letter, bug, paid) {
  const mine = found[round][letter];
  const alike = truth.flatMap((bugs, r) => Object.keys(bugs).flatMap((l) => (bugs[l] === bug ? [found[r][l]] : [])));
  const against = Object.keys(mine).filter((name) => alike.every((runs) => !runs[name] !== !mine[name]));
  const name = against.find((name) => paid.includes(`${letter} ${name}`));
  if (!against.length) return `\`${bug}\` fails what ${letter} fails: no probe here tells the two apart.`;
  const noise = against[0] === "twice" ? " Noise can fail any probe that compares two runs, so ask `twice` first." : "";
  if (!name) return `You have not run \`${against[0]}\` on ${letter}. It would tell.${noise}`;
  return mine[name]
    ? `With \`${bug}\` it would pass \`${name}\`, and ${letter} failed it.`
    : `\`${bug}\` would fail \`${name}\`, too, and ${letter} passed it.`;
}
