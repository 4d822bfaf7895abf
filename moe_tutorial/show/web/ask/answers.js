// @ts-check
// Controls that take an answer, native ones with labels: each has a node, and read() gives the answer, or null.
import { el, freshId } from "../dom.js";

/** Text in which what stands between backticks is code. @param {string} text @returns {(Node | string)[]} */
export const prose = (text) => text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));
/** A number with its unit. @param {number} value @param {string} unit */
export const withUnit = (value, unit) => `${value.toLocaleString("en", { maximumFractionDigits: 10 })} ${unit}`.trim();
/** A guess or a measurement: a number or a text. @param {any} value @param {{unit?: string}} range */
export const inWords = (value, { unit = "" }) => (typeof value === "number" ? withUnit(value, unit) : value);

/** One of these texts; read() gives its place. @param {string[]} texts */
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

/** A number of a range. @param {{low: number, high: number, step: number, unit: string}} range @param {string} name */
export function slider({ low, high, step, unit }, name) {
  const value = low + step * Math.round((high - low) / step / 2);
  const input = el("input", { type: "range", min: low, max: high, step, value, ariaLabel: name });
  const output = el("output", { ariaHidden: "true" });
  const tell = () => {
    output.textContent = withUnit(+input.value, unit);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.oninput = tell;
  tell();
  const ends = el(
    "p",
    { className: "moe-ends", ariaHidden: "true" },
    ...[low, high].map((end) => el("span", {}, withUnit(end, unit))),
  );
  return { node: el("div", { className: "moe-slider" }, input, output, ends), read: () => +input.value };
}

/** A number to be typed. @param {string} unit */
export function typed(unit) {
  const input = el("input", { type: "text", inputMode: "decimal", autocomplete: "off", id: freshId() });
  const label = el("label", { htmlFor: input.id }, "Your number");
  return {
    node: el("div", { className: "moe-typed" }, label, input, el("span", {}, unit)),
    read() {
      const text = input.value.trim().replace(",", ".");
      return text && Number.isFinite(+text) ? +text : null;
    },
  };
}

/** These texts in the order that the learner gives them; say() is told each move.
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

/** For each text on the left, one on the right; read() gives them, or null while one is missing.
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
