// @ts-check
// An exercise for pages without a kernel. A learner puts the lines of its solution in order, indents them, and leaves
// two wrong lines out; of a short solution, the learner chooses the last line among four.
import { choice, prose } from "./answers.js";
import { button, el, mount } from "../dom.js";
import { unseal } from "./judge.js";
import { storedAnswer } from "./storage.js";

/** @typedef {{ text: string, indent: number, out: boolean, chosen?: number, least?: number, most?: number }} Row */
/** @typedef {{ lines: [string, number][], wrong: Record<string, string>, swaps: [string, string][] }} Solution
 * the right lines with their indentation, a sentence for each wrong line, and neighbours that may change places */

/** Indent the lines as Python demands: one more below a line that opens a block, and elsewhere at most as the line
 * above. Between `least` and `most` the learner has `chosen`. @param {Row[]} rows */
export function fitIndents(rows) {
  let [least, most] = [0, 0];
  for (const row of rows.filter(({ out }) => !out)) {
    Object.assign(row, { least, most, indent: Math.min(Math.max(row.chosen ?? 0, least), most) });
    [least, most] = /[:(]$/.test(row.text) ? [row.indent + 1, row.indent + 1] : [0, row.indent];
  }
}

/** The reply to an order of lines, or "" if it is right. @param {Row[]} rows @param {Solution} solution */
export function replyTo(rows, { lines, wrong, swaps }) {
  const used = rows.filter(({ out }) => !out);
  const bad = used.find(({ text }) => text in wrong);
  if (bad) return `\`${bad.text}\`: ${wrong[bad.text]}`;
  if (used.length < lines.length)
    return `A line is missing: the solution has ${lines.length}, and you use ${used.length}.`;
  const texts = used.map(({ text }) => text);
  for (const [first, second] of swaps) {
    const at = texts.indexOf(second);
    if (at >= 0 && texts[at + 1] === first) {
      texts.splice(at, 2, first, second);
      used.splice(at, 2, used[at + 1], used[at]);
    }
  }
  const early = texts.findIndex((text, i) => text !== lines[i][0]);
  if (early >= 0) return `\`${texts[early]}\` comes too early: something has to be done before it.`;
  const moved = used.find(({ indent }, i) => indent !== lines[i][1]);
  return moved ? `\`${moved.text}\` is indented wrongly. Which line does it belong to?` : "";
}

/** @param {{model: any, el: HTMLElement}} widget */
function render({ model, el: root }) {
  const { label, head, foot, texts, sealed, choose } = model.get("puzzle");
  /** @type {Solution} */
  const solution = unseal(sealed);
  const stored = storedAnswer(model);
  const told = el("p", { className: "moe-told", role: "status", tabIndex: -1 });
  const list = el("ol", { className: "moe-lines" });
  const spoken = el("p", { className: "moe-sr", role: "status" });
  /** @type {Row[]} */
  const rows = stored.get()?.rows ?? texts.map((/** @type {string} */ text) => ({ text, indent: 0, out: false }));

  /** @type {Row | null} */
  let held = null; // taken by its handle

  const code = (/** @type {string} */ text) => el("pre", { className: "moe-given" }, text);
  const step = (/** @type {string} */ sign, /** @type {string} */ name, /** @type {() => void} */ onclick) =>
    el("button", { type: "button", className: "moe-button moe-quiet", ariaLabel: name, title: name, onclick }, sign);

  function draw() {
    fitIndents(rows);
    list.replaceChildren(...rows.map(line));
  }
  /** @param {Row} row */
  function line(row) {
    const { text, out, least, most } = row;
    const deep = out ? 0 : row.indent;
    const parts = text.split(/(?<=[.([])/).flatMap((part) => [el("wbr"), part]); // where a long line may break
    const written = el("code", { style: `--deep: ${deep}` }, "    ".repeat(deep), ...parts);
    const handle = step("≡", `Move: ${text}`, () => press(row));
    handle.ariaPressed = String(held === row);
    const keys = [step(out ? "+" : "×", `${out ? "Use" : "Leave out"}: ${text}`, () => leave(row))];
    if (!out && most !== least) {
      keys.unshift(step("⇥", `Indent: ${text}`, () => indent(row, row.indent < most ? row.indent + 1 : least, 1)));
    }
    const names = [out && "moe-left-out", held === row && "moe-held"].filter(Boolean);
    const node = el("li", { className: names.join(" ") }, handle, written, ...keys);
    handle.onkeydown = (/** @type {KeyboardEvent} */ event) => {
      const act = {
        ArrowUp: () => move(row, -1),
        ArrowDown: () => move(row, 1),
        ArrowLeft: () => indent(row, row.indent - 1),
        ArrowRight: () => indent(row, row.indent + 1),
        Delete: () => leave(row),
        Escape: () => held && press(held), // it stays where it is
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    node.onpointerdown = (/** @type {PointerEvent} */ event) => {
      const grips = event.pointerType === "mouse" ? [handle, written] : [handle]; // a finger on the text scrolls
      if (grips.includes(/** @type {any} */ (event.target))) drag(row, event);
    };
    node.onclick = ({ target }) => held && target === written && press(row);
    return node;
  }
  /** Follow the pointer: the line takes the place of the one below the pointer.
   * @param {Row} row @param {PointerEvent} event */
  function drag(row, event) {
    event.preventDefault();
    const follow = (/** @type {PointerEvent} */ { clientY }) => {
      const over = [...list.children].findIndex((node) => clientY < node.getBoundingClientRect().bottom);
      const to = over < 0 ? rows.length - 1 : over;
      if (to === rows.indexOf(row)) return;
      held = row;
      move(row, to - rows.indexOf(row));
    };
    const stop = () => {
      removeEventListener("pointermove", follow);
      if (list.contains(/** @type {Node} */ (event.target))) return; // it has not moved
      held = null;
      changed(row, spoken.textContent);
    };
    addEventListener("pointermove", follow);
    addEventListener("pointerup", stop, { once: true });
    addEventListener("pointercancel", stop, { once: true });
  }
  /** Take a line by its handle; the next line that is pressed is its place. @param {Row} row */
  function press(row) {
    const taken = held;
    held = taken ? null : row;
    if (taken) move(taken, rows.indexOf(row) - rows.indexOf(taken));
    else changed(row, "Taken. Press the line that it should replace, or an arrow key.");
  }
  /** @param {Row} row @param {string} words @param {number} [at] index of the button that is focused */
  function changed(row, words, at = 0) {
    draw();
    const keys = list.children[rows.indexOf(row)].querySelectorAll("button");
    /** @type {any} */ ([...keys].at(at)).focus();
    Object.assign(spoken, { textContent: words, className: held ? "moe-note" : "moe-sr" });
    told.replaceChildren();
  }
  /** @param {Row} row @param {number} by */
  function move(row, by) {
    const to = Math.min(Math.max(rows.indexOf(row) + by, 0), rows.length - 1);
    rows.splice(rows.indexOf(row), 1);
    rows.splice(to, 0, row);
    changed(row, `Line ${to + 1} of ${rows.length}`);
  }
  /** @param {Row} row @param {number} to @param {number} [at] */
  function indent(row, to, at) {
    row.chosen = Math.min(Math.max(to, row.least ?? 0), row.most ?? 0);
    fitIndents(rows);
    changed(row, `Indented ${row.indent} times`, at);
  }
  /** @param {Row} row */
  function leave(row) {
    row.out = !row.out;
    changed(row, row.out ? "Left out" : "Used", -1);
  }

  const one = choose ? choice(texts.map((/** @type {string} */ text) => `\`${text}\``)) : null;
  function reply() {
    if (!one) return replyTo(rows, solution);
    const at = one.read();
    if (at === null) return "Choose a line first.";
    return solution.wrong[texts[at]] ?? "";
  }
  const check = button("Check");
  const fields = el("fieldset", {}, code(head), one?.node ?? list, ...(foot ? [code(foot)] : []), check);
  check.onclick = () => {
    const said = reply();
    if (said !== "Choose a line first.") stored.put({ solved: !said, rows: one ? null : rows });
    tell(said);
  };
  /** @param {string} said */
  function tell(said) {
    const mark = el("b", { className: said ? "moe-wrong" : "moe-right" }, said ? "✗ Not yet. " : "✓ Right. ");
    const others = Object.entries(solution.wrong).map(([text, why]) => `\nWhy not \`${text}\`? ${why}`);
    told.replaceChildren(mark, ...prose(said || stored.where() + others.join("")));
    told.focus();
  }
  mount(
    root,
    el("section", { className: "moe-ask" }, el("p", { className: "moe-label" }, label), fields, told, spoken),
  );
  draw();
  if (stored.get()?.solved) told.replaceChildren(el("b", { className: "moe-right" }, "✓ Solved. "), stored.where());
  return stored.stop;
}
export default { render };
