// @ts-check
// An experiment as text: what stands in a link after the #, and back. Only what differs from the defaults is written.
import { SETTINGS, checkSettings, defaultsOf, fitted, namesOf, read } from "./experiment.js";
import { KINDS, kindNames } from "./kinds.js";
import { flatten, fromPreset, knockedOf, presetOf, stateOf } from "./state.js";

/** @typedef {import("./state.js").State} State */

export const MOST_STEPS = 1000000; // that a link may ask for
const MOST_POINTS = 1e6;

/** @param {State} state @returns {string} */
export function toHash(state) {
  const chosen = presetOf(state.preset);
  const parts = { ...(chosen && { preset: state.preset }), ...flatten(state, chosen) };
  const words = (value) => encodeURIComponent([value].flat().join("."));
  return Object.entries(parts)
    .map(([name, value]) => `${name}=${words(value)}`)
    .join("&");
}

/** @param {string} text
 * @returns {State & { notices: string[] } | null} null where the text is no experiment (another anchor) */
export function fromHash(text) {
  const words = text.replace(/^#/, "");
  if (!words.includes("=")) return null;
  const asked = new URLSearchParams(words);
  /** @type {string[]} */
  const notices = [];
  const state = { ...begun(asked, notices), notices };
  const kind = state.settings.layer;
  // What others depend on comes first: how many may be chosen depends on how many there are.
  const limiting = Object.values(SETTINGS).map(({ most }) => most?.of);
  const names = [...new Set(asked.keys())].sort((a, b) => +limiting.includes(b) - +limiting.includes(a));
  for (const name of names) {
    const value = asked.get(name) ?? "";
    if (name === "preset" || name === "layer") continue;
    else if (name === "steps") state.steps = whole(name, value, MOST_STEPS, notices) ?? state.steps;
    else if (name === "point") state.point = whole(name, value, MOST_POINTS, notices) ?? 0;
    else if (name === "out" && KINDS[kind].controls.knocks)
      state.knocked = knockedIn(value, KINDS[kind].words.count(state.settings), notices);
    else if (name === "force") notices.push("force is no more: no expert's share can be forced");
    else if (!namesOf(kind).includes(name)) notices.push(`there is no setting ${name} for a ${kind}`);
    else state.settings = changed(state.settings, name, value, notices);
  }
  return state;
}

/** The preset that is asked for, or the kind's defaults.
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

/** These settings with one changed, if it can be.
 * @param {State["settings"]} settings @param {string} name @param {string} value @param {string[]} notices */
function changed(settings, name, value, notices) {
  const tried = { ...settings, [name]: read(name, value) };
  try {
    const limits = Object.values(SETTINGS).some(({ most }) => most?.of === name);
    return checkSettings(settings.layer, limits ? fitted(tried) : tried);
  } catch (problem) {
    notices.push(/** @type {Error} */ (problem).message);
    return settings;
  }
}

/** @param {string} name @param {string} value @param {number} most @param {string[]} notices */
function whole(name, value, most, notices) {
  const number = Number(value);
  if (value.trim() && Number.isInteger(number) && number >= 0 && number <= most) return number;
  notices.push(`${name} is ${JSON.stringify(value)}; allowed are whole numbers from 0 to ${most}`);
  return null;
}

/** @param {string} value @param {number} E @param {string[]} notices */
function knockedIn(value, E, notices) {
  const out = value.split(".").map(Number);
  if (out.every((e) => Number.isInteger(e) && e >= 0 && e < E) && new Set(out).size < E) return knockedOf(out);
  notices.push(`out is ${JSON.stringify(value)}; allowed are experts from 0 to ${E - 1}, not all of them`);
  return [];
}
