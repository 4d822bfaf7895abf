// @ts-check
// The guess beside the measurement: how near it was, in a sentence and on one line. It waits until the guess is locked.
import { inWords, prose, withUnit } from "./answers.js";
import { button, el, mount, note } from "./dom.js";
import { keeper } from "./kept.js";

const NEAR = 0.1; // of a slider's range
const VERDICTS = {
  right: "✓ Right.",
  near: "Close.",
  far: "Not what happened: worth a second look at why.",
};

/** How many things of an order stand elsewhere in the other. @param {string[]} said @param {string[]} measured */
const misplaced = (said, measured) => measured.filter((text, i) => said[i] !== text).length;

/** How near a guess came: "right", "near" or "far". @param {any} said @param {any} measured @param {any} answers */
function verdict(said, measured, { low, high, step, order }) {
  if (typeof measured === "number") {
    const off = Math.abs(said - measured);
    return off <= step / 2 ? "right" : off <= NEAR * (high - low) ? "near" : "far";
  }
  if (!order) return said === measured ? "right" : "far";
  const off = misplaced(said, measured);
  return off === 0 ? "right" : off === 2 ? "near" : "far"; // two in each other's place
}

/** A line with both numbers. @param {number | undefined} said @param {number} measured @param {any} answers */
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

/** The answers as a list; the measured one, or the measured order, is marked. */
function list(/** @type {any} */ said, /** @type {any} */ measured, /** @type {any} */ { choices, order }) {
  const lines = (choices ?? measured).map((/** @type {string} */ text, /** @type {number} */ i) => {
    const place = order && said ? said.indexOf(text) : i;
    const mine = order ? place !== i && `you: ${place + 1}` : text === said && "you";
    const marks = [!order && text === measured && "measured", mine].filter(Boolean).join(", ");
    const bold = order || text === measured;
    return el(
      "li",
      { className: bold ? "moe-is" : "" },
      el("span", {}, ...prose(text)),
      el("span", { className: "moe-muted" }, marks),
    );
  });
  return el(order ? "ol" : "ul", { className: "moe-list" }, ...lines);
}

/** @param {{model: any, el: HTMLElement}} widget */
function render({ model, el: root }) {
  const [id, answers, measured] = ["id", "answers", "measured"].map((name) => model.get(name));
  const kept = keeper(model, draw);
  const told = el("p", { className: "moe-told", role: "status", tabIndex: -1 });
  let shown = false;

  function link(/** @type {string} */ text) {
    const node = el("a", { href: `#guess-${id}` }, text);
    node.onclick = (/** @type {Event} */ event) => {
      const place = document.getElementById(`guess-${id}`);
      if (!place) return;
      event.preventDefault(); // in JupyterLab the address belongs to the notebook
      place.scrollIntoView({ block: "center" });
      /** @type {HTMLElement | null} */ (place.querySelector("input, button, [tabindex]"))?.focus();
    };
    return node;
  }
  function draw() {
    const said = kept.get()?.said;
    const open = shown || said !== undefined;
    const label = el("p", { className: "moe-label" }, "Your guess, measured");
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
    const picture = typeof measured === "number" ? numberLine(said, measured, answers) : list(said, measured, answers);
    if (said === undefined) {
      told.replaceChildren("You made no ", link("guess"), " here; it is ", is, ".");
      return [picture];
    }
    const how = verdict(said, measured, answers);
    if (kept.get().how !== how) kept.put({ said, is: measured, how });
    if (answers.order)
      told.textContent = `You had ${measured.length - misplaced(said, measured)} of ${measured.length} in their place.`;
    else told.replaceChildren("You said ", ...prose(inWords(said, answers)), "; it is ", is, ".");
    return [note(VERDICTS[how]), picture];
  }
  draw();
  return kept.stop;
}
export default { render };
