// @ts-check
// An experiment as it is opened and as it stands: settings, how far it has come, the point that is inspected, who is
// knocked out; and, as long as nothing was changed, the preset that it is.
import { numbers } from "../web/wire.js";
import { PRESETS, checkSettings, defaultsOf, fitted, kindOf } from "./experiment.js";

/** @typedef {import("./experiment.js").Settings} Settings */
/** @typedef {{ preset: string | null, settings: Settings, steps: number, point: number, knocked: boolean[],
 *   notices?: string[] }} State `knocked` by expert; `notices`: what of a link could not be used */

/** @param {string | null} id */
export const presetOf = (id) => PRESETS.find((preset) => preset.id === id);
/** @param {import("./experiment.js").Preset} preset @returns {State} */
export const fromPreset = ({ id, kind, settings, steps }) => ({
  preset: id,
  settings: { ...defaultsOf(kind), ...settings },
  steps,
  point: 0,
  knocked: [],
});

/** As playground() in Python hands it over, checked there but for what the preset adds.
 * @param {{ preset: string | null, settings: Settings, steps?: number, point?: number, out?: number[] }} options
 * @returns {State} */
export function fromOptions({ preset, settings, steps, point, out }) {
  const base = presetOf(preset);
  const kind = base?.kind ?? kindOf(settings);
  const chosen = fitted({ ...defaultsOf(kind), ...base?.settings, ...settings });
  const touched = Object.keys(settings).some((name) => name !== "layer");
  return {
    preset: base && !touched ? preset : null,
    settings: checkSettings(kind, chosen),
    steps: steps ?? base?.steps ?? 0,
    point: point ?? 0,
    knocked: knockedOf(out ?? []),
  };
}

/** @param {number[]} out @returns {boolean[]} */
export const knockedOf = (out) => Array.from({ length: Math.max(-1, ...out) + 1 }, (_, e) => out.includes(e));
/** @param {boolean[]} knocked */
export const outOf = (knocked) => knocked.flatMap((gone, e) => (gone ? [e] : []));

/** As playground() takes it: plain names and values, only what differs. @param {State} state */
export function flatten({ settings, steps, point, knocked }) {
  const usual = { ...defaultsOf(settings.layer), layer: kindOf({}) };
  const flat = Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== usual[name]));
  if (steps) flat.steps = steps;
  if (point) flat.point = point;
  if (knocked.includes(true)) flat.out = outOf(knocked);
  return flat;
}

const PYTHON = new Map([
  [true, "True"],
  [false, "False"],
]);
/** @param {Record<string, any>} flat */
export function inPython(flat) {
  const given = Object.entries(flat).map(([name, value]) => `${name}=${PYTHON.get(value) ?? JSON.stringify(value)}`);
  return `playground(${given.join(", ")})`;
}

/** The learner's own points, as Python sends them. @param {any} own @returns {import("./data.js").Data | undefined} */
export function ownData(own) {
  if (!own) return undefined;
  const { x, xTest, classes, extent } = own;
  const labels = (/** @type {string} */ name) => numbers(own[name], Uint8Array);
  return {
    x: numbers(x, Float64Array),
    y: labels("y"),
    regime: labels("regime"),
    xTest: numbers(xTest, Float64Array),
    yTest: labels("yTest"),
    regimeTest: labels("regimeTest"),
    classes,
    extent,
  };
}
