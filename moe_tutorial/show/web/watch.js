// A router while it trains: its regions, the experts' shares and a score, at any recorded step. Without regions
// (resolution 0) the shares over time stand in their place.
import { el, field, mount, numbers, redrawOnChange, stillness, subtitle, tell } from "./dom.js";
import { DEAD, capital, fairWords, shareWords, usageTitle } from "./words.js";
import { drawBars } from "./shares.js";
import { cut, sharesOf, unpack } from "./routing.js";
import { drawPlane, pixels } from "./plane.js";
import { drawBands, drawLines, roundUp } from "./charts.js";

function render({ model, el: root }) {
  const s = model.get("settings"),
    E = s.experts,
    size = s.resolution ** 2 * E,
    last = s.steps.length - 1,
    flat = !s.resolution;
  const codes = numbers(model.get("frames"), Uint8Array);
  const points = numbers(model.get("points")),
    labels = numbers(model.get("labels"), Uint8Array);
  let frame = last,
    playing = 0;

  const message = el("p", { className: "moe-title", ariaLive: "polite" });
  const note = el("p", { className: "moe-note" });
  const play = el("button", { type: "button", className: "moe-button" }, "Play");
  const step = el("input", { type: "range", min: 0, max: last, value: last });
  const canvas = el("canvas", { className: flat ? "" : "moe-plane", role: "img" });
  const picture = flat ? el("div", { className: "moe-bands moe-tall" }, canvas) : canvas;
  const bars = el("ol", { className: "moe-shares" });
  const chart = el("canvas", { className: "moe-chart", role: "img" });
  const scoreTitle = subtitle(),
    shareTitle = subtitle();
  const fair = el("p", { className: "moe-note" }, fairWords(E));
  const side = el(
    "div",
    { className: "moe-side" },
    shareTitle,
    bars,
    fair,
    ...(s.score && last ? [scoreTitle, chart] : []),
  );
  const transport = el("div", { className: "moe-transport" }, ...(last ? [play, field("Step", step)] : []));
  mount(
    root,
    el("p", { className: "moe-kicker" }, s.title),
    message,
    note,
    transport,
    el("div", { className: "moe-split" }, picture, side),
  );

  const logitsAt = (f) => unpack(codes.subarray(f * size, (f + 1) * size), s.span);
  const [left, right, bottom, top] = s.extent || [],
    G = s.resolution;
  function atPoints(logits) {
    const out = new Float32Array(s.points * E);
    for (let i = 0; i < s.points; i++) {
      const u = Math.max(0, Math.min(1, (points[2 * i] - left) / (right - left))) * (G - 1);
      const v = Math.max(0, Math.min(1, (top - points[2 * i + 1]) / (top - bottom))) * (G - 1);
      const a = Math.min(G - 2, u | 0),
        b = Math.min(G - 2, v | 0),
        x = u - a,
        y = v - b,
        at = (b * G + a) * E;
      for (let e = 0; e < E; e++)
        out[i * E + e] =
          (logits[at + e] * (1 - x) + logits[at + E + e] * x) * (1 - y) +
          (logits[at + G * E + e] * (1 - x) + logits[at + G * E + E + e] * x) * y;
    }
    return out;
  }
  const shares = s.shares || s.steps.map((_, f) => sharesOf(atPoints(logitsAt(f)), s.points, E, s.k));

  const title = () =>
    usageTitle(
      frame || !last ? `By step ${s.steps[frame]}` : `At step ${s.steps[0]}`,
      shares[frame],
      s.k === 1 ? "points" : "choices",
      frame && shares[0],
    );

  function drawScore() {
    const y = s.score,
      now = y[frame].toFixed(2),
      high = Math.max(...y) <= 1 && /acc|right/i.test(s.scoreName) ? 1 : roundUp(Math.max(...y));
    drawLines(chart, s.steps, [{ values: y, words: now }], Math.min(0, ...y), high, frame);
    const name = capital(s.scoreName);
    scoreTitle.textContent = `${name} ${now}${frame ? `, from ${y[0].toFixed(2)}` : ""}`;
    chart.setAttribute(
      "aria-label",
      `${name} by step, from ${y[0].toFixed(2)} to ${y[last].toFixed(2)}; ${now} at step ${s.steps[frame]}.`,
    );
  }

  function draw() {
    if (!canvas.clientWidth) return;
    const now = shares[frame],
      dead = now.map((v) => v < DEAD);
    step.value = frame;
    if (last) tell(step, s.steps[frame]);
    message.textContent = title();
    shareTitle.textContent = `Shares at step ${s.steps[frame]}`;
    drawBars(bars, now);
    if (s.score && last) drawScore(); // the side first, since the bands are as high as what stands beside them
    if (flat) {
      note.textContent = "Share of the choices that each expert gets, step by step.";
      canvas.setAttribute("aria-label", `Shares over the steps. ${message.textContent}. Shares: ${shareWords(now)}.`);
      drawBands(canvas, s.steps, shares, now, frame);
    } else {
      note.textContent =
        `Colour: the ${s.k > 1 ? "most-weighted" : "chosen"} expert, deeper where the router is surer.` +
        `${s.labelled ? " Shape: the class." : ""}${dead.some(Boolean) ? " Grey: dead." : ""}`;
      canvas.setAttribute("aria-label", `Map of the plane. ${message.textContent}. Shares: ${shareWords(now)}.`);
      drawPlane(canvas, cut(logitsAt(frame), G, E, pixels(canvas), { k: s.k }), {
        E,
        dead,
        points,
        labels,
        extent: s.extent,
      });
    }
  }

  // Playing goes through all frames in about eight seconds; with reduced motion it shows one frame in ten.
  const pause = () => (
    clearInterval(playing),
    (playing = 0),
    (play.textContent = "Play"),
    (message.ariaLive = "polite")
  );
  play.onclick = () => {
    if (playing) return pause();
    if (frame === last) ((frame = 0), draw());
    play.textContent = "Pause";
    message.ariaLive = "off";
    playing = setInterval(
      () => {
        frame += 1;
        if (!stillness() || frame % 10 === 0 || frame >= last) draw();
        if (frame >= last) pause();
      },
      Math.max(50, Math.min(500, 8000 / s.steps.length)),
    );
  };
  step.oninput = () => (pause(), (frame = +step.value), draw());
  const stop = redrawOnChange(root, draw);
  return () => (pause(), stop());
}
export default { render };
