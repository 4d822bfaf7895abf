// @ts-check
// The widget behind quiz(): each answer gets a reply at once, and a wrong answer can be corrected.
import { RUN_TO_ANSWER, choice, matching, ordering, prose, typed } from "./answers.js";
import { button, el, isRestored, mount, note } from "../dom.js";
import { judge, quizWords, unseal } from "./judge.js";
import { storedAnswer } from "./storage.js";

const MISSING = {
  choose: "Choose an answer first.",
  number: "Type a number first, such as 0.25.",
  order: "",
  match: "Choose one for each first.",
};
const CONTROLS = {
  choose: ({ texts }) => choice(texts),
  number: ({ unit }) => typed(unit),
  order: ({ texts }, say) => ordering(texts, say),
  match: ({ left, texts }) => matching(left, texts),
};

/** @param {{model: any, el: HTMLElement}} widget */
function render({ model, el: root }) {
  const questions = model.get("questions");
  const stored = storedAnswer(model);
  const status = el("p", { className: "moe-note moe-outside" });
  // tries: number of answers to each question; right: ids of the solved questions
  const done = () => stored.get() ?? { of: questions.length, tries: {}, right: [] };

  function ask(/** @type {any} */ question) {
    const { id, kind, sealed } = question;
    const told = el("p", { className: "moe-told", role: "status" });
    const control = CONTROLS[kind](question, (/** @type {string} */ words) => (told.textContent = words));
    const check = button("Check");
    const legend = el("legend", { className: "moe-question" }, ...prose(question.ask));
    const fields = el("fieldset", {}, legend, control.node, check);
    check.onclick = () => {
      const answer = control.read();
      if (answer === null) {
        told.textContent = MISSING[kind];
        return;
      }
      const { right, said } = judge(kind, answer, unseal(sealed));
      const { of, tries, right: solved } = done();
      const now = right ? [...solved, id] : solved;
      stored.put({ of, tries: { ...tries, [id]: (tries[id] ?? 0) + 1 }, right: now });
      tell(right, said);
      count();
    };
    control.node.onkeydown = (/** @type {KeyboardEvent} */ event) => {
      if (kind === "number" && event.key === "Enter") check.click();
    };
    function tell(/** @type {boolean} */ right, /** @type {string} */ said) {
      const mark = el("b", { className: right ? "moe-right" : "moe-wrong" }, right ? "✓ Right. " : "✗ Not so. ");
      told.replaceChildren(mark, ...prose(said));
      if (!right) return;
      told.tabIndex = -1;
      if (fields.contains(document.activeElement)) told.focus(); // its button is removed
      check.remove();
      fields.disabled = true;
    }
    if (done().right.includes(id)) {
      control.node.remove();
      tell(true, unseal(sealed).why);
    } else if (isRestored(root)) {
      check.replaceWith(note(RUN_TO_ANSWER));
      fields.disabled = true;
    }
    return el("section", { className: "moe-ask" }, el("p", { className: "moe-label" }, question.label), fields, told);
  }
  function count() {
    const begun = Object.keys(done().tries).length;
    status.textContent = begun ? `${quizWords([done()])}. ${stored.where()}` : "";
  }
  mount(root, ...questions.map(ask), status);
  count();
  return stored.stop;
}
export default { render };
