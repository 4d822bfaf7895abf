// The widget behind explore_router(): temperature, k, the order of softmax and top-k, and the routing of one point.
import { describe, el, field, mount, note, picture, redrawOnChange, subtitle, tell } from "../dom.js";
import { DEAD, mapWords, percent, shareWords, sum } from "../words.js";
import { figureCell, number, pointHead, pointRow } from "../draw/shares.js";
import { SHAPES } from "../draw/pen.js";
import { cut, routeAll } from "../routing.js";
import { drawPlane, nearestTo, pixels } from "../draw/plane.js";
import { numbers } from "../wire.js";

// The title: which experts are chosen, and the sum of the gate weights.
function title(routed, shares, { k, gate }) {
  const E = shares.length;
  const mean = sum(routed.map(({ weights }) => sum(weights))) / routed.length;
  const mass = mean > 0.995 ? "almost 1" : mean.toFixed(2);
  if (k === E)
    return `Every point asks ${E > 1 ? `all ${E} experts` : "the only expert"}; the weights sum to 1 in either order`;
  const alive = shares.filter((share) => share >= DEAD).length;
  const gone = alive < E ? `, ${E - alive} ${E - alive === 1 ? "is" : "are"} dead` : "";
  const whole = k > 1 ? "always sum to 1" : "exactly 1, whatever the logits say";
  const part = k > 1 ? `sum to ${mass} on average` : `${mass} on average`;
  const whoAnswers = k > 1 ? setsWords(routed, k) : aloneWords(shares, alive);
  return `${whoAnswers}${gone}; the ${k > 1 ? "weights" : "weight is"} ${gate === "softmax_topk" ? part : whole}`;
}
function setsWords(routed, k) {
  const sets = new Set(routed.map(({ chosen }) => [...chosen].sort().join())).size;
  const [one, many] = k === 2 ? ["pair", "pairs"] : [`set of ${k}`, `sets of ${k}`];
  return `${sets > 1 ? `${sets} different ${many} answer` : `One ${one} answers`} for the points`;
}
function aloneWords(shares, alive) {
  if (alive === shares.length) return `All ${alive} experts have a region`;
  if (alive > 1) return `${alive} of ${shares.length} experts answer for the points`;
  const most = Math.max(...shares);
  return `Expert ${shares.indexOf(most)} answers for ${percent(most)} of the points`;
}

// A table of one point's probabilities and gate weights by expert.
function routingTable({ probs, chosen, weights }, dead) {
  const rows = probs.map((p, e) => {
    const place = chosen.indexOf(e);
    const mark = el("span", { ariaHidden: "true" }, "◂ ");
    const weight = place < 0 ? [dead[e] ? "dead" : "–"] : [mark, weights[place].toFixed(2)];
    const bar = `--c:var(--moe-${dead[e] ? "border" : `e${e}`});width:${(56 * p).toFixed(1)}%`;
    return pointRow(place >= 0, number(e, dead[e]), bar, p.toFixed(2), figureCell(...weight));
  });
  const head = el("thead", {}, el("tr", {}, ...pointHead(["Expert", "Probability", "Weight"])));
  const total = el("th", { scope: "row", colSpan: 2 }, "Sum of the weights");
  const foot = el("tfoot", {}, el("tr", {}, total, figureCell(sum(weights).toFixed(2))));
  return el("table", {}, head, el("tbody", {}, ...rows), foot);
}

function render({ model, el: root }) {
  const { experts: E, resolution, extent, k: first, points: count, labelled } = model.get("settings");
  const logits = numbers(model.get("logits"));
  const pointLogits = numbers(model.get("point_logits"));
  const points = numbers(model.get("points"));
  const labels = numbers(model.get("labels"), Uint8Array);
  let routed = [];
  let picked = 0;
  let plane = null;
  let dead = [];

  const message = el("p", { className: "moe-title", ariaLive: "polite" });
  const remark = note();
  const temperature = el("input", { type: "range", min: -1, max: 1, step: 0.05, value: 0, oninput: draw });
  const k = el("input", { type: "range", min: 1, max: E, value: first, oninput: draw });
  const order = el("select", { oninput: draw });
  order.append(new Option("softmax, then top-k", "softmax_topk"), new Option("top-k, then softmax", "topk_softmax"));
  const point = el("input", { type: "range", min: 0, max: count - 1, value: 0, oninput: () => pick(+point.value) });
  const canvas = picture("moe-plane moe-pick");
  const table = el("div");
  const hint = note("Or click the plane; arrow keys move the slider.");
  const side = el("div", { className: "moe-side" }, subtitle("Inspect a point"), field("Point", point), table, hint);
  const controls = [field("Temperature", temperature), field("Chosen per point, k", k), field("Order", order)];
  const split = el("div", { className: "moe-split" }, canvas, side);
  mount(root, message, remark, el("div", { className: "moe-controls" }, ...controls), split);

  function pick(i = picked) {
    picked = i;
    table.replaceChildren(routingTable(routed[picked], dead));
    const where = `(${points[2 * picked].toFixed(2)}, ${points[2 * picked + 1].toFixed(2)})`.replaceAll("-", "−");
    tell(point, `${picked}${labelled ? ` ${SHAPES[labels[picked]].sign}` : ""} at ${where}`);
    point.value = picked;
    drawPlane(canvas, plane, { E, dead, points, labels, extent, picked });
  }
  function draw() {
    if (!canvas.clientWidth) return;
    const choice = { k: +k.value, gate: order.value };
    const heat = 10 ** +temperature.value;
    tell(temperature, heat.toPrecision(2));
    tell(k, `${choice.k} of ${E}`);
    routed = routeAll(pointLogits, E, choice, heat);
    const shares = Array(E).fill(0);
    for (const { chosen } of routed) for (const e of chosen) shares[e] += 1 / (count * choice.k);
    dead = shares.map((share) => share < DEAD);
    plane = cut(logits, resolution, E, pixels(canvas), choice, heat);
    message.textContent = title(routed, shares, choice);
    const gaps = choice.k > 1 && choice.k < E ? ". Gaps: another set is chosen" : "";
    const grey = dead.some(Boolean) ? " Grey: dead, under 1 % of the choices." : "";
    remark.textContent = `Colour: ${mapWords(choice.k, labelled, `, deeper with its weight${gaps}`)}${grey}`;
    describe(canvas, `Map of the plane. ${message.textContent}. Shares of the points: ${shareWords(shares)}.`);
    pick();
  }

  canvas.onclick = (click) => pick(nearestTo(click, points, count, extent));
  return redrawOnChange(root, draw);
}
export default { render };
