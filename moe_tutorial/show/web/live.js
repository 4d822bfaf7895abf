// Training that runs in the kernel and is drawn here: clicks and slider moves go out as messages, frames come in.
import { button, describe, el, mount, note, perFrame, picture, quietly, redrawOnChange, subtitle } from "./dom.js";
import { DEAD, capital, mapWords, shareWords, usageTitle } from "./words.js";
import { GONE, connect } from "./link.js";
import { sharePanel } from "./draw/shares.js";
import { makeSlider, short } from "./slider.js";
import { cut } from "./routing.js";
import { drawPlane, pixels } from "./draw/plane.js";
import { drawHistory } from "./draw/charts.js";
import { historyOf, numbers, unpack } from "./wire.js";

const MOVING = 0.45; // of the pixels: in motion the map is quick, at rest it is sharp
const POWERS = Array.from({ length: 21 }, (_, i) => +(10 ** (i / 4 - 3)).toPrecision(2));

const sliders = ({ experts: E, balanceName }) => ({
  noise: { label: "Noise on the logits", slider: { from: 0, to: 2, step: 0.05 }, words: { 0: "off" } },
  coefficient: { label: capital(balanceName), slider: { stops: [0, ...POWERS] }, words: { 0: "off", else: "× #" } },
  rate: { label: "Learning rate", slider: { scale: "power of ten", from: -4, to: 0, step: 0.25 } },
  k: { label: "Chosen per point, k", slider: { from: 1, to: E, step: 1 }, words: { else: `# of ${E}` } },
});

function render({ model, el: root }) {
  const s = model.get("settings");
  const { experts: E, resolution } = s;
  const points = numbers(model.get("points"));
  const labels = numbers(model.get("labels"), Uint8Array);
  let frame = model.get("frame");
  let serial = frame.serial;

  const message = el("p", { className: "moe-title moe-steady" });
  const remark = note();
  const status = note();
  const error = el("pre", { className: "moe-error", role: "alert", hidden: true });
  const ask = (word) => link.send({ do: word });
  const back = "Back to the start, with the sliders as they are";
  const play = button("Start", { onclick: () => ask(frame.running ? "pause" : "start") });
  const step = quietly("Step", { title: "One training step", onclick: () => ask("step") });
  const reset = quietly("Reset", { title: back, onclick: () => ask("reset") });
  const map = picture("moe-plane");
  const bands = picture();
  const chart = picture("moe-chart");
  const lossTitle = subtitle();
  const shareNote = note();
  const usage = sharePanel(E, shareNote);

  const link = connect(model, (words) => {
    status.textContent = link.gone() ? "" : words;
    if (!link.gone()) return;
    for (const node of root.querySelectorAll("button, input")) node.disabled = true;
    draw();
  });

  function controls() {
    const rows = sliders(s);
    const made = s.sliders.map((name) => {
      const send = (value) => link.send({ set: { [name]: value }, serial: ++serial });
      const { node, show, say } = makeSlider(rows[name], send);
      show(frame.knobs[name]);
      return { node, words: `${rows[name].label}: ${say(frame.knobs[name])}` };
    });
    const said = made.map(({ words }) => words).join(" · ");
    if (!link.live)
      return [note(`A recorded run of ${frame.step} steps. In JupyterLab you train it yourself. ${said}`)];
    return [
      el("div", { className: "moe-row" }, play, step, reset, status),
      el("div", { className: "moe-controls" }, ...made.map(({ node }) => node)),
      note(s.remark),
    ];
  }
  const loss = [lossTitle, chart];
  const tall = !resolution || E > 9 ? " moe-tall" : "";
  const race = el("div", { className: `moe-bands${tall}` }, bands);
  const over = el("div", { className: "moe-over" }, subtitle("Shares, step by step"), race);
  const side = el("div", { className: "moe-side" }, ...usage.nodes, ...(resolution ? loss : []));
  const main = el("div", { className: "moe-split moe-even" }, resolution ? map : over, side);
  const below = resolution ? over : el("div", { className: "moe-over" }, ...loss);
  mount(root, message, remark, ...controls(), error, main, below);

  function write() {
    const { knobs, recent, running } = frame;
    const { shares, task, balance } = recent;
    const things = knobs.k === 1 ? "points" : "choices";
    const accuracy = `test accuracy ${(100 * frame.accuracy).toFixed(1)} %`;
    message.textContent = `${usageTitle(`Step ${frame.step}:`, shares, things)}; ${accuracy}`;
    message.ariaLive = running ? "off" : "polite";
    const how = " without noise, deeper where the router is surer";
    remark.textContent = resolution ? `Map: ${mapWords(knobs.k, s.labelled, how)}` : "";
    const steps = `${recent.steps} training step${recent.steps > 1 ? "s" : ""}${knobs.noise ? ", noise included" : ""}`;
    shareNote.textContent = `Of the ${recent.steps ? `last ${steps}` : "training points, with these settings"}.`;
    play.textContent = running ? "Pause" : "Start";
    step.disabled = running || link.gone();
    error.hidden = !frame.error;
    error.textContent = frame.error;
    const added = `; ${s.balanceName} × ${short(knobs.coefficient)} adds ${balance.toFixed(2)}`;
    lossTitle.textContent = `Task loss ${task.toFixed(2)}${knobs.coefficient ? added : ""}`;
    const all = `${message.textContent}. Shares: ${shareWords(shares)}.`;
    describe(map, `Map of the plane. ${all}`);
    describe(bands, `Shares over ${frame.step} steps. ${all}`);
    describe(chart, `Loss over ${frame.step} steps. ${lossTitle.textContent}.`);
    Object.assign(root.dataset, { step: frame.step, serial: frame.serial, running });
  }
  function drawMap() {
    const dead = frame.recent.shares.map((share) => share < DEAD);
    const logits = unpack(numbers(frame.plane, Uint8Array), frame.span);
    const side = Math.round(pixels(map) * (frame.running ? MOVING : 1));
    const plane = cut(logits, resolution, E, side, { k: frame.knobs.k });
    drawPlane(map, plane, { E, dead, points, labels, extent: s.extent });
  }
  function draw() {
    frame = model.get("frame");
    if (link.gone()) frame = { ...frame, running: false, error: GONE };
    write();
    usage.draw(frame.step, frame.recent.shares);
    if (!bands.clientWidth) return;
    drawHistory(bands, chart, historyOf(frame.history, E), ["balance"]);
    if (resolution) drawMap();
  }

  const drawing = perFrame(() => {
    draw();
    if (!link.gone()) status.textContent = "";
    link.drawn(() => frame.number, frame.running);
  });
  model.on("change:frame", drawing.ask);
  const stop = redrawOnChange(root, draw);
  drawing.ask();
  return () => {
    model.off("change:frame", drawing.ask);
    link.close();
    stop();
    drawing.cancel();
  };
}
export default { render };
