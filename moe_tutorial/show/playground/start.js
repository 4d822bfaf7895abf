// Where an experiment begins: what is trained, the presets, and a preset's story with what to try next.
import { el } from "../web/dom.js";
import { PRESETS } from "./experiment.js";
import { KINDS, kindNames } from "./kinds.js";
import { presetOf } from "./state.js";

const chip = (words, extra = {}) =>
  el("button", { type: "button", className: "pg-chip", ariaPressed: "false", ...extra }, words);

// act: turnTo(kind), begin(preset), then(preset).
export function makeStart(act) {
  const kinds = kindNames.map((value) => chip(KINDS[value].words.name, { value }));
  const chips = PRESETS.map((preset) => chip(preset.name));
  const story = el("p", { className: "pg-story" });
  const then = el("button", { type: "button", className: "moe-button moe-quiet pg-then" });
  const strip = el(
    "div",
    { className: "pg-try", role: "group", ariaLabel: "Experiments to start from" },
    el("span", { className: "moe-note" }, "Try"),
    ...chips,
  );
  const kindsNode = el("div", { className: "pg-kinds", role: "group", ariaLabel: "What is trained" }, ...kinds);
  const told = el("div", { className: "pg-told" }, story, then);
  let preset;
  kinds.forEach((button) => (button.onclick = () => act.turnTo(button.value)));
  chips.forEach((button, i) => (button.onclick = () => act.begin(PRESETS[i])));
  then.onclick = () => act.then(preset);

  function show(state, can) {
    const { layer } = state.settings;
    preset = presetOf(state.preset);
    kinds.forEach((button) => (button.ariaPressed = String(button.value === layer)));
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
  return { nodes: [el("div", { className: "pg-start" }, kindsNode, strip), told], show };
}
