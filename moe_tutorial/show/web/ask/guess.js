// @ts-check
// The widget behind guess(), a question above its measurement, and behind reveal(), which compares the locked guess
// with what was measured. On the site one card does both.
import { RUN_TO_ANSWER, choice, inWords, prose, slider, withUnit } from "./answers.js";
import { button, el, isRestored, mount, note, quietly } from "../dom.js";
import { verdict } from "./judge.js";
import { storedAnswer } from "./storage.js";

const SHOWN = "moe-shown"; // the event by which a card and what the site hides (veil.js) show each other's answer
const VERDICTS = { right: "✓ Right.", near: "Close.", far: "Not this time." };

/** A number line with the guess and the measured number.
 * @param {number | undefined} said @param {number} measured @param {any} answers */
function numberLine(said, measured, { low, high, unit }) {
  const [least, most] = [Math.min(low, measured), Math.max(high, measured)];
  const at = (/** @type {number} */ value) => (100 * (value - least)) / (most - least);
  const mark = (/** @type {string} */ kind, /** @type {string} */ name, /** @type {number} */ value) =>
    el(
      "div",
      { className: `moe-mark moe-${kind}`, style: `--at:${at(value)}%;--back:${-at(value)}%` },
      el("span", {}, `${name} ${withUnit(value, unit)}`),
      el("i"),
    );
  const marks = [mark("is", "answer", measured)];
  if (said !== undefined) marks.unshift(mark("said", "you", said));
  return el("div", { className: "moe-numberline", ariaHidden: "true" }, ...marks);
}

/** The choices as a list; the measured one and the learner's are marked. */
function list(/** @type {any} */ said, /** @type {any} */ measured, /** @type {string[]} */ choices) {
  const lines = choices.map((text) => {
    const marks = [text === measured && "answer", text === said && "you"].filter(Boolean).join(", ");
    return el(
      "li",
      { className: text === measured ? "moe-is" : "" },
      el("span", {}, ...prose(text)),
      el("span", { className: "moe-muted" }, marks),
    );
  });
  return el("ul", { className: "moe-list" }, ...lines);
}

/** @param {{model: any, el: HTMLElement}} widget */
function render({ model, el: root }) {
  const [id, question, answers] = ["id", "question", "answers"].map((name) => model.get(name));
  const [measured, says] = [model.get("measured"), model.get("says")]; // undefined in a guess of a notebook
  const stored = storedAnswer(model, draw);
  const told = el("p", { className: "moe-told", role: "status", tabIndex: -1 });
  let shown = root.closest("[data-shown]") !== null; // by the site's "show it"

  function draw() {
    const said = stored.get()?.said;
    const where = question && said !== undefined && stored.where() ? [note(stored.where())] : [];
    const label = el("p", { className: "moe-label" }, model.get("label"));
    const name = question ? { id: `guess-${id}` } : {};
    mount(root, el("section", { className: "moe-ask", ...name }, label, ...parts(said), ...where));
  }
  /** @returns {Node[]} */
  function parts(/** @type {any} */ said) {
    const asks = [el("p", { className: "moe-question" }, ...prose(question || model.get("asked")))];
    if (measured !== undefined && (shown || said !== undefined)) return [...asks, told, ...answer(said)];
    if (!question) return [closed()];
    if (said !== undefined) return [...asks, locked(said)];
    return isRestored(root) ? [...asks, note(RUN_TO_ANSWER)] : [open(), told];
  }
  /** The question with the control for its answer. A choice is stored as its text, so that choices can be reordered. */
  function open() {
    const { node, read } = answers.choices ? choice(answers.choices) : slider(answers, question);
    const missing = answers.choices ? "Choose an answer first." : "Move the slider first.";
    function lock() {
      const value = read();
      if (value === null) return void (told.textContent = missing);
      stored.put({ said: answers.choices?.[value] ?? value });
      draw();
      told.focus();
    }
    node.oninput = node.onclick = () => void (told.textContent = ""); // no longer what is missing
    const buttons = [button("Lock my guess", { onclick: lock })];
    if (measured !== undefined) buttons.push(quietly("Show it", { onclick: show }));
    const legend = el("legend", { className: "moe-question" }, ...prose(question));
    return el("fieldset", {}, legend, node, el("div", { className: "moe-acts" }, ...buttons));
  }
  function locked(/** @type {any} */ said) {
    told.replaceChildren(
      "You said ",
      el("b", {}, inWords(said, answers)),
      ". Locked: the lesson answers further down.",
    );
    return told;
  }
  function show() {
    unveil();
    dispatchEvent(new CustomEvent(SHOWN, { detail: id }));
    told.focus();
  }
  /** The card of reveal() before the guess. */
  function closed() {
    told.replaceChildren(link("Lock your guess first"), ", or let the page show the answer.");
    return el("div", { className: "moe-closed" }, told, quietly("Show it", { onclick: show }));
  }
  function link(/** @type {string} */ text) {
    const node = el("a", { href: `#guess-${id}` }, text);
    node.onclick = (/** @type {Event} */ event) => {
      const place = document.getElementById(`guess-${id}`);
      if (!place) return;
      event.preventDefault(); // in JupyterLab the URL belongs to the notebook
      place.scrollIntoView({ block: "center" });
      /** @type {HTMLElement | null} */ (place.querySelector("input, button, [tabindex]"))?.focus();
    };
    return node;
  }
  function answer(/** @type {any} */ said) {
    const is = el("b", {}, ...prose(inWords(measured, answers)));
    const number = typeof measured === "number";
    const picture = number ? numberLine(said, measured, answers) : list(said, measured, answers.choices);
    const paragraph = (/** @type {string} */ text) => el("p", { className: "moe-answer" }, ...prose(text));
    const why = says.split("\n\n").map(paragraph);
    if (said === undefined) {
      told.replaceChildren("You made no ", question ? "guess" : link("guess"), " here. The answer: ", is, ".");
      return [picture, ...why];
    }
    const how = verdict(said, measured, answers);
    if (stored.get().how !== how) stored.put({ said, is: measured, how });
    told.replaceChildren("You said: ", ...prose(inWords(said, answers)), ". The answer: ", is, ".");
    const off = number && how !== "right" ? ` ${withUnit(+Math.abs(said - measured).toPrecision(3), "")} off.` : "";
    return [note(VERDICTS[how] + off), picture, ...why];
  }
  function unveil() {
    shown = true;
    draw();
  }
  const hear = (/** @type {any} */ { detail }) => !shown && (detail === id || root.closest("[data-shown]")) && unveil();
  const paper = () => !shown && measured !== undefined && unveil();
  draw();
  addEventListener(SHOWN, hear);
  addEventListener("beforeprint", paper);
  return () => {
    removeEventListener(SHOWN, hear);
    removeEventListener("beforeprint", paper);
    stored.stop();
  };
}
export default { render };
