// Who trains: this page, or the kernel. The view knows one interface and one shape of frame:
//   begin(settings, steps, more) play() pause() step() reset() run(steps) change(settings) look(point)
//   knock(expert, out) force(expert, share) show(visible) subscribe(draw) dispose()
// A frame holds what was measured at one step, and plane() and partPlane() to be asked for pictures of it. A part is what
// does the work: an expert, or a tree's leaf.
import { stillness } from "../web/dom.js";
import { sum } from "../web/words.js";
import { makeData } from "./data.js";
import { createLayer } from "./kinds.js";

const SLICE = 9; // ms of training between two animation frames, so that a slider finds the page free
const PAINT = 28; // ms between two pictures of a training
const STILL = 500; // the same for readers who asked for little motion
const GIVE_WAY = 400; // ms after a slider moved in which training takes only short turns, since it will move again
const SETTLE = 150; // ms after the last move until a resting picture becomes sharp
export const CATCH_UP = 500; // steps that a new start trains by itself, if the one before had come so far
export const RESTARTS = ["data", "centred", "seed", "E", "width", "depth", "leaf_width"]; // settings that need a new model

// Trains in this page: between two pictures, and only while somebody can see it. `own`: points brought along.
export function browserEngine(first, own) {
  const listeners = new Set();
  let made = {},
    layer = first.layer,
    model = create(first),
    running = false,
    goal = 0,
    shown = true,
    point = 0,
    serial = 0,
    error = "";
  let handle = 0,
    due = true,
    sharp = true,
    settling = 0,
    moved = -GIVE_WAY,
    drawn = 0,
    slice = 1,
    marks = [];

  function create(settings) {
    const fit = settings.layer === "mixture" ? { ...settings, k: Math.min(settings.k, settings.E) } : settings;
    const name = [fit.data, fit.seed, fit.centred].join();
    if (!own && made.name !== name) made = { name, data: makeData(fit.data, fit.seed, fit.centred) };
    layer = fit.layer;
    return createLayer(fit, own ?? made.data); // the same points as before are not drawn anew
  }
  const busy = () => running || model.step < goal;
  const soon = () => {
    if (!handle && shown && !document.hidden && (due || busy())) handle = requestAnimationFrame(tick);
  };
  const now = () => ((due = true), soon());
  const settle = () => ((sharp = true), now());

  // First the picture, then the training: whoever moved a slider sees it before the next steps are computed.
  function tick(time) {
    handle = 0;
    const pace = stillness() ? STILL : PAINT;
    const painting = due || time - drawn >= pace;
    if (painting) {
      const frame = look(sharp && !busy());
      due = sharp = false;
      drawn = time;
      listeners.forEach((draw) => draw(frame));
      clearTimeout(settling);
      if (!frame.settled && !busy()) settling = setTimeout(settle, SETTLE);
    }
    if (busy()) train(performance.now() + (painting || time - moved < GIVE_WAY ? SLICE / 3 : SLICE));
    soon();
  }

  function train(end) {
    const begun = performance.now(),
      from = model.step;
    try {
      do model.train(Math.max(1, running ? slice : Math.min(slice, goal - model.step)));
      while (busy() && performance.now() < end);
    } catch (problem) {
      stop(problem.message);
    }
    const took = performance.now() - begun,
      steps = model.step - from;
    slice = Math.max(1, Math.min(64, Math.round(steps / Math.max(took, 0.1)))); // about a millisecond
    marks.push([performance.now(), model.step]);
    while (marks.length > 2 && marks[0][0] < performance.now() - 1000) marks.shift();
    if (!busy()) due = sharp = true;
  }
  function stop(words) {
    error = words;
    running = false;
    goal = 0;
    due = sharp = true;
  }
  function speed() {
    if (!running || marks.length < 2) return 0;
    const [a, b] = [marks[0], marks.at(-1)];
    return (1000 * (b[1] - a[1])) / Math.max(1, b[0] - a[0]);
  }
  const look = (settled) => {
    const recent = model.recent(),
      kept = model.history;
    // The charts end where the training stands, whatever rows are kept of it.
    const history = recent.steps && kept.at(-1).step < model.step ? [...kept, { step: model.step, ...recent }] : kept;
    const theirs =
      layer === "tree"
        ? { cuts: model.boundaries(), partPlane: model.leafPlane }
        : { knocked: model.knocked, forced: model.forced, partPlane: model.expertPlane };
    return {
      ...theirs,
      kind: "browser",
      settings: { layer, ...model.settings },
      data: model.data,
      step: model.step,
      running,
      busy: busy(),
      hurried: performance.now() - moved < GIVE_WAY,
      settled,
      error,
      serial,
      speed: speed(),
      recent,
      now: model.evaluate(),
      history,
      point,
      inspected: model.inspect(point),
      plane: (n) => ({ n, ...model.plane(n) }),
      can: null,
    };
  };
  function start(settings, { knocked = [], forced = null } = model) {
    model = create(settings);
    if (layer === "mixture") meddle(knocked, forced);
    point = Math.min(point, model.data.y.length - 1);
    marks = [];
    error = "";
  }
  // Knocks out and forces as before, as far as these experts are there.
  function meddle(knocked, forced) {
    const { E, k, gate } = model.settings;
    knocked.slice(0, E).forEach((gone, e) => gone && sum(model.knocked) < E - 1 && model.knock(e, true));
    if (forced && forced.expert < E && gate !== "hash" && !model.knocked[forced.expert])
      model.force(forced.expert, Math.min(forced.share, 1 / k));
  }

  document.addEventListener("visibilitychange", soon);
  const engine = {
    play: () => ((running = true), (goal = 0), (error = ""), (marks = [[performance.now(), model.step]]), now()),
    pause: () => ((running = false), (goal = 0), settle()),
    step: () => (train(0), now()),
    reset: () => ((goal = 0), start({ layer, ...model.settings }), now()),
    run: (steps) => ((running = false), (goal = steps), now()),
    change(partial) {
      serial += 1;
      moved = performance.now();
      const reached = Math.max(model.step, goal);
      if (Object.keys(partial).some((name) => RESTARTS.includes(name) && partial[name] !== model.settings[name])) {
        start({ layer, ...model.settings, ...partial });
        goal = running ? 0 : Math.min(reached, CATCH_UP);
      } else model.set(partial);
      now();
    },
    // A new experiment: these settings and nothing of the old, trained so many steps.
    begin(settings, steps, extra = {}) {
      serial += 1;
      running = false;
      point = extra.point ?? point;
      start(settings, extra);
      goal = steps;
      now();
    },
    look: (i) => ((point = i), now()),
    knock: (e, out) => ((serial += 1), model.knock(e, out), now()),
    force: (e, share) => ((serial += 1), model.force(e, share), now()),
    show: (visible) => (
      (shown = visible),
      (due ||= visible),
      (sharp ||= visible),
      visible ? soon() : (cancelAnimationFrame(handle), (handle = 0))
    ),
    subscribe: (draw) => (listeners.add(draw), now(), () => listeners.delete(draw)),
    dispose() {
      document.removeEventListener("visibilitychange", soon);
      cancelAnimationFrame(handle);
      clearTimeout(settling);
      listeners.clear();
      running = false;
      goal = 0;
      shown = false;
    },
  };
  return engine;
}
