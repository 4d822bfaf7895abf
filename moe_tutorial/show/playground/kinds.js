// What can be trained here: a mixture of experts or a tree. An experiment's settings name their kind as `layer`.
import { DEFAULTS, checkSettings, createModel } from "./model.js";
import { TREE_DEFAULTS, checkTreeSettings, createTree } from "./tree.js";

const KINDS = {
  mixture: { defaults: DEFAULTS, check: checkSettings, create: createModel },
  tree: { defaults: TREE_DEFAULTS, check: checkTreeSettings, create: createTree },
};
export const LAYERS = Object.keys(KINDS);

export const defaultsOf = (layer) => ({ layer, ...KINDS[layer].defaults });

// The settings, complete, or an error that says what is allowed.
export function checkExperiment({ layer = "mixture", ...settings }) {
  if (!LAYERS.includes(layer)) throw new Error(`layer is ${JSON.stringify(layer)}; allowed are ${LAYERS.join(", ")}`);
  return { layer, ...KINDS[layer].check(settings) };
}

// What trains; `own`: points brought along, in the shape of makeData's.
export function createLayer({ layer, ...settings }, own) {
  return KINDS[layer].create(settings, own);
}

// These settings for the other kind: what both have stays.
export function carried(settings, layer) {
  const next = defaultsOf(layer);
  for (const name in next) if (name !== "layer" && Object.hasOwn(settings, name)) next[name] = settings[name];
  return next;
}
