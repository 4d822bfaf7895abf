// @ts-check
// The engine: it trains in this page, between two animation frames, while the playground is visible.
import { stillness } from "../../web/dom.js";
import { dataOf } from "./data.js";
import { fitted, isLive } from "./experiment.js";
import { makeRun } from "./run.js";
import { CATCH_UP, PACES, makeSpeed } from "./frame.js";

const SLICE = 3; // ms of training at a time, so that the page stays responsive
const PAINT = 28; // ms between two pictures of a training
const STILL = 500; // the same for readers who prefer reduced motion
const GIVE_WAY = 400; // ms after a slider moved with one turn of training per frame, because it may move again
const SETTLE = 150; // ms after the last move until the sharp picture is drawn
const BEHIND = 0.25; // maximum delay, in seconds, that training catches up on

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./run.js").Begun} Begun */
/** @typedef {import("./frame.js").Frame} Frame */

/** @param {(frame: Frame) => void} show @param {Data} [own] points brought along
 * @returns {import("./frame.js").Engine} */
export function makeEngine(show, own) {
  const speed = makeSpeed();
  /** @type {{ name: string, data: Data } | undefined} */
  let made; // the last generated data set
  /** @type {((seen: any) => boolean) | undefined} */
  let goal; // of a challenge
  /** @type {import("./run.js").Run} */
  let run; // from begin() on
  let target = 0; // train up to this step; Infinity: without end
  let rushing = false; // as fast as possible, whatever the pace
  let pace = PACES[1]; // steps per second; 0: as fast as possible
  let owed = 0; // steps due by the pace
  let paced = 0; // time up to which they are counted
  /** @type {number | undefined} */
  let sought; // step of the run to go to
  let shown = true;
  let point = 0;
  let serial = 0;
  let error = "";
  let handle = 0; // of the animation frame
  let due = true; // whether to draw a picture
  let sharp = true; // whether it is the sharp one
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;
  let moved = -GIVE_WAY; // time of the last move of a slider
  let drawn = 0; // time of the last picture
  let slice = 1; // steps in about a millisecond

  /** @param {Begun} begun */
  function create({ settings, knocked, changes }) {
    const fit = fitted(settings);
    const name = [fit.data, fit.seed, fit.centred].join();
    if (made?.name !== name) made = { name, data: dataOf(fit, own) };
    return makeRun({ settings: fit, knocked, changes }, made.data, goal);
  }
  const busy = () => run.model.step < target;
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
  /** @param {number} step @param {boolean} [rush] */
  function head(step, rush = false) {
    target = step;
    rushing = rush;
    owed = 0;
    paced = performance.now();
  }

  // Draw before training, so that the effect of a slider shows before the next steps are computed.
  /** @param {number} time */
  function tick(time) {
    handle = 0;
    if (sought !== undefined) run.seek(sought);
    sought = undefined;
    const painting = due || time - drawn >= (stillness() ? STILL : PAINT);
    if (painting) paint(time);
    if (busy()) train(performance.now() + SLICE, dueSteps());
    if (time - moved > GIVE_WAY) goOn();
    soon();
  }
  // Without a pace it also trains between animation frames, in turns that let events through.
  const turns = new MessageChannel();
  let turn = false; // whether a turn is scheduled
  turns.port1.onmessage = () => {
    turn = false;
    if (!shown || document.hidden || !busy()) return;
    train(performance.now() + SLICE, dueSteps());
    goOn();
    soon();
  };
  function goOn() {
    if (turn || (pace && !rushing) || !busy() || performance.now() - moved < GIVE_WAY) return;
    turn = true;
    turns.port2.postMessage(null);
  }
  /** @param {number} time */
  function paint(time) {
    const frame = makeFrame(sharp && !busy());
    due = sharp = false;
    drawn = time;
    show(frame);
    clearTimeout(settling);
    if (!frame.settled && !busy()) settling = setTimeout(settle, SETTLE);
  }
  /** Number of steps due now, by the pace and the target. */
  function dueSteps() {
    const left = target - run.model.step;
    if (rushing || !pace) return left;
    const now = performance.now();
    owed = Math.min(owed + ((now - paced) * pace) / 1000, Math.max(1, BEHIND * pace));
    paced = now;
    return Math.min(left, Math.floor(owed));
  }
  /** Train at most `most` steps, and not after the time `end`. @param {number} end @param {number} most */
  function train(end, most) {
    if (most < 1) return;
    const { model } = run;
    const open = run.open();
    const begun = performance.now();
    const from = model.step;
    const last = from + most;
    try {
      do run.train(Math.min(slice, last - model.step));
      while (model.step < last && performance.now() < end && !(open && run.won()));
    } catch (problem) {
      error = problem instanceof Error ? problem.message : String(problem);
      target = 0;
    }
    if (open && run.won() && !rushing) target = 0; // the goal is reached
    const done = model.step - from;
    owed -= done;
    slice = Math.max(1, Math.min(64, Math.round(done / Math.max(performance.now() - begun, 0.1))));
    speed.mark(model.step);
    if (!busy()) due = sharp = true;
  }

  /** @param {boolean} settled @returns {Frame} */
  function makeFrame(settled) {
    const { model } = run;
    const now = model.evaluate();
    const recent = model.recent(() => now);
    const kept = model.history;
    const hurried = performance.now() - moved < GIVE_WAY;
    // The charts end at the present step, even if the thinned history does not.
    const history = recent.steps && kept.at(-1).step < model.step ? [...kept, { step: model.step, ...recent }] : kept;
    return {
      settings: model.settings,
      data: model.data,
      step: model.step,
      run,
      busy: busy(),
      settled,
      hurried,
      error,
      serial,
      speed: busy() ? speed.now() : 0,
      recent,
      now,
      history,
      knocked: model.knocked ?? [],
      point,
      inspected: model.inspect(point),
      plane: (n) => ({ n, ...model.plane(n, settled || !hurried) }),
      partPlane: model.partPlane,
    };
  }
  /** @param {Begun} begun */
  function start(begun) {
    run = create(begun);
    point = Math.min(point, run.model.data.y.length - 1);
    speed.restart();
    error = "";
  }

  document.addEventListener("visibilitychange", soon);
  return {
    settings: () => run.model.settings,
    run(step) {
      head(step);
      error = "";
      speed.restart();
      speed.mark(run.model.step);
      draw();
    },
    pace(next) {
      pace = next;
      speed.restart();
      head(target, rushing);
    },
    pause() {
      target = 0;
      settle();
    },
    step() {
      target = 0;
      train(0, 1);
      draw();
    },
    seek(step) {
      target = 0;
      sought = step;
      settle();
    },
    change(partial) {
      serial += 1;
      moved = performance.now();
      const { model } = run;
      const reached = Number.isFinite(target) ? Math.max(model.step, target) : model.step;
      // At step 0 a change restarts the run; later it is recorded as a change.
      const anew = !model.step || !Object.keys(partial).every((name) => isLive(name));
      if (!anew) for (const [name, value] of Object.entries(partial)) run.change(name, value);
      else {
        // With another E, all experts are new ones.
        start({ settings: { ...model.settings, ...partial }, knocked: "E" in partial ? [] : (model.knocked ?? []) });
        if (target !== Infinity) head(Math.min(reached, CATCH_UP), true);
      }
      draw();
      return anew;
    },
    begin(begun, steps, more = {}) {
      serial += 1;
      goal = more.goal;
      point = more.point ?? point;
      start(begun);
      head(steps, true);
      draw();
    },
    inspect(i) {
      point = i;
      draw();
    },
    knock(e, out) {
      serial += 1;
      const { model } = run;
      if (model.step) run.change(out ? "out" : "in", e);
      else start({ settings: model.settings, knocked: Object.assign([...model.knocked], { [e]: out }) });
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
      turns.port1.close();
      shown = false;
    },
  };
}
