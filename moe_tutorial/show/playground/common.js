// @ts-check
// Training code that mixtures and trees share: batches, cross-entropy, Adam, the records of the last steps, and the
// measures.
import { DEAD } from "../web/words.js";
import { fillUniform } from "./experiment/data.js";

const RECENT = 20; // steps that are averaged
const MAX_HISTORY = 300; // rows that the history keeps
const BETA1 = 0.9; // torch.optim.Adam's
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** @typedef {Record<string, Float64Array>} Arrays named parts of one array */

/** Parameters in one array, so that Adam is one loop, with views of it by name. They are initialised as in nn.Linear:
 * uniform within 1 / sqrt(inputs).
 * @param {Record<string, number>} sizes
 * @param {(name: string) => number} inputs
 * @param {Uint32Array} state of the random numbers */
export function makeParameters(sizes, inputs, state) {
  const total = Object.values(sizes).reduce((a, b) => a + b);
  const theta = new Float64Array(total);
  const gradient = new Float64Array(total);
  const m = new Float64Array(total);
  const v = new Float64Array(total);

  /** @param {Float64Array} array @returns {Arrays} */
  function view(array) {
    let from = 0;
    return Object.fromEntries(
      Object.entries(sizes).map(([name, size]) => [name, array.subarray(from, (from += size))]),
    );
  }
  const params = view(theta);
  fillUniform(state, theta);
  for (const name in sizes) params[name].forEach((u, i) => (params[name][i] = (2 * u - 1) / Math.sqrt(inputs(name))));

  /** One step of Adam. @param {number} step @param {number} rate */
  function learn(step, rate) {
    const size = rate / (1 - BETA1 ** step);
    const root = Math.sqrt(1 - BETA2 ** step);
    for (let j = 0; j < total; j++) {
      const g = gradient[j];
      m[j] += (1 - BETA1) * (g - m[j]);
      v[j] = BETA2 * v[j] + (1 - BETA2) * g * g;
      theta[j] -= (size * m[j]) / (Math.sqrt(v[j]) / root + EPSILON);
    }
  }
  return { params, grads: view(gradient), gradient, learn, memory: [theta, m, v] };
}

/** A function that draws the indices of a batch, with replacement.
 * @param {Uint32Array} state of the random numbers
 * @param {number} most points in a batch
 * @param {number} n points to draw from */
export function makeBatches(state, most, n) {
  const uniform = new Float64Array(most);
  let batch = new Int32Array(most);
  /** @param {number} size */
  return function draw(size) {
    if (batch.length !== size) batch = new Int32Array(size);
    fillUniform(state, uniform, size);
    for (let t = 0; t < size; t++) batch[t] = Math.floor(uniform[t] * n);
    return batch;
  };
}

/** Cross-entropy of scores; `back` is set to its gradient times `scale`.
 * @param {Float64Array} scores @param {number} label @param {number} scale @param {Float64Array} back */
export function crossEntropy(scores, label, scale, back) {
  const C = scores.length;
  let top = -Infinity;
  let sum = 0;
  for (let o = 0; o < C; o++) if (scores[o] > top) top = scores[o];
  for (let o = 0; o < C; o++) sum += back[o] = Math.exp(scores[o] - top);
  for (let o = 0; o < C; o++) back[o] = scale * (back[o] / sum - (o === label ? 1 : 0));
  return Math.log(sum) + top - scores[label];
}

/** Records of the training: an average over the last steps, so that the pictures do not flicker, and a thinned history
 * of it. A step's record has the losses, and the number of choices of each of E parts.
 * @param {string[]} losses @param {number} E */
