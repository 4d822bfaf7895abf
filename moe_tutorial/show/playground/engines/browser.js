// @ts-check
// Trains in this page: between two pictures, and only while somebody can see it.
import { stillness } from "../../web/dom.js";
import { dataOf } from "../data.js";
import { fitted, isLive } from "../experiment.js";
import { createLayer } from "../kinds.js";
import { CATCH_UP, makeSpeed } from "./frame.js";

const SLICE = 9; // ms of training between two animation frames, so that a slider finds the page free
const PAINT = 28; // ms between two pictures of a training
const STILL = 500; // the same for readers who asked for little motion
const GIVE_WAY = 400; // ms after a slider moved in which training takes only short turns, since it will move again
const SETTLE = 150; // ms after the last move until a resting picture becomes sharp

/** @typedef {import("../experiment.js").Settings} Settings */
/** @typedef {import("../data.js").Data} Data */
/** @typedef {import("./frame.js").Frame} Frame */

/** @param {(frame: Frame) => void} show @param {Settings} first @param {Data} [own] points brought along
 * @returns {import("./frame.js").Engine} */
export function browserEngine(show, first, own) {
  const speed = makeSpeed();
  /** @type {{ name: string, data: Data } | undefined} */
  let made; // the same points as before are not drawn anew
  let model = create(first);
  let running = false;
  let goal = 0; // a step to train up to
  let shown = true;
  let point = 0;
  let serial = 0;
  let error = "";
  let handle = 0; // of the animation frame
  let due = true; // a picture is
  let sharp = true; // and will be
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;
  let moved = -GIVE_WAY; // when a slider did
  let drawn = 0; // when the last picture was
  let slice = 1; // steps in about a millisecond

  /** @param {Settings} settings */
  function create(settings) {
    const fit = fitted(settings);
    const name = [fit.data, fit.seed, fit.centred].join();
    if (made?.name !== name) made = { name, data: dataOf(fit, own) };
    return createLayer(fit, made.data);
  }
  const busy = () => running || model.step < goal;
  function soon() {
    if (!handle && shown && !document.hidden && (due || busy())) handle = requestAnimationFrame(tick);
  }
  function draw() {
    due = true;
    soon();
  }
  function settle() {
    sharp = true;
    draw();
  }

  // First the picture, then the training: whoever moved a slider sees it before the next steps are computed.
  /** @param {number} time */
  function tick(time) {
    handle = 0;
    const painting = due || time - drawn >= (stillness() ? STILL : PAINT);
    if (painting) paint(time);
    if (busy()) train(performance.now() + (painting || time - moved < GIVE_WAY ? SLICE / 3 : SLICE));
    soon();
  }
  /** @param {number} time */
  function paint(time) {
    const frame = look(sharp && !busy());
    due = sharp = false;
    drawn = time;
    show(frame);
    clearTimeout(settling);
    if (!frame.settled && !busy()) settling = setTimeout(settle, SETTLE);
  }
  /** At least once, and until this time. @param {number} end */
  function train(end) {
    const begun = performance.now();
    const from = model.step;
    try {
      do model.train(Math.max(1, running ? slice : Math.min(slice, goal - model.step)));
      while (busy() && performance.now() < end);
    } catch (problem) {
      error = problem instanceof Error ? problem.message : String(problem);
      running = false;
      goal = 0;
    }
    const took = Math.max(performance.now() - begun, 0.1);
    slice = Math.max(1, Math.min(64, Math.round((model.step - from) / took)));
    speed.mark(model.step);
    if (!busy()) due = sharp = true;
  }

  /** @param {boolean} settled @returns {Frame} */
  function look(settled) {
    const recent = model.recent();
    const kept = model.history;
    // The charts end where the training stands, whatever rows are kept of it.
    const history = recent.steps && kept.at(-1).step < model.step ? [...kept, { step: model.step, ...recent }] : kept;
    return {
      engine: "browser",
      settings: model.settings,
      data: model.data,
      step: model.step,
      running,
      busy: busy(),
      settled,
      hurried: performance.now() - moved < GIVE_WAY,
      error,
      serial,
      speed: running ? speed.now() : 0,
      recent,
      now: model.evaluate(),
      history,
      knocked: model.knocked ?? [],
      point,
      inspected: model.inspect(point),
      can: null,
      plane: (n) => ({ n, ...model.plane(n) }),
      partPlane: model.partPlane,
    };
  }
  /** Knocks out as before, as far as these experts are there and one stays.
   * @param {Settings} settings @param {boolean[]} [knocked] */
  function start(settings, knocked = model.knocked ?? []) {
    model = create(settings);
    for (const e of knocked.keys()) {
      const gone = model.knocked?.filter(Boolean).length;
      if (knocked[e] && e < model.knocked.length && gone < model.knocked.length - 1) model.knock(e, true);
    }
    point = Math.min(point, model.data.y.length - 1);
    speed.restart();
    error = "";
  }

  document.addEventListener("visibilitychange", soon);
  return {
    play() {
      running = true;
      goal = 0;
      error = "";
      speed.restart();
      speed.mark(model.step);
      draw();
    },
    pause() {
      running = false;
      goal = 0;
      settle();
    },
    step() {
      train(0);
      draw();
    },
    reset() {
      goal = 0;
      start(model.settings);
      draw();
    },
    run(steps) {
      running = false;
      goal = steps;
      draw();
    },
    change(partial) {
      serial += 1;
      moved = performance.now();
      const reached = Math.max(model.step, goal);
      if (Object.keys(partial).every((name) => isLive(name))) model.set(partial);
      else {
        start({ ...model.settings, ...partial });
        goal = running ? 0 : Math.min(reached, CATCH_UP);
      }
      draw();
    },
    begin(settings, steps, more = {}) {
      serial += 1;
      running = false;
      point = more.point ?? point;
      start(settings, more.knocked);
      goal = steps;
      draw();
    },
    look(i) {
      point = i;
      draw();
    },
    knock(e, out) {
      serial += 1;
      model.knock(e, out);
      draw();
    },
    show(visible) {
      shown = visible;
      cancelAnimationFrame(handle);
      handle = 0;
      if (visible) settle();
    },
    dispose() {
      document.removeEventListener("visibilitychange", soon);
      cancelAnimationFrame(handle);
      clearTimeout(settling);
      shown = false;
    },
  };
}
