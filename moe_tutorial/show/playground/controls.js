// The controls of an experiment, made from the table: one for each setting, in its group, shown where its kind is.
import { button, el, field, freshId, tell } from "../web/dom.js";
import { GROUPS, SETTINGS, isLive, mostOf, namesOf } from "./experiment.js";

const short = (v) => String(+v.toPrecision(2));

// A slider's positions: attributes, position -> value, value -> position, and how a value is written.
function scaleOf({ slider, type }) {
  const { stops, scale, from, to, step } = slider;
  if (stops) {
    const nearest = (v) => stops.reduce((a, b, i) => (Math.abs(b - v) < Math.abs(stops[a] - v) ? i : a), 0);
    const write = type === "whole" ? String : short;
    return { range: { min: 0, max: stops.length - 1, step: 1 }, value: (i) => stops[i], position: nearest, write };
  }
  const range = { min: from, max: to, step };
  if (scale) return { range, value: (p) => +(10 ** p).toPrecision(2), position: Math.log10, write: short };
  const decimals = String(step).split(".")[1]?.length ?? 0;
  return { range, value: (v) => +v.toFixed(decimals), position: (v) => v, write: (v) => v.toFixed(decimals) };
}

// One setting's control: its node, its inputs, and show(value, settings).
function makeControl(name, change) {
  const { type } = SETTINGS[name];
  if (type === "choice") return makeChoice(name, change);
  if (type === "flag") return makeFlag(name, change);
  return SETTINGS[name].slider ? makeSlider(name, change) : makeNumber(name, change);
}

function makeChoice(name, change) {
  const { label, choices } = SETTINGS[name];
  const options = Object.entries(choices).map(([value, words]) => el("option", { value }, words));
  const input = el("select", {}, ...options);
  input.onchange = () => change({ [name]: input.value });
  return { node: field(label, input), inputs: [input], show: (value) => (input.value = value) };
}

export function check(input, words, more) {
  input.id = freshId();
  return el("div", { className: "pg-check" }, input, el("label", { htmlFor: input.id }, words, el("small", {}, more)));
}

function makeFlag(name, change) {
  const { label, note = "" } = SETTINGS[name];
  const input = el("input", { type: "checkbox" });
  input.onchange = () => change({ [name]: input.checked });
  return { node: check(input, label, note), inputs: [input], show: (value) => (input.checked = value) };
}

function makeSlider(name, change) {
  const { label, words = {} } = SETTINGS[name];
  const scale = scaleOf(SETTINGS[name]);
  const input = el("input", { type: "range", ...scale.range });
  input.oninput = () => change({ [name]: scale.value(+input.value) });
  function show(value, settings) {
    input.max = SETTINGS[name].most ? Math.min(scale.range.max, mostOf(name, settings)) : scale.range.max;
    input.value = scale.position(value);
    tell(input, words[value] ?? (words.else ?? "#").replace("#", scale.write(value)));
  }
  return { node: field(label, input), inputs: [input], show };
}

// A number in a box, and a button for the next one.
function makeNumber(name, change) {
  const { label, range } = SETTINGS[name];
  const [min, max] = range;
  const input = el("input", { type: "number", min, max, step: 1 });
  const title = `The next ${label.toLowerCase()}`;
  const next = button("Another", { className: "moe-button moe-quiet", title });
  let now = min;
  const set = (value) => {
    if (Number.isInteger(value) && value >= min && value <= max) change({ [name]: value });
    else input.value = now;
  };
  input.onchange = () => set(input.value === "" ? NaN : +input.value);
  next.onclick = () => set((now + 1) % (max + 1));
  const node = el("div", { className: "pg-seed" }, field(label, input), next);
  return { node, inputs: [input, next], show: (value) => (input.value = now = value) };
}

// All of them. `more`: further fields by group, of { node, needs }, what a kind's controls must have; `own`: the learner's points, which stay as they are.
export function makeControls(change, { own, more = {} }) {
  const controls = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, makeControl(name, change)]));
  const fixed = own ? ["data", "centred"] : [];
  if (own) controls.data.inputs[0].replaceChildren(el("option", { value: "own" }, "your own"));
  const groups = GROUPS.map((group) => {
    const names = Object.keys(SETTINGS).filter((name) => SETTINGS[name].group === group);
    const nodes = [...names.map((name) => controls[name].node), ...(more[group] ?? []).map(({ node }) => node)];
    return { names, node: el("fieldset", {}, el("legend", {}, group), ...nodes) };
  });
  const node = el(
    "details",
    { open: true },
    el("summary", {}, "Change the experiment"),
    el("div", { className: "pg-fields" }, ...groups.map((group) => group.node)),
  );

  // `can`: what the kernel's layer lets be changed; null where all can be.
  function show(settings, kind, can) {
    const names = namesOf(settings.layer);
    for (const group of groups) group.node.hidden = !group.names.some((name) => names.includes(name));
    for (const { node, needs } of Object.values(more).flat()) node.hidden = !!needs && !kind.controls[needs];
    for (const name in controls) {
      const { node, inputs, show } = controls[name];
      node.hidden = !names.includes(name);
      if (node.hidden) continue;
      show(settings[name], settings);
      const possible = !can || can.includes(name) || (can.includes("build") && !isLive(name, "kernel"));
      const off = !possible || fixed.includes(name) || kind.controls.idle(settings).includes(name);
      for (const input of inputs) input.disabled = off;
    }
    for (const [name, words] of Object.entries(kind.controls.labels(settings)))
      controls[name].node.firstChild.textContent = words;
    if (own) controls.data.inputs[0].value = "own";
  }
  return { node, show };
}