export function makeRecord(losses, E) {
  const width = losses.length + E;
  const ring = new Float64Array(RECENT * width);
  const mean = new Float64Array(width);
  let filled = 0;
  let next = 0;
  let every = 1;
  /** @type {Record<string, any>[]} */
  const history = [];

  function average() {
    mean.fill(0);
    for (let r = 0; r < filled; r++) for (let j = 0; j < width; j++) mean[j] += ring[r * width + j] / filled;
    return { ...Object.fromEntries(losses.map((name, j) => [name, mean[j]])), shares: mean.slice(losses.length) };
  }
  return {
    history,
    forget() {
      filled = next = 0;
    },
    /** Record a step.
     * @param {number} step @param {number[]} values @param {Float64Array} counts @param {number} choices */
    add(step, values, counts, choices) {
      const at = next * width;
      for (let j = 0; j < width; j++) ring[at + j] = values[j] ?? counts[j - values.length] / choices;
      next = (next + 1) % RECENT;
      filled = Math.min(filled + 1, RECENT);
      if (step % every) return;
      history.push({ step, ...average() });
      if (history.length <= MAX_HISTORY) return;
      every *= 2;
      history.splice(0, history.length, ...history.filter((row) => row.step % every === 0));
    },
    save: () => ({ ring: ring.slice(), filled, next, every, rows: history.slice() }),
    /** @param {any} saved what save() returned */
    restore(saved) {
      ring.set(saved.ring);
      ({ filled, next, every } = saved);
      history.splice(0, history.length, ...saved.rows);
    },
    /** The average over the last steps, or an evaluation if there are none with the present settings.
     * @param {() => { loss: number, shares: Float64Array }} evaluate @returns {Record<string, any>} */
    recent(evaluate) {
      if (filled) return { steps: filled, ...average() };
      const { loss, shares } = evaluate();
      return { steps: 0, ...Object.fromEntries(losses.map((name) => [name, 0])), task: loss, shares };
    },
  };
}

/** Save and restore everything on which a model's next steps depend.
 * @param {{ settings: any, step: number }} model @param {ReturnType<typeof makeRecord>} record
 * @param {(Float64Array | Uint32Array | Uint8Array)[]} memory arrays that training changes
 * @param {() => void} [renew] called after a restore */
export function makeMoments(model, record, memory, renew = () => {}) {
  return {
    save: () => ({
      step: model.step,
      settings: model.settings,
      memory: memory.map((array) => array.slice()),
      record: record.save(),
    }),
    /** @param {any} saved what save() returned */
    restore(saved) {
      model.step = saved.step;
      model.settings = saved.settings;
      memory.forEach((array, i) => array.set(saved.memory[i]));
      record.restore(saved.record);
      renew();
    },
  };
}

/** @param {string} what @param {number} i @param {number} n */
export function checkPlace(what, i, n) {
  if (!Number.isInteger(i) || i < 0 || i >= n) throw new Error(`${what} is ${i}; allowed are 0 to ${n - 1}`);
}

/** @param {number} loss @param {number} step */
export function checkFinite(loss, step) {
  if (Number.isFinite(loss)) return;
  const advice = "Reset, and take a smaller learning rate or coefficient.";
  throw new Error(`the loss became ${loss} at step ${step}; that step changed nothing. ${advice}`);
}

/** Index of the largest of n values from index `from`, relative to it.
 * @param {Float64Array} values @param {number} from @param {number} n */
export function largest(values, from, n) {
  let at = from;
  for (let i = from + 1; i < from + n; i++) if (values[i] > values[at]) at = i;
  return at - from;
}

/** Visit evenly spaced points, row by row from the top, as `grid` in show/arrays.py orders them.
 * @param {number[]} extent @param {number} resolution @param {(x0: number, x1: number, at: number) => void} visit */
export function each([left, right, bottom, top], resolution, visit) {
  const n = resolution - 1;
  for (let j = 0, at = 0; j <= n; j++)
    for (let i = 0; i <= n; i++, at++) visit(left + ((right - left) * i) / n, top - ((top - bottom) * j) / n, at);
}

/** The measures of shares that sum to 1, as in study/usage.py, and the normalised mutual information of the points'
 * first choices with their regimes, as in scikit-learn (arithmetic mean).
 * @param {Float64Array} shares @param {Uint8Array} choices @param {Uint8Array} regimes */
export function usage(shares, choices, regimes) {
  const mean = (entropyBy(choices, (i) => choices[i]) + entropyBy(choices, (i) => regimes[i])) / 2;
  const both = entropyBy(choices, (i) => 256 * choices[i] + regimes[i]);
  return {
    shares,
    dead: shares.filter((s) => s < DEAD).length,
    largest: Math.max(...shares),
    entropy: entropyOf(shares) / Math.log(shares.length),
    nmi: mean > 0 ? Math.max(0, (2 * mean - both) / mean) : 1,
  };
}

/** @param {Float64Array} parts */
const entropyOf = (parts) => parts.reduce((sum, part) => (part > 0 ? sum - part * Math.log(part) : sum), 0);
/** The entropy of points grouped by a key; there are at most 16 experts and 256 regimes.
 * @param {Uint8Array} points @param {(i: number) => number} key */
function entropyBy(points, key) {
  const parts = new Float64Array(16 * 256);
  for (let i = 0; i < points.length; i++) parts[key(i)] += 1 / points.length;
  return entropyOf(parts);
}
