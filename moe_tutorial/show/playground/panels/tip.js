// A note beside a tapped point.
import { el, quietly, renew } from "../../web/dom.js";

export function makeTip() {
  const said = el("p");
  const close = quietly("×", { className: "pg-close", ariaLabel: "Close", onclick: () => (node.hidden = true) });
  const node = el("div", { className: "pg-tip", hidden: true }, said, close);

  // The last argument is the point's position from the left and the top, as fractions of the map.
  function draw(frame, words, [across, down]) {
    if (node.hidden) return;
    const { verdict, right } = words.point(frame);
    const result = el("b", { className: right ? "pg-right" : "pg-wrong" }, right ? "✓ right" : "✗ wrong");
    renew(said, new Text(`${words.asked(frame)} ${verdict}`), result);
    const [x, y] = [across, down].map((part) => `${(100 * part).toFixed(1)}%`);
    const [from, other] = across < 0.5 ? ["left", "right"] : ["right", "left"];
    Object.assign(node.style, { [from]: across < 0.5 ? x : `calc(100% - ${x})`, [other]: "auto" });
    Object.assign(node.style, down < 0.5 ? { top: y, bottom: "auto" } : { top: "auto", bottom: `calc(100% - ${y})` });
  }
  return { node, open: () => (node.hidden = false), draw };
}
