// A router to explore: temperature, k, the order of softmax and top-k, and any point's routing.
import { el, field, mount, numbers, redrawOnChange, tell } from "./dom.js";
import { DEAD, percent, shareWords, sum } from "./words.js";
import { badge } from "./shares.js";
import { SHAPES } from "./pen.js";
import { cut, route, sharesOf } from "./routing.js";
import { drawPlane, pixels } from "./plane.js";

function render({ model, el: root }) {
  const s = model.get("settings"),
    E = s.experts;
  const logits = numbers(model.get("logits")),
    atPoints = numbers(model.get("point_logits"));
  const points = numbers(model.get("points")),
    labels = numbers(model.get("labels"), Uint8Array);
  const state = { temperature: 1, k: s.k, softmaxFirst: true };
  let picked = 0,
    plane = null,
    shares = [],
    dead = [];

  const message = el("p", { className: "moe-title", ariaLive: "polite" });
  const note = el("p", { className: "moe-note" });
  const temperature = el("input", { type: "range", min: -1, max: 1, step: 0.05, value: 0 });
  const k = el("input", { type: "range", min: 1, max: E, value: s.k });
  const order = el(
    "select",
    {},
    el("option", { value: "first" }, "softmax, then top-k"),
    el("option", { value: "last" }, "top-k, then softmax"),
  );
  const point = el("input", { type: "range", min: 0, max: s.points - 1, value: 0 });
  const canvas = el("canvas", { className: "moe-plane moe-pick", role: "img" });
  const table = el("div");
  const split = el(
    "div",
    { className: "moe-split" },
    canvas,
    el(
      "div",
      { className: "moe-side" },
      el("p", { className: "moe-subtitle" }, "Inspect a point"),
      field("Point", point),
      table,
      el("p", { className: "moe-note" }, "Or click the plane; arrow keys move the slider."),
    ),
  );
  const controls = [field("Temperature", temperature), field("Chosen per point, k", k), field("Order", order)];
  mount(
    root,
    el("p", { className: "moe-kicker" }, s.title),
    message,
    note,
    el("div", { className: "moe-controls" }, ...controls),
    split,
  );

  // The message is computed from what is drawn.
  function title() {
    const routed = Array.from(labels, (_, i) => route(atPoints, i * E, E, state)),
      last = !state.softmaxFirst;
    const mean = sum(routed.map((r) => sum(r.weights))) / routed.length,
      mass = mean > 0.995 ? "almost 1" : mean.toFixed(2);
    const alive = dead.filter((d) => !d).length,
      gone = E - alive ? `, ${E - alive} ${E - alive === 1 ? "is" : "are"} dead` : "";
    const sets = new Set(routed.map((r) => [...r.chosen].sort().join())).size,
      size = state.k === 2 ? "pair" : `set of ${state.k}`;
    if (state.k === E)
      return `Every point asks ${E > 1 ? `all ${E} experts` : "the only expert"}; the weights sum to 1 in either order`;
    if (state.k > 1)
      return (
        `${sets > 1 ? `${sets} different ${size.replace(/^(pair|set)/, "$1s")} answer` : `One ${size} answers`} for the points${gone}; ` +
        (last ? "the weights always sum to 1" : `the weights sum to ${mass} on average`)
      );
    const who =
      alive === E
        ? `All ${E} experts have a region`
        : alive > 1
          ? `${alive} of ${E} experts answer for the points`
          : `Expert ${dead.indexOf(false)} answers for ${percent(Math.max(...shares))} of the points`;
    return `${who}${gone}; ${last ? "the weight is exactly 1, whatever the logits say" : `the weight is ${mass} on average`}`;
  }

  function inspect() {
    const r = route(atPoints, picked * E, E, state),
      kind = SHAPES[labels[picked]];
    const row = (e) => {
      const c = r.chosen.indexOf(e),
        p = r.probs[e];
      return `<tr class="${c < 0 ? "moe-off" : "moe-on"}"><th scope="row">${badge(e, dead[e])}</th>
        <td><span class="moe-bar"><i style="--c:var(--moe-${dead[e] ? "border" : `e${e}`});width:${(56 * p).toFixed(1)}%"></i>${p.toFixed(2)}</span></td>
        <td class="moe-r">${c < 0 ? (dead[e] ? "dead" : "–") : `<span aria-hidden="true">◂ </span>${r.weights[c].toFixed(2)}`}</td></tr>`;
    };
    table.innerHTML = `<table><thead><tr><th scope="col">Expert</th><th scope="col">Probability</th><th scope="col" class="moe-r">Weight</th></tr></thead>
      <tbody>${r.probs.map((_, e) => row(e)).join("")}</tbody>
      <tfoot><tr><th scope="row" colspan="2">Sum of the weights</th><td class="moe-r">${sum(r.weights).toFixed(2)}</td></tr></tfoot></table>`;
    const where = `(${points[2 * picked].toFixed(2)}, ${points[2 * picked + 1].toFixed(2)})`;
    tell(point, `${picked}${s.labelled ? ` ${kind.sign}` : ""} at ${where}`);
    point.value = picked;
  }

  function draw() {
    if (!canvas.clientWidth) return;
    tell(temperature, state.temperature.toPrecision(2));
    tell(k, `${state.k} of ${E}`);
    shares = sharesOf(atPoints, s.points, E, state.k);
    dead = shares.map((v) => v < DEAD);
    plane = cut(logits, s.resolution, E, pixels(canvas), state);
    message.textContent = title();
    note.textContent =
      `Colour: the ${state.k > 1 ? "most-weighted" : "chosen"} expert, deeper with its weight.` +
      `${state.k > 1 && state.k < E ? " Gaps: another set is chosen." : ""}` +
      `${s.labelled ? " Shape: the class." : ""}${dead.some(Boolean) ? " Grey: dead, under 1 % of the choices." : ""}`;
    canvas.setAttribute(
      "aria-label",
      `Map of the plane. ${message.textContent}. Shares of the points: ${shareWords(shares)}.`,
    );
    inspect();
    drawRegions();
  }
  const drawRegions = () => drawPlane(canvas, plane, { E, dead, points, labels, extent: s.extent, picked });
  const pick = (i) => ((picked = i), inspect(), drawRegions());

  temperature.oninput = () => ((state.temperature = 10 ** +temperature.value), draw());
  k.oninput = () => ((state.k = +k.value), draw());
  order.oninput = () => ((state.softmaxFirst = order.value === "first"), draw());
  point.oninput = () => pick(+point.value);
  canvas.onclick = (event) => {
    const [left, right, bottom, top] = s.extent,
      w = canvas.clientWidth;
    const far = (i) =>
      Math.hypot(
        ((points[2 * i] - left) / (right - left)) * w - event.offsetX,
        ((top - points[2 * i + 1]) / (top - bottom)) * w - event.offsetY,
      );
    let best = 0;
    for (let i = 1; i < labels.length; i++) if (far(i) < far(best)) best = i;
    pick(best);
  };
  return redrawOnChange(root, draw);
}
export default { render };
