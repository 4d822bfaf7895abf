// The widget behind watch_training() and watch_usage(): a router's regions, the experts' shares and a score at any
// recorded step. Without regions (resolution 0) the shares over time take their place.
import {
  button,
  describe,
  el,
  field,
  mount,
  note,
  picture,
  redrawOnChange,
  stillness,
  subtitle,
  tell,
} from "../dom.js";
import { DEAD, capital, mapWords, shareWords, usageTitle } from "../words.js";
import { sharePanel } from "../draw/shares.js";
import { cut } from "../routing.js";
import { drawPlane, pixels } from "../draw/plane.js";
import { drawBands, drawLines, roundUp } from "../draw/charts.js";
import { numbers, unpack } from "../wire.js";

const WHOLE = 8000; // ms to play all frames, if a frame may take that long

// The score at each step, drawn as a line.
function scorePanel({ score, scoreName, steps }) {
  const last = steps.length - 1;
  const title = subtitle();
  const chart = picture("moe-chart");
  const name = capital(scoreName);
  const from = score[0].toFixed(2);
  const isPart = Math.max(...score) <= 1 && /acc|right/i.test(scoreName);
  const high = isPart ? 1 : roundUp(Math.max(...score));
  return {
    nodes: [title, chart],
    draw(frame) {
      const words = score[frame].toFixed(2);
      drawLines(chart, steps, [{ values: score, words }], Math.min(0, ...score), high, frame);
      title.textContent = `${name} ${words}${frame ? `, from ${from}` : ""}`;
      describe(chart, `${name} by step, from ${from} to ${score[last].toFixed(2)}; ${words} at step ${steps[frame]}.`);
    },
  };
}

function render({ model, el: root }) {
  const s = model.get("settings");
  const { experts: E, resolution: G, steps, shares } = s;
  const last = steps.length - 1;
  const codes = numbers(model.get("frames"), Uint8Array);
  const points = numbers(model.get("points"));
  const labels = numbers(model.get("labels"), Uint8Array);
  const size = G * G * E;
  const logitsAt = (f) => unpack(codes.subarray(f * size, (f + 1) * size), s.span);
  let frame = stillness() ? last : 0;

  const message = el("p", { className: "moe-title", ariaLive: "polite" });
  const remark = note();
  const play = button("Play");
  const step = el("input", { type: "range", min: 0, max: last, value: frame });
  const canvas = picture(G ? "moe-plane" : "");
  const usage = sharePanel(E);
  const score = s.score && last ? scorePanel(s) : null;
  const kicker = el("p", { className: "moe-kicker" }, s.title);
  const transport = el("div", { className: "moe-transport" }, ...(last ? [play, field("Step", step)] : []));
  const main = G ? canvas : el("div", { className: "moe-bands moe-tall" }, canvas);
  const side = el("div", { className: "moe-side" }, ...usage.nodes, ...(score?.nodes ?? []));
  mount(root, kicker, message, remark, transport, el("div", { className: "moe-split" }, main, side));

  function drawMap(now) {
    const dead = now.map((share) => share < DEAD);
    const plane = cut(logitsAt(frame), G, E, pixels(canvas), { k: s.k });
    drawPlane(canvas, plane, { E, dead, points, labels, extent: s.extent });
    const grey = dead.some(Boolean) ? " Grey: dead." : "";
    return ["Map of the plane", `Colour: ${mapWords(s.k, s.labelled, ", deeper where the router is surer")}${grey}`];
  }
  function drawRace(now) {
    drawBands(canvas, steps, shares, now, frame);
    return ["Shares over the steps", "Share of the choices that each expert gets, step by step."];
  }
  function draw() {
    if (!canvas.clientWidth) return;
    const now = shares[frame];
    const when = frame || !last ? `By step ${steps[frame]}` : `At step ${steps[0]}`;
    message.textContent = usageTitle(when, now, s.k === 1 ? "points" : "choices", frame && shares[0]);
    step.value = frame;
    if (last) tell(step, steps[frame]);
    usage.draw(steps[frame], now);
    score?.draw(frame); // the side first, because the bands get its height
    const [name, words] = G ? drawMap(now) : drawRace(now);
    remark.textContent = words;
    describe(canvas, `${name}. ${message.textContent}. Shares: ${shareWords(now)}.`);
  }

  // Play goes through all frames; with reduced motion it shows one in ten. Without, it plays by itself when first in
  // sight.
  let playing = 0;
  function stop() {
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
    message.ariaLive = "polite";
  }
  function show(next, visible = true) {
    frame = next;
    if (visible) draw();
    if (frame === last) stop();
  }
  play.onclick = () => {
    sight.disconnect();
    if (playing) return stop();
    if (frame === last) show(0);
    play.textContent = "Pause";
    message.ariaLive = "off";
    const next = () => show(frame + 1, !stillness() || (frame + 1) % 10 === 0 || frame + 1 === last);
    playing = setInterval(next, Math.max(50, Math.min(500, WHOLE / (last + 1))));
  };
  step.oninput = () => {
    sight.disconnect();
    stop();
    show(+step.value);
  };
  const sight = new IntersectionObserver((seen) => seen.at(-1).isIntersecting && play.click(), { threshold: 0.5 });
  if (last && !stillness()) sight.observe(canvas);
  const showEnd = () => show(last);
  addEventListener("beforeprint", showEnd);
  const stopDrawing = redrawOnChange(root, draw);
  return () => {
    removeEventListener("beforeprint", showEnd);
    sight.disconnect();
    stop();
    stopDrawing();
  };
}
export default { render };
