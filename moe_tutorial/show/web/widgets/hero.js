// The front page's picture: four experts learn to divide a plane, slowly enough to be watched.
import { button, describe, el, mount, note, picture, redrawOnChange, stillness } from "../dom.js";
import { drawPlane } from "../draw/plane.js";
import { drawBars } from "../draw/shares.js";
import { DEAD, fairWords, percent, shareWords } from "../words.js";
import { createMixture } from "../../playground/mixture/model.js";

const FOUR = { E: 4, k: 1, rate: 0.02, balance: "switch", coefficient: 0.1 };
const STEPS = 600;
const PACE = 60; // training steps a second
const CALM = 500; // ms between two pictures for readers who prefer reduced motion
const SIDE = 128; // grid points along the map's side
const DRAWN = 200; // points

function words(step, { accuracy, nmi }) {
  if (!step) return "Four small networks, and nobody has told them who does what";
  const right = percent(accuracy);
  if (step < STEPS) return `After ${step} steps the four get ${right} of unseen points right`;
  const shared = nmi > 0.75 ? "each has found a part of its own" : "some still share a part";
  return `After ${step} steps they get ${right} right, and ${shared}`;
}

function render({ el: root }) {
  const title = el("p", { className: "moe-title", role: "status" });
  const map = picture("moe-hero-map");
  const shares = el("ol", { className: "moe-shares" });
  const play = button("Play");
  const again = button("Another start", { className: "moe-button moe-quiet" });
  const count = el("span", { className: "moe-note" });
  const fair = note(fairWords(FOUR.E));
  const aside = el("div", { className: "moe-hero-side" }, title, el("p", {}, play, again), count, shares, fair);
  let seed = 100;
  let model = createMixture({ ...FOUR, seed });
  let running = false;
  let handle = 0;
  let begun = 0;
  let drawn = 0;

  mount(root, el("div", { className: "moe-hero" }, map, aside));

  function draw() {
    const { E } = FOUR;
    const { data } = model;
    const now = model.evaluate();
    const dead = Array.from(now.shares, (share) => share < DEAD);
    const { owner, confidence } = model.plane(SIDE);
    const labels = data.y.subarray(0, DRAWN);
    drawPlane(
      map,
      { owner, set: owner, depth: confidence, n: SIDE },
      { E, dead, points: data.x, labels, extent: data.extent },
    );
    drawBars(shares, Array.from(now.shares));
    title.textContent = words(model.step, now);
    count.textContent = `Training step ${model.step} of ${STEPS}`;
    const parts = shareWords(Array.from(now.shares));
    describe(map, `A plane that four experts divide. ${title.textContent}. Shares of the points: ${parts}.`);
    play.textContent = running ? "Pause" : model.step < STEPS ? "Play" : "Play again";
    Object.assign(root.dataset, { step: model.step, running });
  }

  function tick(time) {
    const due = Math.min(STEPS, Math.floor(((time - begun) * PACE) / 1000));
    if (due > model.step) model.train(due - model.step);
    running = model.step < STEPS;
    if (!running || time - drawn >= (stillness() ? CALM : 0)) {
      draw();
      drawn = time;
    }
    handle = running ? requestAnimationFrame(tick) : 0;
  }
  function start() {
    running = true;
    begun = performance.now() - (1000 * model.step) / PACE;
    handle = requestAnimationFrame(tick);
  }
  function stop() {
    cancelAnimationFrame(handle);
    running = false;
    draw();
  }
  function anew(next) {
    seed = next;
    model = createMixture({ ...FOUR, seed });
  }
  play.onclick = () => {
    if (running) return stop();
    if (model.step >= STEPS) anew(seed);
    start();
  };
  again.onclick = () => {
    cancelAnimationFrame(handle);
    anew(seed + 1);
    start();
  };
  const sight = new IntersectionObserver(([entry]) => !entry.isIntersecting && running && stop());
  sight.observe(root);
  const end = redrawOnChange(root, draw);
  return () => (end(), sight.disconnect(), cancelAnimationFrame(handle));
}
export default { render };
