// @ts-check
// An experiment as it is opened and as it stands: how it began, what was changed on the way, how far it has come, the point
// that is inspected; and the preset that it began as.
import { numbers } from "../../web/wire.js";
import { capital } from "../../web/words.js";
import { PRESETS, checkSettings, defaultsOf, fitted, kindOf } from "./experiment.js";

/** @typedef {import("./experiment.js").Settings} Settings */
/** @typedef {import("./run.js").Change} Change */
/** @typedef {{ preset: string | null, settings: Settings, steps: number, point: number, knocked: boolean[],
 *   changes: Change[], notices?: string[] }} State settings and `knocked`, by expert, of the beginning; `notices`: what of a
 *   link could not be used */

/** @param {string | null} id */
export const presetOf = (id) => PRESETS.find((preset) => preset.id === id);
/** With these settings, and else at its beginning. @param {Settings} settings @param {Partial<State>} more @returns {State} */
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

/** As playground() in Python hands it over, checked there but for what the preset adds.
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

/** As playground() takes it: plain names and values, only what differs from a preset, or from the first kind's defaults.
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

/** @param {Record<string, any>} flat */
export function inPython(flat) {
  const write = (value) => {
    if (Array.isArray(value)) return `[${value.map(write).join(", ")}]`;
    return typeof value === "boolean" ? capital(String(value)) : JSON.stringify(value);
  };
  return `playground(${Object.entries(flat)
    .map(([name, value]) => `${name}=${write(value)}`)
    .join(", ")})`;
}

/** The learner's own points, as Python sends them. @param {any} own @returns {import("./data.js").Data | undefined} */
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
