// What starts an experiment: the kinds, and a menu of the kind's presets and challenges.
import { el, field, quietly } from "../../web/dom.js";
import { group, set } from "./elements.js";
import { PRESETS } from "../experiment/experiment.js";
import { KINDS, kindNames } from "../kinds.js";
import { fromPreset, presetOf } from "../experiment/state.js";

// act: callbacks turnTo(kind) and begin(preset).
export function makeStart(act, ...more) {
  const kinds = kindNames.map((name) => quietly(KINDS[name].words.name, { onclick: () => act.turnTo(name) }));
  const changed = el("option", { value: "", disabled: true }); // so that what was changed can be chosen afresh
  const menu = el("select", { onchange: () => act.begin(presetOf(menu.value)) });
  let listed;

  function list(layer) {
    listed = layer;
    const known = PRESETS.filter(({ kind }) => kind === layer);
    const those = (of) => known.filter(of).map(({ id, name }) => new Option(name, id));
    menu.replaceChildren(changed, ...those(({ goal }) => !goal));
    const challenges = those(({ goal }) => goal);
    if (challenges.length) menu.append(el("optgroup", { label: "Challenges" }, ...challenges));
  }
  function show(preset, settings, knocked) {
    const begun = Object.entries(preset ? fromPreset(preset).settings : {});
    const same = preset && !knocked.includes(true) && begun.every(([name, value]) => settings[name] === value);
    kindNames.forEach((name, i) => (kinds[i].ariaPressed = String(name === settings.layer)));
    if (listed !== settings.layer) list(settings.layer);
    set(changed, preset ? `${preset.name}, changed` : "your own settings");
    changed.hidden = !!same;
    const chosen = same ? preset.id : "";
    if (menu.value !== chosen) menu.value = chosen; // else an open menu would lose its place
  }
  const choice = group("pg-kinds", "What is trained", ...kinds);
  return { node: el("div", { className: "pg-start" }, choice, field("Experiment", menu), ...more), show };
}
