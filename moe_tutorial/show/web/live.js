// Training that runs in the kernel and is drawn here: clicks and slider moves go out as messages, frames come in.
// The newest frame that was drawn is acknowledged five times a second, no oftener, since JupyterLab spends more on each
// message than the drawing takes. Without it the kernel soon sends no other frame, and pauses. A kernel that was
// restarted, or died, knows this panel no more, and JupyterLab refuses what is still sent to it.
import { el, field, mount, numbers, redrawOnChange, subtitle, tell } from "./dom.js";
import { DEAD, capital, fairWords, shareWords, usageTitle } from "./words.js";
import { drawBars } from "./shares.js";
import { cut, unpack } from "./routing.js";
import { drawPlane, pixels } from "./plane.js";
import { drawBands, drawLines, roundUp } from "./charts.js";

const GONE = "The kernel is gone: it was restarted, or it died. Run this cell again.";
const ENDS = ["restarting", "autorestarting", "starting", "dead"]; // JupyterLab's words for a kernel that is not the one it was

function render({ model, el: root }) {
  const s = model.get("settings"),
    E = s.experts,
    flat = !s.resolution,
    kernel = model.widget_manager?.kernel,
    live = !!kernel;
  const points = numbers(model.get("points")),
    labels = numbers(model.get("labels"), Uint8Array);
  let f = model.get("frame"),
    serial = f.serial,
    drawing = 0,
    late = 0,
    told = 0,
    gone = false;

  const message = el("p", { className: "moe-title moe-steady" }),
    note = el("p", { className: "moe-note" });
  const play = el("button", { type: "button", className: "moe-button" }, "Start");
  const step = el("button", { type: "button", className: "moe-button moe-quiet", title: "One training step" }, "Step");
  const reset = el(
    "button",
    { type: "button", className: "moe-button moe-quiet", title: "Back to the start, with the sliders as they are" },
    "Reset",
  );
  const status = el("p", { className: "moe-note" });
  const error = el("pre", { className: "moe-error", role: "alert", hidden: true });
  const plane = el("canvas", { className: "moe-plane", role: "img" });
  const bands = el("canvas", { role: "img" });
  const chart = el("canvas", { className: "moe-chart", role: "img" }),
    bars = el("ol", { className: "moe-shares" });
  const shareTitle = subtitle(),
    lossTitle = subtitle(),
    shareNote = el("p", { className: "moe-note" }),
    fixed = el("p", { className: "moe-note" });
  const over = el(
    "div",
    { className: "moe-over" },
    subtitle("Shares, step by step"),
    el("div", { className: `moe-bands${flat || E > 9 ? " moe-tall" : ""}` }, bands),
  );
  const usage = [shareTitle, shareNote, bars, el("p", { className: "moe-note" }, fairWords(E))],
    loss = [lossTitle, chart];
  const below = flat ? el("div", { className: "moe-over" }, ...loss) : over;

  // [label, the slider's range, slider -> setting, setting -> slider, words]
  const same = (v) => v,
    short = (v) => String(+v.toPrecision(2)),
    power = (p) => +(10 ** p).toPrecision(2);
  const kinds = {
    noise: ["Noise on the logits", { min: 0, max: 2, step: 0.05 }, same, same, (v) => (v ? v.toFixed(2) : "off")],
    coefficient: [
      capital(s.balanceName),
      { min: -3.25, max: 2, step: 0.25 },
      (p) => (p < -3 ? 0 : power(p)),
      (v) => (v ? Math.log10(v) : -3.25),
      (v) => (v ? `× ${short(v)}` : "off"),
    ],
    rate: ["Learning rate", { min: -4, max: 0, step: 0.25 }, power, Math.log10, short],
    k: ["Chosen per point, k", { min: 1, max: E, step: 1 }, same, same, (v) => `${v} of ${E}`],
  };
  const controls = s.sliders.map((name) => {
    const [words, range, setting, position, say] = kinds[name];
    const input = el("input", { type: "range", ...range, value: position(f.knobs[name]) }),
      node = field(words, input);
    tell(input, say(f.knobs[name]));
    input.oninput = () => {
      const value = setting(+input.value);
      tell(input, say(value));
      send({ set: { [name]: value }, serial: ++serial });
    };
    return node;
  });
  fixed.textContent =
    `A recorded run of ${f.step} steps. In JupyterLab you train it yourself. ` +
    s.sliders.map((name) => `${kinds[name][0]}: ${kinds[name][4](f.knobs[name])}`).join(" · ");
  mount(
    root,
    el("p", { className: "moe-kicker" }, s.title),
    message,
    note,
    ...(live
      ? [
          el("div", { className: "moe-row" }, play, step, reset, status),
          el("div", { className: "moe-controls" }, ...controls),
          el("p", { className: "moe-note" }, s.remark),
        ]
      : [fixed]),
    error,
    el(
      "div",
      { className: "moe-split moe-even" },
      flat ? over : plane,
      el("div", { className: "moe-side" }, ...usage, ...(flat ? [] : loss)),
    ),
    below,
  );

  // Whoever waits longer than it should is told so.
  const expect = (ms) => (
    clearTimeout(late),
    (late = setTimeout(
      () => (status.textContent = "Waiting for the kernel: training stands still while a cell runs."),
      ms,
    ))
  );
  const send = (what) => (expect(500), post(what));
  const post = (what) => {
    try {
      model.send(what);
    } catch {
      lose();
    }
  };
  const lose = () => {
    gone = true;
    [late, told].forEach(clearTimeout);
    status.textContent = "";
    root.querySelectorAll("button, input").forEach((node) => (node.disabled = true));
    draw();
  };
  const watch = (_, now) => ENDS.includes(now) && lose();
  kernel?.statusChanged.connect(watch);
  play.onclick = () => send({ do: f.running ? "pause" : "start" });
  step.onclick = () => send({ do: "step" });
  reset.onclick = () => send({ do: "reset" });

  function draw() {
    f = { ...model.get("frame"), ...(gone && { running: false, error: GONE }) };
    const now = f.shares,
      dead = now.map((v) => v < DEAD),
      width = 3 + E,
      history = numbers(f.history);
    const rows = Array.from({ length: history.length / width }, (_, i) => history.subarray(i * width, (i + 1) * width));
    const steps = rows.map((row) => row[0]),
      things = f.knobs.k === 1 ? "points" : "choices";
    message.textContent = `${usageTitle(`Step ${f.step}:`, now, things)}; test accuracy ${(100 * f.accuracy).toFixed(1)} %`;
    message.ariaLive = f.running ? "off" : "polite";
    note.textContent = flat
      ? ""
      : `Map: the ${f.knobs.k > 1 ? "most-weighted" : "chosen"} expert without noise, deeper where the router is surer.${s.labelled ? " Shape: the class." : ""}`;
    shareNote.textContent = f.recent
      ? `Of the last ${f.recent} training step${f.recent > 1 ? "s" : ""}${f.knobs.noise ? ", noise included" : ""}.`
      : "Of the training points, with these settings.";
    play.textContent = f.running ? "Pause" : "Start";
    step.disabled = f.running || gone;
    error.hidden = !f.error;
    error.textContent = f.error;
    shareTitle.textContent = `Shares at step ${f.step}`;
    lossTitle.textContent = `Task loss ${f.task.toFixed(2)}${f.knobs.coefficient ? `; ${s.balanceName} × ${short(f.knobs.coefficient)} adds ${f.extra.toFixed(2)}` : ""}`;
    drawBars(bars, now);
    if (bands.clientWidth) {
      drawBands(
        bands,
        steps,
        rows.map((row) => row.subarray(3)),
        now,
      );
      const lines = [{ values: rows.map((row) => row[1]), words: `task ${f.task.toFixed(2)}` }];
      if (rows.some((row) => row[2]))
        lines.push({ values: rows.map((row) => row[2]), words: `balance ${f.extra.toFixed(2)}` });
      drawLines(chart, steps, lines, 0, roundUp(Math.max(...lines[0].values)));
      const sharp = Math.round(pixels(plane) * (f.running ? 0.45 : 1)); // in motion quick, at rest sharp
      if (!flat)
        drawPlane(plane, cut(unpack(numbers(f.plane, Uint8Array), f.span), s.resolution, E, sharp, { k: f.knobs.k }), {
          E,
          dead,
          points,
          labels,
          extent: s.extent,
        });
    }
    plane.setAttribute("aria-label", `Map of the plane. ${message.textContent}. Shares: ${shareWords(now)}.`);
    bands.setAttribute(
      "aria-label",
      `Shares over ${f.step} steps. ${message.textContent}. Shares: ${shareWords(now)}.`,
    );
    chart.setAttribute("aria-label", `Loss over ${f.step} steps. ${lossTitle.textContent}.`);
    Object.assign(root.dataset, { step: f.step, serial: f.serial, running: f.running });
  }

  const receive = () => {
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      draw();
      if (live && !gone) told ||= setTimeout(() => ((told = 0), post({ seen: f.number })), f.running ? 200 : 0);
      clearTimeout(late);
      status.textContent = "";
      if (f.running) expect(1500);
    });
  };
  model.on("change:frame", receive);
  const stop = redrawOnChange(root, draw);
  receive();
  return () => (
    model.off("change:frame", receive),
    kernel?.statusChanged.disconnect(watch),
    stop(),
    cancelAnimationFrame(drawing),
    clearTimeout(late),
    clearTimeout(told)
  );
}
export default { render };
