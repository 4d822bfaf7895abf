// @ts-check
// A run: its initial state, and the changes with their steps. They determine it, so a link can replay it. Snapshots of
// the model allow a return to any step.
import { SETTINGS } from "./experiment.js";
import { createLayer } from "../kinds.js";

const SNAPSHOTS = 64; // maximum number of snapshots; of a longer run every second one remains
const EVERY = 64; // steps between two snapshots, at first
const JUDGED = 20; // steps between two checks whether the goal is reached

/** @typedef {import("./experiment.js").Settings} Settings */
/** @typedef {{ at: number, name: string, value: any }} Change made after step `at`: a setting and its value, or "out"
 *   or "in" and the expert that is knocked out or comes back */
/** @typedef {{ settings: Settings, knocked: boolean[], changes?: Change[] }} Begun `knocked` by expert */
/** @typedef {ReturnType<typeof makeRun>} Run */

/** @param {any} model @param {Change} change */
function apply(model, { name, value }) {
  if (name === "out" || name === "in") model.knock(value, name === "out");
  else model.set({ [name]: value });
}

/** The settings after the changes up to a step.
 * @param {Settings} settings @param {Change[]} changes @param {number} [step] */
export function settingsAfter(settings, changes, step = Infinity) {
  const after = { ...settings };
  for (const { at, name, value } of changes) if (at <= step && name in after) after[name] = value;
  return after;
}

/** The experts that are knocked out after the changes up to a step.
 * @param {boolean[]} knocked @param {Change[]} changes */
export function knockedAfter(knocked, changes, step = Infinity) {
  const after = [...knocked];
  for (const { at, name, value } of changes)
    if (at <= step && ["out", "in"].includes(name)) after[value] = name === "out";
  return Array.from(after, Boolean);
}

/** Whether a change replaces another: both are moves of the same slider at the same step.
 * @param {Change | undefined} one @param {Change} other */
const replaces = (one, other) =>
  one?.at === other.at && one.name === other.name && !!SETTINGS[other.name]?.range && other.name !== "out";

/** @param {Begun} begun @param {import("./data.js").Data} data
 * @param {(seen: any) => boolean} [goal] whether an evaluation reaches the goal */
export function makeRun({ settings, knocked, changes = [] }, data, goal) {
  const model = createLayer(settings, data);
  knocked.forEach((gone, e) => gone && model.knock(e, true));
  changes = [...changes];
  let applied = 0; // number of changes applied so far
  let every = EVERY;
  /** @type {Map<number, any>} */
  let snapshots = new Map();
  let won = 0; // the first checked step at which the goal was reached

  // A snapshot is the state before the changes of its step.
  function takeSnapshot() {
    if (model.step % every || snapshots.has(model.step)) return;
    snapshots.set(model.step, model.save());
    if (snapshots.size <= SNAPSHOTS) return;
    every *= 2;
    snapshots = new Map([...snapshots].filter(([step]) => step % every === 0));
  }
  function applyDue() {
    while (changes[applied]?.at === model.step) apply(model, changes[applied++]);
  }
  function judge() {
    if (goal && !won && model.step && model.step % JUDGED === 0 && goal(model.evaluate())) won = model.step;
  }
  /** The next step that is a multiple of `size`. @param {number} size */
  const next = (size) => (Math.floor(model.step / size) + 1) * size;

  const run = {
    model,
    begun: { settings, knocked },
    reached: 0,
    /** @returns {readonly Change[]} */
    changes: () => changes,
    won: () => won,
    /** Whether there is a goal that is not reached. */
    open: () => !!goal && !won,
    /** Train some steps, and apply their changes; stop at the goal. @param {number} steps */
    train(steps) {
      const open = run.open();
      const end = model.step + steps;
      while (model.step < end && !(open && won)) {
        const stops = [end, next(every), changes[applied]?.at ?? end, open ? next(JUDGED) : end];
        model.train(Math.min(...stops) - model.step);
        run.reached = Math.max(run.reached, model.step);
        takeSnapshot();
        applyDue();
        judge();
      }
    },
    /** Make a change at the present step, and drop all later changes. @param {string} name @param {any} value */
    change(name, value) {
      const change = { at: model.step, name, value };
      apply(model, change); // may throw
      changes = changes.slice(0, applied);
      if (replaces(changes.at(-1), change)) changes.pop();
      changes.push(change);
      applied = changes.length;
      run.reached = model.step;
      snapshots = new Map([...snapshots].filter(([step]) => step <= model.step));
      if (won > model.step) won = 0;
    },
    /** Go to a step that the run has reached before. @param {number} step */
    seek(step) {
      const from = Math.max(...[...snapshots.keys()].filter((at) => at <= step));
      if (step < model.step || from > model.step) {
        model.restore(snapshots.get(from));
        applied = changes.findIndex(({ at }) => at >= from);
        if (applied < 0) applied = changes.length;
        applyDue();
      }
      if (step > model.step) run.train(step - model.step);
    },
  };
  takeSnapshot();
  applyDue();
  return run;
}
