// @ts-check
// Convert an experiment to a link's fragment, and back. The fragment has only what differs from the defaults.
import { SETTINGS, changedLive, checkSettings, defaultsOf, fitted, namesOf, read } from "./experiment.js";
import { KINDS, kindNames } from "../kinds.js";
import { flatten, fromPreset, knockedOf, presetOf, stateOf } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./run.js").Change} Change */

export const MOST_STEPS = 1000000; // maximum in a link
const MOST_POINTS = 1e6;

export const LONGEST = 2000; // characters of a fragment

/** @param {State} state @returns {string | null} null if the changes are too long for a URL */
export function toHash(state) {
  const chosen = presetOf(state.preset);
  const { then, ...flat } = flatten(state, chosen);
  const parts = { ...(chosen && { preset: state.preset }), ...flat };
  const write = ([name, value]) => `${name}=${encodeURIComponent([value].flat().join("."))}`;
  const words = Object.entries(parts).map(write);
  if (then) words.push(`then=${writeChanges(state.changes)}`);
  const text = words.join("&");
  return text.length > LONGEST ? null : text;
}

/** Changes as text, such as 600:noise:0,20::0.1 : steps since the previous change, the setting unless it is the same,
 * value.
 * @param {Change[]} changes */
function writeChanges(changes) {
  const word = ({ at, name, value }, i) => {
    const before = changes[i - 1];
    return `${at - (before?.at ?? 0)}:${before?.name === name ? "" : name}:${value}`;
  };
  return changes.map(word).join(",");
}

/** @param {State} state whose settings are changed @param {string} text @returns {Change[]}
 * @throws {Error} if a change is not allowed */
function readChanges({ settings, preset }, text) {
  /** @type {Change[]} */
  const changes = [];
  let now = settings;
  let at = 0;
  let name = "";
  for (const word of text.split(",")) {
    const [more, named, value = "", ...rest] = word.split(":");
    const broken = `then says ${JSON.stringify(word)}`;
    name = named || name;
    if (rest.length || !value) throw new Error(`${broken}; allowed are changes as 600:noise:0`);
    at += whole("then", more, MOST_STEPS);
    if (name === "out" || name === "in") {
      const { knocks } = KINDS[settings.layer].controls;
      if (!knocks) throw new Error(`${broken}; nobody can be knocked out of a ${settings.layer}`);
      changes.push({ at, name, value: whole(name, value, KINDS[settings.layer].words.count(settings) - 1) });
      continue;
    }
    if (!namesOf(settings.layer).includes(name)) throw new Error(`${broken}; there is no setting ${name}`);
    if (isFixed(preset, name)) throw new Error(`${broken}; ${name} is fixed in this challenge`);
    now = changedLive(now, { [name]: read(name, value) });
    changes.push({ at, name, value: now[name] });
  }
  return changes;
}

/** @param {string | null} preset @param {string} name */
export const isFixed = (preset, name) => !!presetOf(preset)?.fixed?.includes(name);

/** @param {string} text
 * @returns {State & { notices: string[] } | null} null if the text is no experiment, but an element's id */
export function fromHash(text) {
  const words = text.replace(/^#/, "");
  if (!words.includes("=")) return null;
  const asked = new URLSearchParams(words);
  /** @type {string[]} */
  const notices = [];
  let state = begun(asked, notices);
  const names = [...new Set(asked.keys())].filter((name) => !["preset", "layer"].includes(name));
  const order = (/** @type {string} */ name) => (name === "then" ? 2 : +!isLimit(name)); // limits come first
  for (const name of names.sort((a, b) => order(a) - order(b))) {
    try {
      state = { ...state, ...partOf(state, name, asked.get(name) ?? "") };
    } catch (problem) {
      notices.push(/** @type {Error} */ (problem).message);
    }
  }
  return { ...state, notices };
}

/** The preset that a link names, or the kind's defaults.
 * @param {URLSearchParams} asked @param {string[]} notices @returns {State} */
function begun(asked, notices) {
  const id = asked.get("preset");
  const chosen = presetOf(id);
  if (id !== null && !chosen) notices.push(`there is no preset ${JSON.stringify(id)}`);
  const kinds = chosen ? [chosen.kind] : kindNames;
  const wanted = asked.get("layer") ?? kinds[0];
  const kind = kinds.includes(wanted) ? wanted : kinds[0];
  const allowed = `allowed ${chosen ? "with this preset is" : "are"} ${kinds.join(", ")}`;
  if (kind !== wanted) notices.push(`layer is ${JSON.stringify(wanted)}; ${allowed}`);
  return chosen ? fromPreset(chosen) : stateOf(defaultsOf(kind));
}

/** Whether a setting is the maximum of another, as the number of experts is for k. @param {string} name */
const isLimit = (name) => Object.values(SETTINGS).some(({ most }) => most?.of === name);

/** The part of the state that one parameter of a link sets.
 * @param {State} state @param {string} name @param {string} value @returns {Partial<State>}
 * @throws {Error} if its value is not allowed */
function partOf(state, name, value) {
  const { settings, preset } = state;
  const kind = settings.layer;
  if (name === "then") return { changes: readChanges(state, value) };
  if (name === "steps") return { steps: whole(name, value, MOST_STEPS) };
  if (name === "point") return { point: whole(name, value, MOST_POINTS) };
  if (name === "out" && KINDS[kind].controls.knocks)
    return { knocked: knockedIn(value, KINDS[kind].words.count(settings)) };
  if (!namesOf(kind).includes(name)) throw new Error(`there is no setting ${name} for a ${kind}`);
  if (isFixed(preset, name)) throw new Error(`${name} is fixed in this challenge`);
  const tried = { ...settings, [name]: read(name, value) };
  return { settings: checkSettings(kind, isLimit(name) ? fitted(tried) : tried) };
}

/** @param {string} name @param {string} value @param {number} most */
function whole(name, value, most) {
  const number = Number(value);
  if (value.trim() && Number.isInteger(number) && number >= 0 && number <= most) return number;
  throw new Error(`${name} is ${JSON.stringify(value)}; allowed are whole numbers from 0 to ${most}`);
}

/** @param {string} value @param {number} E */
function knockedIn(value, E) {
  const out = value.split(".").map(Number);
  if (out.every((e) => Number.isInteger(e) && e >= 0 && e < E) && new Set(out).size < E) return knockedOf(out);
  throw new Error(`out is ${JSON.stringify(value)}; allowed are experts from 0 to ${E - 1}, not all of them`);
}
