// @ts-check
// The widget behind reveal(): compares the guess with the measurement, once the guess is locked.
import { inWords, prose, withUnit } from "./answers.js";
import { button, el, mount, note } from "../dom.js";
import { verdict } from "./judge.js";
import { storedAnswer } from "./storage.js";

const VERDICTS = {
  right: "✓ Right.",
  near: "Close.",
  far: "A surprise: worth a second look at why.",
};

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
  const marks = [mark("is", "measured", measured)];
  if (said !== undefined) marks.unshift(mark("said", "you", said));
  return el("div", { className: "moe-numberline", ariaHidden: "true" }, ...marks);
}

/** The choices as a list; the measured one and the learner's are marked. */
function list(/** @type {any} */ said, /** @type {any} */ measured, /** @type {string[]} */ choices) {
  const lines = choices.map((text) => {
    const marks = [text === measured && "measured", text === said && "you"].filter(Boolean).join(", ");
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
  const [id, answers, measured, says] = ["id", "answers", "measured", "says"].map((name) => model.get(name));
  const stored = storedAnswer(model, draw);
  const told = el("p", { className: "moe-told", role: "status", tabIndex: -1 });
  const unveiled = () => root.closest("[data-shown]") !== null; // by the site's "show it"
  let shown = unveiled();

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
  function draw() {
    const said = stored.get()?.said;
    const open = shown || said !== undefined;
    const label = el("p", { className: "moe-label" }, model.get("label"));
    mount(root, el("section", { className: "moe-ask" }, label, ...(open ? [told, ...answer(said)] : [closed()])));
  }
  function closed() {
    told.replaceChildren(link("Lock your guess first"), ", or let the page show what was measured.");
    const show = button("Show it", { className: "moe-button moe-quiet" });
    show.onclick = () => {
      shown = true;
      draw();
      told.focus();
    };
    return el("div", { className: "moe-closed" }, told, show);
  }
  function answer(/** @type {any} */ said) {
    const is = el("b", {}, ...prose(inWords(measured, answers)));
    const number = typeof measured === "number";
    const picture = number ? numberLine(said, measured, answers) : list(said, measured, answers.choices);
    const why = says
      .split("\n\n")
      .map((/** @type {string} */ text) => el("p", { className: "moe-answer" }, ...prose(text)));
    if (said === undefined) {
      told.replaceChildren("You made no ", link("guess"), " here; it is ", is, ".");
      return [picture, ...why];
    }
    const how = verdict(said, measured, answers);
    if (stored.get().how !== how) stored.put({ said, is: measured, how });
    told.replaceChildren("You said ", ...prose(inWords(said, answers)), "; it is ", is, ".");
    return [note(VERDICTS[how]), picture, ...why];
  }
  function unveil() {
    if (shown || !unveiled()) return;
    shown = true;
    draw();
  }
  draw();
  addEventListener("moe-shown", unveil);
  return () => {
    removeEventListener("moe-shown", unveil);
    stored.stop();
  };
}
export default { render };
