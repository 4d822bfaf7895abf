// The inspected point: who is asked, with what weight, and what is learnt from it.
import { el, field, subtitle, tell } from "../web/dom.js";
import { set } from "./map.js";

const ROW =
  '<tr><th scope="row"><span></span></th><td><span class="moe-bar"><i></i><span></span></span></td>' +
  '<td><span aria-hidden="true"></span><span class="moe-sr"></span></td><td class="moe-r"></td><td class="moe-r"></td></tr>';

const setHTML = (node, html) => {
  if (node.dataset.now === html) return;
  node.innerHTML = html;
  node.dataset.now = html;
};

export function makePoint(look) {
  const input = el("input", { type: "range", min: 0, step: 1 });
  const heads = el("tr");
  const rows = el("tbody");
  const verdict = el("p", { className: "pg-verdict" });
  const heard = el("p", { className: "moe-note" });
  const node = el(
    "div",
    { className: "pg-point", role: "group", ariaLabel: "Inspect a point" },
    subtitle("Inspect a point"),
    field("Point", input),
    el("table", {}, el("thead", {}, heads), rows),
    verdict,
    heard,
  );
  input.oninput = () => look(+input.value);

  function show({ words }) {
    const head = (word, i) => `<th scope="col"${i > 2 ? ' class="moe-r"' : ""}>${word}</th>`;
    heads.innerHTML = words.heads.map(head).join("");
  }

  function drawRow(node, row) {
    const [name, bar, goes, weight, pull] = node.children;
    const [filled, number] = bar.firstChild.children;
    node.className = row.on ? "moe-on" : "moe-off";
    setHTML(name, row.name);
    filled.style.cssText = row.bar;
    set(number, row.number);
    set(goes.firstChild, row.sign);
    set(goes.lastChild, row.said);
    set(weight, row.weight);
    set(pull, row.pull);
  }

  function draw(frame, { words, pictures }, { dead }) {
    const said = words.point(frame);
    const result = said.right ? '<b class="pg-right">✓ right</b>' : '<b class="pg-wrong">✗ wrong</b>';
    input.max = frame.data.drawn - 1;
    input.value = frame.point;
    tell(input, `${frame.point + 1} of ${frame.data.drawn}`);
    setHTML(verdict, `${said.verdict}${result}`);
    set(heard, said.heard);
    const list = pictures.rows(frame, dead);
    if (rows.children.length !== list.length) rows.innerHTML = ROW.repeat(list.length);
    list.forEach((row, i) => drawRow(rows.children[i], row));
  }
  return { node, show, draw };
}
