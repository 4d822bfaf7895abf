// @ts-check
// The settings and presets of experiments, from experiment.json, which Python reads, too. A row of its table describes
// a setting: its kind, its values, whether it can change during training, and its control. No other file lists
// settings.
import table from "./experiment.json" with { type: "json" };

/** @typedef {string | number | boolean} Value */
/** @typedef {Record<string, any>} Settings a value for each setting of a kind */
/**
 * @typedef {Object} Row
 * @property {string} kind "mixture", "tree", ..., or "both" if every kind has it
 * @property {string} group the legend above its control
 * @property {string} label
 * @property {string} [note] smaller, below the label
 * @property {"choice" | "whole" | "number" | "flag"} type
 * @property {Record<string, string>} [choices] value -> words
 * @property {number[]} [range] minimum and maximum
 * @property {{ of: string, words: string }} [most] another setting that is its maximum
 * @property {Value} default
 * @property {"live" | "rebuild"} change whether it can change during training, or needs a new model
 * @property {{ stops?: number[], scale?: string, from?: number, to?: number, step?: number }} [slider]
 * @property {Record<string, string>} [words] value -> words, in place of the number
 */
/** @typedef {Record<string, { least?: number, most?: number }>} Goal bounds on the measures of an evaluation */
/**
 * @typedef {Object} Preset an experiment to start from; with a goal it is a challenge
 * @property {string} id
 * @property {string} kind
 * @property {string} name
 * @property {string[]} [lessons] numbers of the lessons that it belongs to
 * @property {string} sentence describes the start
 * @property {Settings} settings that differ from the kind's defaults
 * @property {number} [from] number of steps trained before it begins
 * @property {number} steps number of the last step
 * @property {string} [ask] what to look for
 * @property {{ ask: string, set: Settings, steps: number }} [then] a change to try next, and for how many steps
 * @property {Goal} [goal]
 * @property {string} [look] where to look after a run that does not reach it
 * @property {string} [score] "steps" or "E": the number to minimise, the steps since the beginning or a setting
 * @property {string[]} [fixed] settings that cannot change in a challenge
 */

/** @type {Record<string, Row>} */
export const SETTINGS = /** @type {any} */ (table.settings);
/** @type {string[]} */
export const GROUPS = table.groups;
/** Experiments to start from. A preset must do what its name says: tests/show/test_playground_presets.py checks this
 * for its own seed, and for seeds that were not used to choose its settings.
 * @type {Preset[]} */
export const PRESETS = /** @type {any} */ (table.presets);

/** A function that tells whether an evaluation reaches a goal. @param {Goal} goal @returns {(seen: any) => boolean} */
export const reaches = (goal) => (seen) =>
  Object.entries(goal).every(
    ([name, { least = -Infinity, most = Infinity }]) => seen[name] >= least && seen[name] <= most,
  );

/** The kind in `settings.layer`; links and notebooks omit the first kind.
 * @param {Settings} settings */
export const kindOf = ({ layer = PRESETS[0].kind }) => layer;

/** @param {string} kind */
export const namesOf = (kind) => Object.keys(SETTINGS).filter((name) => [kind, "both"].includes(SETTINGS[name].kind));

/** @param {string} kind @returns {Settings} */
export const defaultsOf = (kind) => ({
  layer: kind,
  ...Object.fromEntries(namesOf(kind).map((name) => [name, SETTINGS[name].default])),
});

/** The maximum of a setting, given the other settings.
 * @param {string} name @param {Settings} settings */
export const mostOf = (name, settings) => {
  const { most, range } = SETTINGS[name];
  return most ? settings[most.of] : range?.[1];
};

/** Complete and check the settings of a kind.
 * @param {string} kind
 * @param {Settings} given
 * @throws {Error} if a value is not allowed; the message says which are */
export function checkSettings(kind, given) {
  const names = namesOf(kind);
  const all = { ...defaultsOf(kind), ...given };
  const unknown = Object.keys(all).find((name) => name !== "layer" && !names.includes(name));
  if (unknown) throw new Error(`there is no setting "${unknown}" for a ${kind}; allowed are ${names.join(", ")}`);
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

/** Reduce settings that exceed another setting which is their maximum.
 * @param {Settings} settings @returns {Settings} */
export function fitted(settings) {
  const fit = { ...settings };
  for (const name in fit) if (SETTINGS[name]?.most) fit[name] = Math.min(fit[name], mostOf(name, fit));
  return fit;
}

/** Whether a setting can change during training. @param {string} name */
export const isLive = (name) => SETTINGS[name].change === "live";

/** Change settings during training.
 * @param {Settings} settings @param {Settings} partial
 * @throws {Error} if a change needs a new model */
export function changedLive(settings, partial) {
  const live = namesOf(settings.layer).filter((name) => isLive(name));
  for (const name in partial)
    if (!live.includes(name)) throw new Error(`${name} cannot change while it trains; allowed are ${live.join(", ")}`);
  return checkSettings(settings.layer, { ...settings, ...partial });
}

/** Parse a setting's value in a link. Text that is no such value is returned as it is, or as NaN.
 * @param {string} name @param {string} text @returns {Value} */
export function read(name, text) {
  const { type } = SETTINGS[name];
  if (type === "flag") return { true: true, false: false }[text] ?? text;
  if (type === "choice") return text;
  return text.trim() ? Number(text) : NaN;
}

/** The settings of another kind: the defaults, and the values of the settings that both kinds have.
 * @param {Settings} settings @param {string} kind */
export function carried(settings, kind) {
  const next = defaultsOf(kind);
  for (const name of namesOf(kind)) if (Object.hasOwn(settings, name)) next[name] = settings[name];
  return next;
}
