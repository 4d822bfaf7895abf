// @ts-check
// Lessons 09 to 12 became 09 to 14: answers stored before get their present ids. See course/renumbered.py.
import MOVED from "./moved.json" with { type: "json" };

/** The stored answers, each under its present id. @param {Record<string, Record<string, any>>} stored */
export function answersMoved({ guess, quiz }) {
  /** @type {any} */
  const { guess: guesses, quiz: quizzes, of: sizes } = MOVED;
  /** @type {Record<string, any>} */
  const moved = {};
  for (const [id, value] of Object.entries(quiz))
    for (const [question, tries] of Object.entries(value?.tries ?? {})) {
      const place = quizzes[id]?.[question] ?? id;
      const into = (moved[place] ??= { of: sizes[place] ?? value.of, tries: {}, right: [] });
      into.tries[question] = tries;
      if (value.right.includes(question)) into.right.push(question);
    }
  return {
    guess: Object.fromEntries(Object.entries(guess).map(([id, value]) => [guesses[id] ?? id, value])),
    quiz: moved,
  };
}
