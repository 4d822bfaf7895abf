// The controls of an experiment, made from experiment.json: one for each setting, in its group, shown for its kind.
import { el, field, freshId, quietly } from "../../web/dom.js";
import { makeSlider } from "../../web/slider.js";
import { makeData } from "../experiment/data.js";
import { GROUPS, SETTINGS, mostOf, namesOf } from "../experiment/experiment.js";

// The control of a setting: its node, its inputs, and show(value, settings).
function makeControl(name, change) {
  const { type } = SETTINGS[name];
  if (name === "data") return makePictures(name, change);
  if (type === "choice") return makeChoice(name, change);
  if (type === "flag") return makeFlag(name, change);
  if (!SETTINGS[name].slider) return makeNumber(name, change);
  const slider = makeSlider(SETTINGS[name], (value) => change({ [name]: value }));
  return { ...slider, show: (value, settings) => slider.show(value, SETTINGS[name].most && mostOf(name, settings)) };
}

function makeChoice(name, change) {
  const { label, choices } = SETTINGS[name];
  const options = Object.entries(choices).map(([value, words]) => el("option", { value }, words));
  const input = el("select", { onchange: () => change({ [name]: input.value }) }, ...options);
  return { node: field(label, input), inputs: [input], show: (value) => (input.value = value) };
}

// A small picture of a data set: its points, each class in a shade of grey.
function drawn(name) {
  const { x, y, extent } = makeData(name, 0, true);
  const [left, right, , top] = extent;
  const dots = ["", "", ""];
  const part = (far) => Math.round((100 * far) / (right - left));
  for (let i = 0; i < y.length; i++) dots[y[i]] += `M${part(x[2 * i] - left)} ${part(top - x[2 * i + 1])}h0`;
  const paths = dots.map((d) => `<path d="${d}"/>`);
  return el("span", { innerHTML: `<svg viewBox="0 0 100 100" aria-hidden="true">${paths.join("")}</svg>` });
}
function makePictures(name, change) {
  const { label, choices } = SETTINGS[name];
  const group = freshId();
  const inputs = Object.entries(choices).map(([value, ariaLabel]) =>
    el("input", { type: "radio", name: group, value, ariaLabel, onchange: () => change({ [name]: value }) }),
  );
  const pictures = inputs.map((input) => el("label", { title: input.ariaLabel }, input, drawn(input.value)));
  const chosen = el("span", { className: "moe-value", ariaHidden: "true" });
  const row = el("div", { className: "pg-points", role: "radiogroup", ariaLabel: label }, ...pictures);
  function show(value) {
    for (const input of inputs) input.checked = input.value === value;
    chosen.textContent = choices[value];
  }
  return { node: el("div", { className: "moe-field" }, el("span", {}, label), chosen, row), inputs, show };
}

export function check(input, words, more) {
  input.id = freshId();
  return el("div", { className: "pg-check" }, input, el("label", { htmlFor: input.id }, words, el("small", {}, more)));
}

function makeFlag(name, change) {
  const { label, note = "" } = SETTINGS[name];
  const input = el("input", { type: "checkbox", onchange: () => change({ [name]: input.checked }) });
  return { node: check(input, label, note), inputs: [input], show: (value) => (input.checked = value) };
}

// A number field, and a button for the next number.
function makeNumber(name, change) {
  const { label, range } = SETTINGS[name];
  const [min, max] = range;
  const input = el("input", { type: "number", min, max, step: 1 });
  const another = () => change({ [name]: (now + 1) % (max + 1) });
  const next = quietly("Another", { title: `The next ${label.toLowerCase()}`, onclick: another });
  let now = min;
  input.onchange = () => {
    if (input.value && input.checkValidity()) change({ [name]: +input.value });
    else input.value = now;
  };
  const node = el("div", { className: "pg-seed" }, field(label, input), next);
  return { node, inputs: [input, next], show: (value) => (input.value = now = value) };
}

// All controls. `own`: the points are the learner's; `more`: further fields by group.
export function makeControls(change, own, more) {
  const controls = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, makeControl(name, change)]));
  const fixed = own ? ["data", "centred"] : []; // the learner's points cannot be changed
  const groups = GROUPS.map((group) => {
    const names = Object.keys(SETTINGS).filter((name) => SETTINGS[name].group === group);
    const nodes = [...names.map((name) => controls[name].node), ...(more[group] ?? [])];
    if (group !== "More") return { names, node: el("fieldset", {}, el("legend", {}, group), ...nodes) };
    return { names, node: el("details", { className: "pg-more" }, el("summary", {}, group), ...nodes) };
  });
  const title = el("summary", {}, "Change the experiment");
  const fields = el("div", { className: "pg-fields" }, ...groups.map((group) => group.node));
  const node = el("details", { open: true }, title, fields);

  // `kept`: settings that a challenge fixes.
  function show(settings, kind, kept = []) {
    const names = namesOf(settings.layer).filter((name) => !fixed.includes(name));
    for (const group of groups) group.node.hidden = !group.names.some((name) => names.includes(name));
    for (const name in controls) {
      const { node, inputs, show } = controls[name];
      node.hidden = !names.includes(name);
      if (node.hidden) continue;
      show(settings[name], settings);
      const off = [...kept, ...kind.controls.idle(settings)].includes(name);
      for (const input of inputs) input.disabled = off;
    }
    for (const [name, words] of Object.entries(kind.controls.labels(settings)))
      controls[name].node.firstChild.textContent = words;
  }
  return { node, fields, show };
}
