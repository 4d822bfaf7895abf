// What training a mixture and training a tree have in common: parameters and Adam, the memory of the last steps, measures.
import { fillUniform } from "./data.js";

const RECENT = 20,
  MAX_HISTORY = 300; // steps that are averaged; rows that the history keeps
const BETA1 = 0.9,
  BETA2 = 0.999,
  EPSILON = 1e-8; // torch.optim.Adam's
export const DEAD_BELOW = 0.01;

// Parameters of these sizes in one array, so that Adam is one loop, and views of it by name. They start as nn.Linear
// does: uniform within 1 / sqrt(inputs).
export function makeParameters(sizes, inputs, state) {
  const total = Object.values(sizes).reduce((a, b) => a + b);
  const theta = new Float64Array(total),
    gradient = new Float64Array(total),
    m = new Float64Array(total),
    v = new Float64Array(total);
  const view = (array) => {
    let from = 0;
    return Object.fromEntries(
      Object.entries(sizes).map(([name, size]) => [name, array.subarray(from, (from += size))]),
    );
  };
  const params = view(theta);
  fillUniform(state, theta);
  for (const name in sizes) params[name].forEach((u, i) => (params[name][i] = (2 * u - 1) / Math.sqrt(inputs(name))));
  // One step of Adam, the step-th.
  function learn(step, rate) {
    const size = rate / (1 - BETA1 ** step),
      root = Math.sqrt(1 - BETA2 ** step);
    for (let j = 0; j < total; j++) {
      const g = gradient[j];
      m[j] += (1 - BETA1) * (g - m[j]);
      v[j] = BETA2 * v[j] + (1 - BETA2) * g * g;
      theta[j] -= (size * m[j]) / (Math.sqrt(v[j]) / root + EPSILON);
    }
  }
  return { params, grads: view(gradient), gradient, learn };
}

// The last steps, averaged, so that a single batch does not make the picture flicker, and a thinned history of that. A row
// holds the named numbers, then the shares.
export function makeRecord(names, E) {
  const width = names.length + E,
    ring = new Float64Array(RECENT * width),
    mean = new Float64Array(width);
  let filled = 0,
    next = 0,
    every = 1;
  const record = {
    row: new Float64Array(width),
    history: [],
    get filled() {
      return filled;
    },
    forget: () => (filled = next = 0),
    // Keeps record.row as what was measured in this step.
    keep(step) {
      ring.set(record.row, next * width);
      next = (next + 1) % RECENT;
      filled = Math.min(filled + 1, RECENT);
      if (step % every) return;
      record.history.push({ step, ...record.mean() });
      if (record.history.length <= MAX_HISTORY) return;
      every *= 2;
      record.history = record.history.filter((row) => row.step % every === 0);
    },
    mean() {
      mean.fill(0);
      for (let r = 0; r < filled; r++) for (let j = 0; j < width; j++) mean[j] += ring[r * width + j] / filled;
      return { ...Object.fromEntries(names.map((name, j) => [name, mean[j]])), shares: mean.slice(names.length) };
    },
  };
  return record;
}

// These settings, complete, or an error that says what is allowed. limits: numbers' ranges, whole ones by name; choices: lists.
export function checked(given, defaults, limits, whole, choices) {
  const all = { ...defaults, ...given };
  const refuse = (name, allowed) => {
    throw new Error(`${name} is ${JSON.stringify(all[name])}; allowed ${allowed}`);
  };
  for (const name in all)
    if (!Object.hasOwn(defaults, name))
      throw new Error(`there is no setting ${name}; allowed are ${Object.keys(defaults).join(", ")}`);
  for (const name in choices) if (!choices[name].includes(all[name])) refuse(name, `are ${choices[name].join(", ")}`);
  for (const [name, [low, high]] of Object.entries(limits)) {
    const fits = typeof all[name] === "number" && all[name] >= low && all[name] <= high;
    if (!fits || (whole.includes(name) && !Number.isInteger(all[name])))
      refuse(name, `are ${whole.includes(name) ? "whole numbers" : "numbers"} from ${low} to ${high}`);
  }
  return all;
}

// What may change while it trains.
export function checkLive(partial, live) {
  for (const name in partial)
    if (!live.includes(name)) throw new Error(`${name} cannot change while it trains; allowed are ${live.join(", ")}`);
}
export function checkPlace(what, i, n) {
  if (!Number.isInteger(i) || i < 0 || i >= n) throw new Error(`${what} is ${i}; allowed are 0 to ${n - 1}`);
}
export function checkFinite(loss, step) {
  if (!Number.isFinite(loss))
    throw new Error(
      `the loss became ${loss} at step ${step}; that step changed nothing. Reset, and take a smaller learning rate or coefficient.`,
    );
}

// Where the largest of n values from `from` stands.
export function largest(values, from, n) {
  let at = from;
  for (let i = from + 1; i < from + n; i++) if (values[i] > values[at]) at = i;
  return at - from;
}

// Evenly spaced places, row by row from the top, as moe_tutorial/show/regions.py's grid.
export function each([left, right, bottom, top], resolution, look) {
  const n = resolution - 1;
  for (let j = 0, at = 0; j <= n; j++)
    for (let i = 0; i <= n; i++, at++) look(left + ((right - left) * i) / n, top - ((top - bottom) * j) / n, at);
}

// Of shares (they sum to 1), as moe_tutorial/study/usage.py; and of the first choices of N points against their regimes.
export function usage(shares, choices, regimes) {
  const table = new Map(),
    N = choices.length;
  for (let i = 0; i < N; i++) {
    const pair = 256 * choices[i] + regimes[i];
    table.set(pair, (table.get(pair) ?? 0) + 1 / N);
  }
  return {
    shares,
    dead: shares.filter((s) => s < DEAD_BELOW).length,
    largest: Math.max(...shares),
    entropy: entropyOf(shares) / Math.log(shares.length),
    nmi: mutualInformation(table),
  };
}

const entropyOf = (parts) => parts.reduce((sum, s) => (s > 0 ? sum - s * Math.log(s) : sum), 0);

// Normalised mutual information, as scikit-learn's (arithmetic mean): 0 nothing, 1 all.
function mutualInformation(table) {
  const experts = new Float64Array(256),
    regimes = new Float64Array(256);
  let both = 0;
  for (const [pair, part] of table) {
    experts[pair >> 8] += part;
    regimes[pair & 255] += part;
    both -= part * Math.log(part);
  }
  const of = entropyOf(experts),
    against = entropyOf(regimes);
  return of + against > 0 ? Math.max(0, (2 * (of + against - both)) / (of + against)) : 1;
}
