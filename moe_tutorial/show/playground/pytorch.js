// @ts-check
// A run as a Python script: the template pytorch.py without what the run does not use. A section of the template begins with
// a line such as "# <gate=hash>" and ends with "# </gate=hash>". It stays where the run is as that line says:
//   balance=none,switch   the setting has one of these values at some time
//   noise                 it is more than 0 at some time; `out`: somebody is knocked out
//   rate changes          it has more than one value in the course of the run
//   changes               so does any setting
// "no" turns one of these round, and "or" stands between several.

import { SETTINGS } from "./experiment/experiment.js";

/** @typedef {Record<string, any>} Settings */
/** @typedef {{ at: number, set?: Settings, knock?: [number, boolean] }} Change made when so many steps were done */
/** @typedef {{ settings: Settings, knocked: boolean[], changes: Change[], steps: number }} Run how it began (`knocked` by
 *   expert), what was changed on the way, in order, and how far it came */
/** @typedef {{ at: number, settings: Settings }} State from a step on, with `out`: who is knocked out */

const MARK = /^ *# <(\/?)(.*)>$/;
const IF = /^ *if (not )?settings\[/;
const CONDITION = /^(no )?(\w+)(?:=([\w,]+))?( changes)?$/;

/** The script. `link` leads to the experiment.
 * @param {string} script the template @param {Run} run @param {string} link
 * @throws {Error} where the template does not know a setting that the run has */
export function inPyTorch(script, run, link) {
  const [head, , body] = script.split(/^# <\/?run>\n/m);
  const all = statesOf(run);
  for (const { settings } of all) for (const name in settings) checkKnown(script, name, settings[name]);
  const draft = cut(body, all);
  const isRead = (/** @type {string} */ name) => draft.includes(`settings["${name}"]`);
  const states = all.map((state) => ({ ...state, settings: { ...state.settings } }));
  for (const name in all[0].settings)
    if (!isRead(name)) for (const { settings } of states) settings[name] = all[0].settings[name]; // no change that counts
  const start = Object.entries(states[0].settings).filter(([name]) => isRead(name));
  const changes = changesIn(states);
  return [
    cut(head, states).replace("LINK", () => link),
    "settings = {  # at the start\n",
    ...start.map(([name, value]) => `    "${name}": ${literal(value)},\n`),
    "}\n",
    changes.length ? "CHANGES = [  # after so many steps, a setting and its value\n" : "",
    ...changes.map((change) => `    (${change.map(literal).join(", ")}),\n`),
    changes.length ? "]\n" : "",
    `STEPS = ${run.steps}\n`,
    cut(body, states),
  ].join("");
}

/** @param {string} script @param {string} name @param {any} value */
function checkKnown(script, name, value) {
  const conditions = [...script.matchAll(new RegExp(`[< ]${name}=([\\w,]+)`, "g"))].flatMap((found) =>
    found[1].split(","),
  );
  const listed = typeof value === "string" && !conditions.includes(value);
  const read = conditions.length || script.includes(`settings["${name}"]`) || script.includes(`<${name}>`);
  if (listed || (!read && value !== SETTINGS[name]?.default))
    throw new Error(`This run has no script: nothing in pytorch.py knows ${name} ${JSON.stringify(value)}.`);
}

/** @param {any} value @returns {string} */
function literal(value) {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "boolean") return value ? "True" : "False";
  return JSON.stringify(value);
}

/** The run's states, one after the other. What was changed again before the next step is left out, but for a bias that was
 * given up and taken again, since it begins at 0 then.
 * @param {Run} run @returns {State[]} */
function statesOf({ settings, knocked, changes, steps }) {
  const out = knocked.flatMap((gone, e) => (gone ? [e] : []));
  /** @type {State[]} */
  const states = [{ at: 0, settings: { ...settings, out } }];
  const biased = (/** @type {State | undefined} */ state) => state?.settings.balance === "bias";
  for (const { at, set, knock } of changes) {
    if (at > steps) break;
    const [before, last] = [states.at(-2), states[states.length - 1]];
    const next = { at, settings: { ...last.settings, ...set } };
    if (knock) {
      const others = last.settings.out.filter((e) => e !== knock[0]);
      next.settings.out = knock[1] ? [...others, knock[0]].sort((a, b) => a - b) : others;
    }
    if (at > last.at || (biased(before) && !biased(last) && biased(next))) states.push(next);
    else states[states.length - 1] = next;
  }
  if (states.some((state) => state.settings.gate !== "hash")) return states;
  // A hash hears neither noise nor balance.
  return states.map((state) => ({ ...state, settings: { ...state.settings, noise: 0, balance: "none" } }));
}

/** What each state changes: when, which setting, and its value. @param {State[]} states */
const changesIn = (states) =>
  states.slice(1).flatMap(({ at, settings }, i) =>
    Object.entries(settings)
      .filter(([name, value]) => literal(value) !== literal(states[i].settings[name]))
      .map(([name, value]) => [at, name, value]),
  );

/** Whether a run is as a line of the template says; in each state, where it is a matter of states.
 * @param {string} line @param {State[]} states @returns {boolean[]} */
function judge(line, states) {
  const [, no, name, values, changes] = CONDITION.exec(line) ?? [];
  const all = name === "changes";
  if (all || changes) return [changesIn(states).some((change) => all || change[1] === name)];
  const held = states.map(({ settings: { [name]: value } }) => {
    if (values) return values.split(",").includes(String(value));
    return Array.isArray(value) ? value.length > 0 : value > 0;
  });
  return no ? [!held.includes(true)] : held;
}

/** A part of the template for these states. Where what a section begins with, an "if", is always so, that line goes, and the
 * others move to the left.
 * @param {string} part @param {State[]} states */
function cut(part, states) {
  const open = [{ stays: true, left: 0 }];
  /** @type {string[]} */
  const kept = [];
  const lines = part.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const { stays, left } = open[open.length - 1];
    const [mark, end, said] = MARK.exec(lines[i]) ?? [];
    if (!mark && stays) kept.push(lines[i].slice(left));
    if (end) open.pop();
    if (!mark || end) continue;
    const judged = said.split(" or ").map((line) => judge(line, states));
    const plain = judged.some((held) => !held.includes(false)) && IF.test(lines[i + 1]);
    open.push({ stays: stays && judged.flat().includes(true), left: left + (plain ? 4 : 0) });
    if (plain) i++;
  }
  return kept.join("\n").replace(/\n{4,}/g, "\n\n\n");
}
