// @ts-check
// A GPT with experts, read one character at a time. It computes what moe_tutorial/layers/gpt.py computes, from the
// weights that moe_tutorial/show/widgets/live_gpt.py has rounded.
import { makeRouting } from "./routing.js";

/** @typedef {{ characters: string, context: number, blocks: number, heads: number, width: number, hidden: number,
 *   experts: number, k: number }} Sizes */
/** @typedef {ReturnType<typeof readGpt>} Gpt */
/** @typedef {{ experts: number[], weights: number[] }} Choice whom a block's router asked, best first */

/** The model in these bytes: each row of weights is its scale, the upper half of a float32, and its int8 values.
 * @param {Sizes} settings @param {DataView} bytes */
export function readGpt(settings, bytes) {
  const { context, blocks: B, heads, width: d, hidden: h, experts: E, k } = settings;
  const characters = Array.from(settings.characters);
  const ids = new Map(characters.map((character, id) => [character, id]));
  const half = new DataView(new ArrayBuffer(4));
  let at = 0;
  /** @param {number} columns @param {number} [rows] */
  function take(columns, rows = 1) {
    const values = new Float32Array(rows * columns);
    for (let i = 0; i < values.length; i++) {
      if (i % columns === 0) {
        half.setUint16(2, bytes.getUint16(at, true), true);
        at += 2;
      }
      values[i] = half.getFloat32(0, true) * bytes.getInt8(at++);
    }
    return values;
  }
  const norm = () => ({ weight: take(d), bias: take(d) });
  /** @param {number} to */
  const linear = (to) => ({ weight: take(d, to), bias: take(to) });
  const token = take(d, characters.length);
  const position = take(d, context);
  const layers = Array.from({ length: B }, () => ({
    attentionNorm: norm(),
    queryKeyValue: linear(3 * d),
    out: linear(d),
    mixtureNorm: norm(),
    router: take(d, E),
    wIn: take(d, E * h),
    bIn: take(h, E),
    wOut: take(d, E * h),
    bOut: take(d, E),
  }));
  const [end, head] = [norm(), take(d, characters.length)];
  /** @param {string} character */
  const idOf = (character) => ids.get(character) ?? -1;
  return { characters, experts: E, blocks: B, context, k, idOf, heads, d, h, token, position, layers, end, head };
}

/** @param {Float32Array} x @param {{ weight: Float32Array, bias: Float32Array }} norm @param {Float32Array} into */
function normalise(x, { weight, bias }, into) {
  let mean = 0;
  let square = 0;
  for (const value of x) mean += value / x.length;
  for (const value of x) square += (value - mean) ** 2 / x.length;
  const scale = 1 / Math.sqrt(square + 1e-5); // as torch's
  for (let i = 0; i < x.length; i++) into[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

/** The product of the row that begins at `from` and x. @param {Float32Array} weight @param {number} from
 * @param {Float32Array} x */
function dot(weight, from, x) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += weight[from + i] * x[i];
  return sum;
}

/** GELU, with the error function to within 0.0000002 (Abramowitz and Stegun 1964, 7.1.26). @param {number} x */
function gelu(x) {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * z);
  const tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - tail * Math.exp(-z * z);
  return 0.5 * x * (1 + (x < 0 ? -erf : erf));
}

/** A reader of one text, which keeps keys and values. When the context is full, it reads its newer half again and goes
 * on from there, as GPT.generate does.
 * @param {Gpt} gpt @param {boolean[][]} off of each block, the experts that are not asked */
export function startText(gpt, off) {
  const { experts: E, context, heads, d, h, layers } = gpt;
  const size = d / heads;
  const blocks = layers.map((layer, b) => {
    const routing = makeRouting(E);
    routing.out.set(off[b].map(Number));
    routing.set({ k: gpt.k });
    if (!routing.mode.alive) throw new RangeError(`all experts of block ${b + 1} are off; one has to answer`);
    return { ...layer, routing, keys: new Float32Array(context * d), values: new Float32Array(context * d) };
  });
  const [x, normed, attended] = [new Float32Array(d), new Float32Array(d), new Float32Array(d)];
  const [queryKeyValue, scores] = [new Float32Array(3 * d), new Float32Array(context)];
  /** @type {number[]} */
  const text = [];
  let length = 0; // of what is kept
  let fixed = 0; // characters that were there when the context was read again, and cannot be taken back

  /** @param {typeof blocks[0]} block @param {number} t */
  function attend({ attentionNorm, queryKeyValue: { weight, bias }, out, keys, values }, t) {
    normalise(x, attentionNorm, normed);
    for (let o = 0; o < 3 * d; o++) queryKeyValue[o] = bias[o] + dot(weight, o * d, normed);
    keys.set(queryKeyValue.subarray(d, 2 * d), t * d);
    values.set(queryKeyValue.subarray(2 * d), t * d);
    attended.fill(0);
    for (let from = 0; from < d; from += size) {
      let total = 0;
      let top = -Infinity;
      const query = queryKeyValue.subarray(from, from + size);
      for (let s = 0; s <= t; s++) top = Math.max(top, (scores[s] = dot(keys, s * d + from, query) / Math.sqrt(size)));
      for (let s = 0; s <= t; s++) total += scores[s] = Math.exp(scores[s] - top);
      for (let s = 0; s <= t; s++)
        for (let i = from; i < from + size; i++) attended[i] += (scores[s] / total) * values[s * d + i];
    }
    for (let o = 0; o < d; o++) x[o] += out.bias[o] + dot(out.weight, o * d, attended);
  }

  /** @param {typeof blocks[0]} block @returns {Choice} */
  function ask({ mixtureNorm, router, routing, wIn, bIn, wOut, bOut }) {
    normalise(x, mixtureNorm, normed);
    for (let e = 0; e < E; e++) routing.logits[e] = routing.out[e] ? -Infinity : dot(router, e * d, normed);
    routing.route();
    const experts = Array.from(routing.chosen.subarray(0, routing.mode.k));
    const weights = Array.from(routing.weights.subarray(0, routing.mode.k));
    experts.forEach((e, c) => {
      for (let i = 0; i < d; i++) x[i] += weights[c] * bOut[e * d + i];
      for (let j = e * h; j < (e + 1) * h; j++) {
        const neuron = weights[c] * gelu(bIn[j] + dot(wIn, j * d, normed));
        for (let i = 0; i < d; i++) x[i] += neuron * wOut[j * d + i];
      }
    });
    return { experts, weights };
  }

  /** @param {number} id */
  function read(id) {
    const t = length++;
    for (let i = 0; i < d; i++) x[i] = gpt.token[id * d + i] + gpt.position[t * d + i];
    return blocks.map((block) => {
      attend(block, t);
      return ask(block);
    });
  }

  /** Read one more character. Returns the scores of the next one, and whom each block asked. @param {number} id */
  function push(id) {
    text.push(id);
    if (length === context) {
      length = 0;
      for (const old of text.slice(-Math.max(1, context >> 1), -1)) read(old);
      fixed = text.length;
    }
    const choices = read(id);
    normalise(x, gpt.end, normed);
    return { logits: Float32Array.from(gpt.characters, (_, c) => dot(gpt.head, c * d, normed)), choices };
  }
  /** Take back all but the first characters. Returns whether that was possible. @param {number} to */
  function back(to) {
    if (to < fixed) return false;
    length -= text.length - to;
    text.length = to;
    return true;
  }
  return { push, back };
}
