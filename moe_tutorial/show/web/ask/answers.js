// @ts-check
// Form controls for answers. Each has a node, and read() returns the answer, or null if there is none.
import { el, freshId } from "../dom.js";

/** What a restored question says that nobody has answered. */
export const RUN_TO_ANSWER = "Run this cell to answer.";
const MARKED = /(`[^`]+`|\[[^\]]+\]\(https?:[^)\s]+\))/;
/** Plain text as nodes, as `prose` in course/progress/storage.py: `` `code` `` and `[a link](https://...)`.
 * @param {string} text @returns {(Node | string)[]} */
export const prose = (text) =>
  text.split(MARKED).map((part, i) => {
    if (i % 2 === 0) return part;
    if (part.startsWith("`")) return el("code", {}, part.slice(1, -1));
    const [words, href] = part.slice(1, -1).split("](");
    return el("a", { href, target: "_blank", rel: "noopener" }, words);
  });
/** Format a number with its unit, as `with_unit` in course/guesses.py does.
 * @param {number} value @param {string} unit */
export const withUnit = (value, unit) => `${value.toLocaleString("en", { maximumFractionDigits: 10 })} ${unit}`.trim();
/** Format a guess or a measurement, which is a number or a text. @param {any} value @param {{unit?: string}} range */
export const inWords = (value, { unit = "" }) => (typeof value === "number" ? withUnit(value, unit) : value);

/** Radio buttons; read() returns the index of the chosen text. @param {string[]} texts */
export function choice(texts) {
  const name = freshId();
  const inputs = texts.map(() => el("input", { type: "radio", name }));
  const labels = texts.map((text, i) =>
    el("label", { className: "moe-option" }, inputs[i], el("span", {}, ...prose(text))),
  );
  return {
    node: el("div", { className: "moe-options" }, ...labels),
    read() {
      const place = inputs.findIndex((input) => input.checked);
      return place < 0 ? null : place;
    },
  };
}

/** A slider without a value until the learner moves it or clicks on it; read() returns its number.
 * @param {{low: number, high: number, step: number, unit: string}} range @param {string} name */
export function slider({ low, high, step, unit }, name) {
  const value = low + step * Math.round((high - low) / step / 2);
  const input = el("input", {
    type: "range",
    className: "moe-unset",
    min: low,
    max: high,
    step,
    value,
    ariaLabel: name,
  });
  const output = el("output", { ariaHidden: "true" });
  const tell = (/** @type {string} */ words) => {
    output.textContent = words;
    input.setAttribute("aria-valuetext", words);
  };
  input.oninput = input.onclick = () => {
    input.classList.remove("moe-unset");
    tell(withUnit(+input.value, unit));
  };
  tell("move it");
  const ends = el(
    "p",
    { className: "moe-ends", ariaHidden: "true" },
    ...[low, high].map((end) => el("span", {}, withUnit(end, unit))),
  );
  const read = () => (input.classList.contains("moe-unset") ? null : +input.value);
  return { node: el("div", { className: "moe-slider" }, input, output, ends), read };
}

/** The number in a text such as "0.25", "0,25" or "1/4", or null. @param {string} text */
export function numberIn(text) {
  const parts = text.trim().replace(",", ".").split("/");
  const value = parts.length === 1 ? +parts[0] : +parts[0] / +parts[1];
  return parts.length < 3 && parts.every((part) => part.trim()) && Number.isFinite(value) ? value : null;
}

/** A text field for a number. @param {string} unit */
export function typed(unit) {
  const input = el("input", { type: "text", inputMode: "decimal", autocomplete: "off", id: freshId() });
  const label = el("label", { htmlFor: input.id }, "Your number");
  return {
    node: el("div", { className: "moe-typed" }, label, input, el("span", {}, unit)),
    read: () => numberIn(input.value),
  };
}

/** A list that the learner sorts; read() returns the texts in their order. say() gets a sentence for each move.
 * @param {string[]} texts @param {(words: string) => void} say */
export function ordering(texts, say) {
  const list = el("ol", { className: "moe-ordering" });
  const step = (/** @type {string} */ arrow, /** @type {string} */ where, /** @type {string} */ text) =>
    el("button", { type: "button", className: "moe-button moe-quiet", ariaLabel: `Move ${where}: ${text}` }, arrow);
  const rows = texts.map((text) => {
    const up = step("↑", "up", text);
    const down = step("↓", "down", text);
    const row = { text, up, down, node: el("li", {}, el("span", {}, ...prose(text)), up, down) };
    up.onclick = () => move(row, -1);
    down.onclick = () => move(row, 1);
    return row;
  });
  function place() {
    list.append(...rows.map((row) => row.node));
    rows.forEach(({ up, down }, i) => {
      up.disabled = i === 0;
      down.disabled = i === rows.length - 1;
    });
  }
  function move(/** @type {any} */ row, /** @type {number} */ by) {
    const at = rows.indexOf(row) + by;
    rows.splice(at - by, 1);
    rows.splice(at, 0, row);
    place();
    const [same, other] = by < 0 ? [row.up, row.down] : [row.down, row.up];
    (same.disabled ? other : same).focus();
    say(`${row.text}: now ${at + 1} of ${rows.length}.`);
  }
  place();
  return { node: list, read: () => rows.map((row) => row.text) };
}

/** A select element for each text on the left; read() returns the selected texts, or null while one is missing.
 * @param {string[]} left @param {string[]} right */
export function matching(left, right) {
  const selects = left.map(() => el("select", { id: freshId() }, el("option", { value: "" }, "choose …")));
  for (const select of selects) select.append(...right.map((text) => el("option", { value: text }, text)));
  const rows = left.map((text, i) =>
    el("div", {}, el("label", { htmlFor: selects[i].id }, ...prose(text)), selects[i]),
  );
  return {
    node: el("div", { className: "moe-matching" }, ...rows),
    read: () => (selects.every((select) => select.value) ? selects.map((select) => select.value) : null),
  };
}
