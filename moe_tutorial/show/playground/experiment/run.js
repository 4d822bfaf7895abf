// @ts-check
// A run: how it began, and what was changed at which step. From these it comes out the same again, so that a link can hold
// it; and it keeps moments on the way, so that one can go back.
import { SETTINGS } from "./experiment.js";
import { createLayer } from "../kinds.js";

const MOMENTS = 64; // that are kept; of a longer run, every second of them, and so on
const EVERY = 64; // steps between two, at first
const JUDGED = 20; // steps between two looks at whether a goal is reached

/** @typedef {import("./experiment.js").Settings} Settings */
/** @typedef {{ at: number, name: string, value: any }} Change before the step after `at`: a setting and its value, or "out"
 *   or "in" and an expert that is knocked out or comes back */
/** @typedef {{ settings: Settings, knocked: boolean[], changes?: Change[] }} Begun `knocked` by expert */
/** @typedef {ReturnType<typeof makeRun>} Run */

/** @param {any} model @param {Change} change */
function apply(model, { name, value }) {
  if (name === "out" || name === "in") model.knock(value, name === "out");
  else model.set({ [name]: value });
}

/** These settings after some changes. @param {Settings} settings @param {Change[]} changes @param {number} [step] at this */
export function settingsAfter(settings, changes, step = Infinity) {
  const after = { ...settings };
  for (const { at, name, value } of changes) if (at <= step && name in after) after[name] = value;
  return after;
}

/** And who is knocked out then. @param {boolean[]} knocked @param {Change[]} changes */
export function knockedAfter(knocked, changes, step = Infinity) {
  const after = [...knocked];
  for (const { at, name, value } of changes)
    if (at <= step && ["out", "in"].includes(name)) after[value] = name === "out";
  return Array.from(after, Boolean);
}

/** Whether the second of two moves of one slider, at the same step, leaves nothing of the first.
 * @param {Change | undefined} one @param {Change} other */
const replaces = (one, other) =>
  one?.at === other.at && one.name === other.name && !!SETTINGS[other.name]?.range && other.name !== "out";

/** @param {Begun} begun @param {import("./data.js").Data} data
 * @param {(seen: any) => boolean} [goal] what an evaluation must show for `won` */
export function makeRun({ settings, knocked, changes = [] }, data, goal) {
  const model = createLayer(settings, data);
  knocked.forEach((gone, e) => gone && model.knock(e, true));
  changes = [...changes];
  let obeyed = 0; // changes that are
  let every = EVERY;
  /** @type {Map<number, any>} */
  let moments = new Map();
  let won = 0; // the first step that was judged and reached the goal

  // A moment is kept as it was before the changes of its step.
  function keep() {
    if (model.step % every || moments.has(model.step)) return;
    moments.set(model.step, model.save());
    if (moments.size <= MOMENTS) return;
    every *= 2;
    moments = new Map([...moments].filter(([step]) => step % every === 0));
  }
  function obey() {
    while (changes[obeyed]?.at === model.step) apply(model, changes[obeyed++]);
  }
  function judge() {
    if (goal && !won && model.step && model.step % JUDGED === 0 && goal(model.evaluate())) won = model.step;
  }
  /** The next step after `from` that is a multiple. @param {number} size */
  const next = (size) => (Math.floor(model.step / size) + 1) * size;

  const run = {
    model,
    begun: { settings, knocked },
    reached: 0,
    /** @returns {readonly Change[]} */
    changes: () => changes,
    won: () => won,
    /** Whether somebody waits for a goal that is not reached. */
    open: () => !!goal && !won,
    /** So many steps, with the changes that fall among them; fewer where the goal is reached. @param {number} steps */
    train(steps) {
      const open = run.open();
      const end = model.step + steps;
      while (model.step < end && !(open && won)) {
        const stops = [end, next(every), changes[obeyed]?.at ?? end, open ? next(JUDGED) : end];
        model.train(Math.min(...stops) - model.step);
        run.reached = Math.max(run.reached, model.step);
        keep();
        obey();
        judge();
      }
    },
    /** Now. What was to follow does not. @param {string} name @param {any} value */
    change(name, value) {
      const change = { at: model.step, name, value };
      apply(model, change); // which may refuse
      changes = changes.slice(0, obeyed);
      if (replaces(changes.at(-1), change)) changes.pop();
      changes.push(change);
      obeyed = changes.length;
      run.reached = model.step;
      moments = new Map([...moments].filter(([step]) => step <= model.step));
      if (won > model.step) won = 0;
    },
    /** To a step that it has been at. @param {number} step */
    seek(step) {
      const from = Math.max(...[...moments.keys()].filter((kept) => kept <= step));
      if (step < model.step || from > model.step) {
        model.restore(moments.get(from));
        obeyed = changes.findIndex(({ at }) => at >= from);
        if (obeyed < 0) obeyed = changes.length;
        obey();
      }
      if (step > model.step) run.train(step - model.step);
    },
  };
  keep();
  obey();
  return run;
}
