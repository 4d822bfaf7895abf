// The inspected point: the chosen experts, their weights, and the gradient of its loss.
import { el, field, note, renew, tell } from "../../web/dom.js";
import { figureCell, pointHead, pointRow } from "../../web/draw/shares.js";
import { group, heading, set } from "../panels/elements.js";

function rowOf({ on, name, bar, number, sign, said, weight, pull }) {
  const says = el("td", {}, el("span", { ariaHidden: "true" }, sign), el("span", { className: "moe-sr" }, said));
  return pointRow(on, name, bar, number, says, figureCell(weight), figureCell(pull));
}

export function makePoint(inspect) {
  const input = el("input", { type: "range", min: 0, step: 1, oninput: () => inspect(+input.value) });
  const heads = el("tr");
  const rows = el("tbody");
  const verdict = el("p", { className: "pg-verdict" });
  const heard = note();
  const table = el("table", {}, el("thead", {}, heads), rows);
  const above = heading();
  above.title("Inspect a point");
  const node = group("pg-point", "Inspect a point", above.node, field("Point", input), table, verdict, heard);

  function show({ words }) {
    heads.replaceChildren(...pointHead(words.heads, 3));
    above.explain(words.pointNote);
  }

  function draw(frame, { words, pictures }, { dead }) {
    const said = words.point(frame);
    const [className, result] = said.right ? ["pg-right", "✓ right"] : ["pg-wrong", "✗ wrong"];
    input.max = frame.data.drawn - 1;
    input.value = frame.point;
    tell(input, `${frame.point + 1} of ${frame.data.drawn} on the map`);
    renew(verdict, new Text(said.verdict), el("b", { className }, result));
    set(heard, said.heard);
    renew(rows, ...pictures.rows(frame, dead).map(rowOf));
  }
  return { node, show, draw };
}
