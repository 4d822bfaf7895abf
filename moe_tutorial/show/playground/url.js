// An experiment as text: what stands in a link after the #, and back. Only what differs from the defaults is written.
import { LAYERS, checkExperiment, defaultsOf } from "./kinds.js";
import { PRESETS, layerOf } from "./presets.js";

export const MOST_STEPS = 1000000; // that a link may ask for

export function toHash({ preset, settings, steps, point, knocked, forced }) {
  const chosen = PRESETS.find((p) => p.id === preset),
    parts = chosen ? [["preset", preset]] : settings.layer === "tree" ? [["layer", "tree"]] : [];
  const from = { ...defaultsOf(settings.layer), ...chosen?.settings };
  for (const name in from) if (settings[name] !== from[name]) parts.push([name, settings[name]]);
  if (steps !== (chosen?.steps ?? 0)) parts.push(["steps", steps]);
  if (point) parts.push(["point", point]);
  if (knocked.includes(true)) parts.push(["out", knocked.flatMap((gone, e) => (gone ? [e] : [])).join(".")]);
  if (forced) parts.push(["force", `${forced.expert}.${Math.round(100 * forced.share)}`]);
  return parts.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
}

// { preset, settings, steps, point, knocked, forced, notices }, or null where the text is no experiment (another anchor).
export function fromHash(text) {
  const words = text.replace(/^#/, "");
  if (!words.includes("=")) return null;
  const asked = new URLSearchParams(words),
    notices = [],
    id = asked.get("preset"),
    chosen = PRESETS.find((p) => p.id === id);
  if (id !== null && !chosen) notices.push(`there is no preset ${JSON.stringify(id)}`);
  const kinds = chosen ? [layerOf(chosen)] : LAYERS,
    wanted = asked.get("layer") ?? kinds[0],
    layer = kinds.includes(wanted) ? wanted : kinds[0];
  if (layer !== wanted)
    notices.push(
      `layer is ${JSON.stringify(wanted)}; allowed ${chosen ? "with this preset is" : "are"} ${kinds.join(", ")}`,
    );
  const defaults = defaultsOf(layer);
  const state = {
    preset: chosen?.id ?? null,
    settings: { ...defaults, ...chosen?.settings },
    steps: chosen?.steps ?? 0,
    point: 0,
    knocked: [],
    forced: null,
    notices,
  };
  const whole = (name, value, most) => {
    const number = Number(value);
    if (value.trim() && Number.isInteger(number) && number >= 0 && number <= most) return number;
    notices.push(`${name} is ${JSON.stringify(value)}; allowed are whole numbers from 0 to ${most}`);
    return null;
  };
  // E first: how many may be chosen depends on it.
  const names = [...asked.keys()].sort((a, b) => (b === "E") - (a === "E"));
  for (const name of new Set(names)) {
    const value = asked.get(name);
    if (name === "preset" || name === "layer") continue;
    else if (name === "steps") state.steps = whole(name, value, MOST_STEPS) ?? state.steps;
    else if (name === "point") state.point = whole(name, value, 1e6) ?? 0;
    else if (!Object.hasOwn(defaults, name) && !(layer === "mixture" && ["out", "force"].includes(name)))
      notices.push(`there is no setting ${name} for a ${layer}`);
    else if (name === "out") state.knocked = outOf(value, state.settings.E, notices);
    else if (name === "force") state.forced = forcedBy(value, state.settings, notices);
    else {
      const tried = { ...state.settings, [name]: typed(defaults[name], value) };
      if (name === "E") tried.k = Math.min(tried.k, tried.E);
      try {
        state.settings = checkExperiment(tried);
      } catch (problem) {
        notices.push(problem.message);
      }
    }
  }
  return state;
}

const typed = (like, value) => {
  if (typeof like === "number") return value.trim() ? Number(value) : NaN;
  return typeof like === "boolean" ? ({ true: true, false: false }[value] ?? value) : value;
};

function outOf(value, E, notices) {
  const experts = value.split(".").map(Number),
    fits = experts.every((e) => Number.isInteger(e) && e >= 0 && e < E) && new Set(experts).size < E;
  if (!fits) notices.push(`out is ${JSON.stringify(value)}; allowed are experts from 0 to ${E - 1}, not all of them`);
  return Array.from({ length: E }, (_, e) => fits && experts.includes(e));
}
function forcedBy(value, { E, k, gate }, notices) {
  const [expert, part] = value.split(".").map(Number),
    share = part / 100;
  if (Number.isInteger(expert) && expert >= 0 && expert < E && share >= 0 && share <= 1 / k && gate !== "hash")
    return { expert, share };
  notices.push(
    `force is ${JSON.stringify(value)}; allowed is an expert, a point, and its share in percent up to ${Math.floor(100 / k)}`,
  );
  return null;
}
