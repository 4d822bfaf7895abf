// @ts-check
// The state of an experiment: its initial settings, the changes, the number of steps, the inspected point, and the
// preset that it started from.
import { numbers } from "../../web/wire.js";
import { capital } from "../../web/words.js";
import { PRESETS, checkSettings, defaultsOf, fitted, kindOf } from "./experiment.js";

/** @typedef {import("./experiment.js").Settings} Settings */
/** @typedef {import("./run.js").Change} Change */
/** @typedef {{ preset: string | null, settings: Settings, steps: number, point: number, knocked: boolean[],
 *   changes: Change[], notices?: string[] }} State `settings` and `knocked` (by expert) are initial values; `notices`
 *   are errors in a link */

/** @param {string | null} id */
export const presetOf = (id) => PRESETS.find((preset) => preset.id === id);
/** A state with these settings, by default at its beginning.
 * @param {Settings} settings @param {Partial<State>} more @returns {State} */
export const stateOf = (settings, more = {}) => ({
  preset: null,
  settings,
  steps: 0,
  point: 0,
  knocked: [],
  changes: [],
  ...more,
});
/** @param {import("./experiment.js").Preset} preset */
export const fromPreset = ({ id, kind, settings, from = 0 }) =>
  stateOf({ ...defaultsOf(kind), ...settings }, { preset: id, steps: from });

/** The state in the options of playground() in Python, which has checked them without the preset's settings.
 * @param {{ preset: string | null, settings: Settings, steps?: number, point?: number, out?: number[],
 *   then?: [number, string, any][] }} options */
export function fromOptions({ preset, settings, steps, point = 0, out = [], then = [] }) {
  const base = presetOf(preset);
  const kind = base?.kind ?? kindOf(settings);
  const chosen = fitted({ ...defaultsOf(kind), ...base?.settings, ...settings });
  const untouched = Object.keys(settings).every((name) => name === "layer");
  const knocked = knockedOf(out);
  const changes = then.map(([at, name, value]) => ({ at, name, value }));
  steps ??= base?.from ?? 0;
  const begun = { preset: base && untouched ? preset : null, steps, point, knocked, changes };
  return stateOf(checkSettings(kind, chosen), begun);
}

/** @param {number[]} out @returns {boolean[]} */
export const knockedOf = (out) => Array.from({ length: Math.max(-1, ...out) + 1 }, (_, e) => out.includes(e));
/** @param {boolean[]} knocked */
export const outOf = (knocked) => knocked.flatMap((gone, e) => (gone ? [e] : []));

/** The arguments of playground() for a state: only what differs from the preset, or from the first kind's defaults.
 * @param {State} state @param {{ kind: string, settings: Settings, from?: number }} [base] */
export function flatten({ settings, steps, point, knocked, changes }, base = { kind: kindOf({}), settings: {} }) {
  const usual = { ...defaultsOf(settings.layer), ...base.settings, layer: base.kind };
  const flat = Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== usual[name]));
  if (knocked.includes(true)) flat.out = outOf(knocked);
  if (changes.length) flat.then = changes.map(({ at, name, value }) => [at, name, value]);
  if (steps !== (base.from ?? 0)) flat.steps = steps;
  if (point) flat.point = point;
  return flat;
}

/** A value as Python writes it. @param {any} value @returns {string} */
export function literal(value) {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  return typeof value === "boolean" ? capital(String(value)) : JSON.stringify(value);
}

/** @param {Record<string, any>} flat @param {boolean} own whether the points are the learner's */
export function inPython(flat, own) {
  const named = Object.entries(flat).map(([name, value]) => `${name}=${literal(value)}`);
  return `playground(${[...(own ? ["data=data"] : []), ...named].join(", ")})`;
}

/** Decode the learner's own points from Python. @param {any} own @returns {import("./data.js").Data | undefined} */
export function ownData(own) {
  if (!own) return undefined;
  const { classes, extent } = own;
  const labels = (/** @type {string} */ name) => numbers(own[name], Uint8Array);
  const places = (/** @type {string} */ name) => numbers(own[name], Float64Array);
  const train = { x: places("x"), y: labels("y"), regime: labels("regime") };
  return {
    ...train,
    xTest: places("xTest"),
    yTest: labels("yTest"),
    regimeTest: labels("regimeTest"),
    classes,
    extent,
  };
}
