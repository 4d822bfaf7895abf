// An experiment as it is opened and as it stands: settings, how far it has come, the point that is inspected, who is
// knocked out; and, as long as nothing was changed, the preset that it is.
import { PRESETS, checkSettings, defaultsOf, fitted, kindOf } from "./experiment.js";

export const presetOf = (id) => PRESETS.find((preset) => preset.id === id);
export const fromPreset = ({ id, kind, settings, steps }) => ({
  preset: id,
  settings: { ...defaultsOf(kind), ...settings },
  steps,
  point: 0,
  knocked: [],
});

// As playground() in Python hands it over, checked there but for what the preset adds.
export function fromOptions({ preset, settings, steps, point, out }) {
  const base = presetOf(preset);
  const kind = base?.kind ?? kindOf(settings);
  const chosen = fitted({ ...defaultsOf(kind), ...base?.settings, ...settings });
  const touched = Object.keys(settings).some((name) => name !== "layer");
  return {
    preset: base && !touched ? preset : null,
    settings: checkSettings(kind, chosen),
    steps: steps ?? base?.steps ?? 0,
    point: point ?? 0,
    knocked: knockedOf(out ?? []),
  };
}

export const knockedOf = (out) => Array.from({ length: Math.max(-1, ...out) + 1 }, (_, e) => out.includes(e));
export const outOf = (knocked) => knocked.flatMap((gone, e) => (gone ? [e] : []));

// As playground() takes it: plain names and values, only what differs.
export function flatten({ settings, steps, point, knocked }) {
  const usual = { ...defaultsOf(settings.layer), layer: kindOf({}) };
  const flat = Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== usual[name]));
  if (steps) flat.steps = steps;
  if (point) flat.point = point;
  if (knocked.includes(true)) flat.out = outOf(knocked);
  return flat;
}

const python = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value));
export const inPython = (flat) =>
  `playground(${Object.entries(flat)
    .map(([name, value]) => `${name}=${python(value)}`)
    .join(", ")})`;
