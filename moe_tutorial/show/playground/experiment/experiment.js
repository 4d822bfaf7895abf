// @ts-check
// What an experiment may be: experiment.json, which Python reads too. A row of the table is a setting: whose it is, what it
// may be, whether it can change while something trains, and how its control looks. Nothing else lists settings.
import table from "./experiment.json" with { type: "json" };

/** @typedef {string | number | boolean} Value */
/** @typedef {Record<string, any>} Settings a value for each setting of a kind */
/**
 * @typedef {Object} Row
 * @property {string} kind "mixture", "tree", ..., or "both" where every kind has it
 * @property {string} group the legend above its control
 * @property {string} label
 * @property {string} [note] smaller, below the label
 * @property {"choice" | "whole" | "number" | "flag"} type
 * @property {Record<string, string>} [choices] value -> words
 * @property {number[]} [range] the least and the most
 * @property {{ of: string, words: string }} [most] the setting that it may not exceed
 * @property {Value} default
 * @property {"live" | "rebuild"} change while it trains, or only with a new model
 * @property {"rebuild"} [kernel] where the kernel cannot change it while it trains
 * @property {{ stops?: number[], scale?: string, from?: number, to?: number, step?: number }} [slider]
 * @property {Record<string, string>} [words] value -> words; "else" for the others, with # for the number
 */
/** @typedef {Record<string, { least?: number, most?: number }>} Goal what an evaluation has to show */
/**
 * @typedef {Object} Preset an experiment to start from, or, with a goal, a challenge
 * @property {string} id
 * @property {string} kind
 * @property {string} name
 * @property {string} sentence how it begins
 * @property {Settings} settings what differs from the kind's defaults
 * @property {number} [from] steps that are done when it begins
 * @property {number} steps where it ends
 * @property {string} [ask] what to look for
 * @property {{ ask: string, set: Settings, steps: number }} [then] what to try next, for how many steps more
 * @property {Goal} [goal]
 * @property {string} [score] "steps" or "E": what should be small in the end: steps from the beginning, or a setting
 * @property {string[]} [fixed] settings that a challenge leaves as they are
 */

/** @type {Record<string, Row>} */
export const SETTINGS = /** @type {any} */ (table.settings);
/** @type {string[]} */
export const GROUPS = table.groups;
/** Experiments to start from. A name is a promise: tests/show/test_playground_presets.py holds each to it over seeds that
 * did not choose its settings, and from the seed that the reader sees first.
 * @type {Preset[]} */
export const PRESETS = /** @type {any} */ (table.presets);

/** Whether an evaluation shows what a goal asks for. @param {Goal} goal @returns {(seen: any) => boolean} */
export const reaches = (goal) => (seen) =>
  Object.entries(goal).every(
    ([name, { least = -Infinity, most = Infinity }]) => seen[name] >= least && seen[name] <= most,
  );

/** The kind that settings name, as `layer`; links and notebooks say nothing of the first.
 * @param {Settings} settings */
export const kindOf = ({ layer = PRESETS[0].kind }) => layer;

/** @param {string} kind */
export const namesOf = (kind) => Object.keys(SETTINGS).filter((name) => [kind, "both"].includes(SETTINGS[name].kind));

/** @param {string} kind @returns {Settings} */
export const defaultsOf = (kind) => ({
  layer: kind,
  ...Object.fromEntries(namesOf(kind).map((name) => [name, SETTINGS[name].default])),
});

/** The largest value that a setting may have beside these.
 * @param {string} name @param {Settings} settings */
export const mostOf = (name, settings) => {
  const { most, range } = SETTINGS[name];
  return most ? settings[most.of] : range?.[1];
};

/** The settings of a kind, complete.
 * @param {string} kind
 * @param {Settings} given
 * @throws {Error} one that says what is allowed */
export function checkSettings(kind, given) {
  const names = namesOf(kind);
  const all = { ...defaultsOf(kind), ...given };
  const unknown = Object.keys(all).find((name) => name !== "layer" && !names.includes(name));
  if (unknown) throw new Error(`there is no setting ${unknown}; allowed are ${names.join(", ")}`);
  for (const name of names) checkValue(name, all);
  return all;
}

/** @param {string} name @param {Settings} settings */
function checkValue(name, settings) {
  const { type, choices = {}, range, most } = SETTINGS[name];
  const value = settings[name];
  const refuse = (/** @type {string} */ allowed) => {
    throw new Error(`${name} is ${JSON.stringify(value)}; allowed are ${allowed}`);
  };
  if (type === "choice" && !Object.hasOwn(choices, value)) refuse(Object.keys(choices).join(", "));
  if (type === "flag" && typeof value !== "boolean") refuse("true, false");
  if (!range) return;
  const top = mostOf(name, settings);
  const fits = typeof value === "number" && value >= range[0] && value <= top;
  if (fits && (type !== "whole" || Number.isInteger(value))) return;
  const numbers = type === "whole" ? "whole numbers" : "numbers";
  refuse(`${numbers} from ${range[0]} to ${top}${most ? `, ${most.words}` : ""}`);
}

/** These settings, where one is too large for another: smaller.
 * @param {Settings} settings @returns {Settings} */
export function fitted(settings) {
  const fit = { ...settings };
  for (const name in fit) if (SETTINGS[name]?.most) fit[name] = Math.min(fit[name], mostOf(name, fit));
  return fit;
}

/** Whether a setting may change while something trains in the page, or in the kernel.
 * @param {string} name @param {"browser" | "kernel"} [engine] */
export const isLive = (name, engine = "browser") =>
  SETTINGS[name].change === "live" && !(engine === "kernel" && SETTINGS[name].kernel === "rebuild");

/** These settings with some changed, as something that trains takes them.
 * @param {Settings} settings @param {Settings} partial
 * @throws {Error} where one of these needs a new model */
export function changedLive(settings, partial) {
  const live = namesOf(settings.layer).filter((name) => isLive(name));
  for (const name in partial)
    if (!live.includes(name)) throw new Error(`${name} cannot change while it trains; allowed are ${live.join(", ")}`);
  return checkSettings(settings.layer, { ...settings, ...partial });
}

/** What text in a link means as a value of this setting; what it cannot mean stays text, or becomes NaN.
 * @param {string} name @param {string} text @returns {Value} */
export function read(name, text) {
  const { type } = SETTINGS[name];
  if (type === "flag") return { true: true, false: false }[text] ?? text;
  if (type === "choice") return text;
  return text.trim() ? Number(text) : NaN;
}

/** These settings for another kind: what both have stays.
 * @param {Settings} settings @param {string} kind */
export function carried(settings, kind) {
  const next = defaultsOf(kind);
  for (const name of namesOf(kind)) if (Object.hasOwn(settings, name)) next[name] = settings[name];
  return next;
}
