// @ts-check
// The widget behind guess(): a question above its measurement. A locked guess stays; reveal.js compares it with the
// measurement.
import { RUN_TO_ANSWER, choice, inWords, prose, slider } from "./answers.js";
import { button, el, isRestored, mount, note } from "../dom.js";
import { storedAnswer } from "./storage.js";

/** @param {{model: any, el: HTMLElement}} widget */
function render({ model, el: root }) {
  const [question, answers] = [model.get("question"), model.get("answers")];
  const stored = storedAnswer(model, draw);
  const told = el("p", { className: "moe-told", role: "status", tabIndex: -1 });

  /** The control for the answer. A choice is stored as its text, so that the choices can be reordered. */
  function control() {
    if (!answers.choices) return slider(answers, question);
    const { node, read } = choice(answers.choices);
    return { node, read: () => answers.choices[read() ?? -1] ?? null };
  }
  function draw() {
    const guess = stored.get();
    const asks = el("p", { className: "moe-question" }, ...prose(question));
    const parts = guess ? [asks] : isRestored(root) ? [asks, note(RUN_TO_ANSWER)] : [open()];
    if (guess)
      told.replaceChildren(
        "You said ",
        el("b", {}, inWords(guess.said, answers)),
        ". Locked: the lesson answers further down.",
      );
    const where = guess ? [note(stored.where())] : [];
    const label = el("p", { className: "moe-label" }, model.get("label"));
    mount(
      root,
      el("section", { className: "moe-ask", id: `guess-${model.get("id")}` }, label, ...parts, told, ...where),
    );
  }
  function open() {
    const { node, read } = control();
    const lock = button("Lock my guess");
    lock.onclick = () => {
      const said = read();
      if (said === null) told.textContent = "Choose an answer first.";
      else {
        stored.put({ said });
        draw();
        told.focus();
      }
    };
    return el("fieldset", {}, el("legend", { className: "moe-question" }, ...prose(question)), node, lock);
  }
  draw();
  return stored.stop;
}

export default { render };
