// Where an experiment begins: what is trained, the presets, and a preset's story with what to try next.
import { button, el } from "../web/dom.js";
import { group } from "./elements.js";
import { PRESETS } from "./experiment.js";
import { KINDS, kindNames } from "./kinds.js";
import { presetOf } from "./state.js";

const chip = (words, act) => button(words, { className: "pg-chip", ariaPressed: "false", onclick: act });

// act: turnTo(kind), begin(preset), then(preset).
export function makeStart(act) {
  const kinds = kindNames.map((name) => chip(KINDS[name].words.name, () => act.turnTo(name)));
  const chips = PRESETS.map((preset) => chip(preset.name, () => act.begin(preset)));
  const story = el("p", { className: "pg-story" });
  const then = button("", { className: "moe-button moe-quiet pg-then", onclick: () => act.then(preset) });
  const told = el("div", { className: "pg-told" }, story, then);
  const words = el("span", { className: "moe-note" }, "Try");
  const strip = group("pg-try", "Experiments to start from", words, ...chips);
  let preset;

  function show(state, can) {
    const { layer } = state.settings;
    preset = presetOf(state.preset);
    kindNames.forEach((name, i) => (kinds[i].ariaPressed = String(name === layer)));
    PRESETS.forEach((known, i) => {
      chips[i].ariaPressed = String(known === preset);
      chips[i].hidden = known.kind !== layer;
      chips[i].disabled = !!can && !can.includes("build");
    });
    const pressed = chips[PRESETS.indexOf(preset)]; // on a phone the chips are a strip to push along
    if (pressed) strip.scrollLeft += pressed.getBoundingClientRect().left - strip.getBoundingClientRect().left - 12;
    story.textContent = preset?.sentence ?? "";
    then.textContent = preset?.then.words ?? "";
    told.hidden = !preset;
  }
  const choice = group("pg-kinds", "What is trained", ...kinds);
  return { nodes: [el("div", { className: "pg-start" }, choice, strip), told], show };
}
