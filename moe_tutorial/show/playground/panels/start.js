// The buttons that start an experiment: the kinds, the presets and the challenges.
import { button, el } from "../../web/dom.js";
import { group } from "./elements.js";
import { PRESETS } from "../experiment/experiment.js";
import { KINDS, kindNames } from "../kinds.js";
import { presetOf } from "../experiment/state.js";

const chip = (words, act) => button(words, { className: "pg-chip", ariaPressed: "false", onclick: act });

// act: callbacks turnTo(kind) and begin(preset).
export function makeStart(act, ...more) {
  const kinds = kindNames.map((name) => chip(KINDS[name].words.name, () => act.turnTo(name)));
  const chips = PRESETS.map((preset) => chip(preset.name, () => act.begin(preset)));
  const those = (of) => chips.filter((_, i) => of(PRESETS[i]));
  const experiments = group("pg-try", "Experiments to start from", ...those(({ goal }) => !goal));
  const words = el("span", { className: "moe-note" }, "Challenges");
  const win = group("pg-try", "Challenges", words, ...those(({ goal }) => goal));

  function show(state) {
    const { layer } = state.settings;
    const preset = presetOf(state.preset);
    kindNames.forEach((name, i) => (kinds[i].ariaPressed = String(name === layer)));
    PRESETS.forEach((known, i) => {
      chips[i].ariaPressed = String(known === preset);
      chips[i].hidden = known.kind !== layer;
    });
    win.hidden = !PRESETS.some(({ goal, kind }) => goal && kind === layer);
    const pressed = chips[PRESETS.indexOf(preset)]; // on a phone the chips are a strip that scrolls sideways
    const strip = pressed?.parentElement;
    if (strip) strip.scrollLeft += pressed.getBoundingClientRect().left - strip.getBoundingClientRect().left - 12;
  }
  const choice = group("pg-kinds", "What is trained", ...kinds);
  return { node: el("div", { className: "pg-start" }, choice, experiments, win, ...more), show };
}
