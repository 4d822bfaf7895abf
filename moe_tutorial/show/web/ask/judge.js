// @ts-check
// What is said to an answer. The answers travel in base64: against peeking, not against cheating.

/** @param {string} sealed @returns {any} */
export const unseal = (sealed) =>
  JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(sealed), (letter) => letter.charCodeAt(0))));

/** The first place where two lists differ, or -1. @param {any[]} one @param {any[]} other */
const differ = (one, other) => one.findIndex((text, i) => text !== other[i]);

/** @type {Record<string, (answer: any, sealed: any) => string>} What is said to a wrong answer; "" to a right one. */
const REPLIES = {
  choose: (answer, { said }) => said[answer],
  number(answer, { answer: right, tolerance, traps, otherwise }) {
    if (Math.abs(answer - right) <= tolerance) return "";
    const [, said] = traps.find((/** @type {any} */ [trap]) => Math.abs(answer - trap) <= tolerance) ?? [0, otherwise];
    return said;
  },
  // The first two neighbours, in the right order, that stand the wrong way round.
  order: (answer, { right, said }) =>
    said.find((/** @type {string} */ _, /** @type {number} */ i) => {
      return i + 1 < right.length && answer.indexOf(right[i]) > answer.indexOf(right[i + 1]);
    }) ?? "",
  match: (answer, { right, said }) => said[differ(answer, right)] ?? "",
};

/** Whether an answer is right, and what is said to it. @param {string} kind @param {any} answer @param {any} sealed */
export function judge(kind, answer, sealed) {
  const wrong = REPLIES[kind](answer, sealed);
  return { right: !wrong, said: wrong || sealed.why };
}
