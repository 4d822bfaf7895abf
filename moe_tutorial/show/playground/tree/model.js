// @ts-check
// A fast feedforward tree that trains itself: a binary tree of soft decisions, with a small network in each leaf. What it
// computes is what FastFeedForward of moe_tutorial/layers/tree.py computes.
import { checkFinite, makeBatches, makeMoments, makeParameters, makeRecord } from "../common.js";
import { dataOf, randomState } from "../experiment/data.js";
import { SETTINGS, changedLive, checkSettings } from "../experiment/experiment.js";
import { makeExperts } from "../pictures/experts.js";
import { nodeBalance } from "./balance.js";
import { makeDescent } from "./descent.js";
import { makeTreeLooks } from "./looks.js";

const MOST = /** @type {number[]} */ (SETTINGS.batch.range)[1]; // points in a batch

/** @param {import("../experiment/experiment.js").Settings} [given] what differs from the table
 * @param {import("../experiment/data.js").Data} [own] points brought along */
export function createTree(given = {}, own) {
  const settings = checkSettings("tree", given);
  const { depth, leaf_width: H, seed } = settings;
  const L = 2 ** depth;
  const NODES = L - 1;
  const data = dataOf(settings, own);
  const { x: X, classes: C } = data;

  const sizes = {
    node_weight: NODES * 2,
    node_bias: NODES,
    w_in: L * H * 2,
    b_in: L * H,
    w_out: L * H * C,
    b_out: L * C,
  };
  const inputs = (/** @type {string} */ name) => (name.endsWith("out") ? H : 2);
  const { params, grads, gradient, learn, memory } = makeParameters(sizes, inputs, randomState(seed, 5));
  const descent = makeDescent(depth, params);
  const leaves = makeExperts(params, grads, data, { E: L, H, name: "leaf" });
  const record = makeRecord(["task", "hardening", "balance"], L);
  const batches = randomState(seed, 6);
  const drawBatch = makeBatches(batches, MOST, data.y.length);

  // Of a batch: where its points arrive, on average; node balance's gradient there; and each leaf's hard usage.
  const load = new Float64Array(NODES + L);
  const pull = new Float64Array(NODES + L);
  const counts = new Float64Array(L);
  const all = Int32Array.from({ length: NODES + L }, (_, n) => n - NODES); // the leaves, where `arriving` has them

  /** All leaves' answers, each as loudly as the tree is sure of it. @param {number} x0 @param {number} x1 */
  const answerSoftly = (x0, x1) => leaves.mix(x0, x1, all, descent.arriving, NODES, L);

  /** Node balance on these points, times its weight; `pull` becomes its gradient. @param {Int32Array} rows */
  function readBalance(rows) {
    const T = rows.length;
    const { node_balance } = model.settings;
    pull.fill(0);
    if (!node_balance) return 0;
    load.fill(0);
    for (let t = 0; t < T; t++) {
      descent.descend(X[2 * rows[t]], X[2 * rows[t] + 1]);
      for (let n = 0; n < load.length; n++) load[n] += descent.arriving[n] / T;
    }
    const uneven = nodeBalance(load, T, pull);
    for (let n = 0; n < pull.length; n++) pull[n] *= node_balance;
    return node_balance * uneven;
  }

  /** One point's part of the gradients; returns its cross-entropy. @param {number} i @param {number} T */
  function learnFrom(i, T) {
    const { z, right, arriving, worth } = descent;
    const { settings } = model;
    const { node_weight, node_bias } = grads;
    const x0 = X[2 * i];
    const x1 = X[2 * i + 1];
    descent.descend(x0, x1);
    counts[descent.follow()]++;
    const loss = leaves.learnFrom(i, T, all, arriving, NODES, L, worth);
    if (settings.node_balance) for (let n = NODES; n < worth.length; n++) worth[n] += pull[n];
    descent.weighNodes();
    const harden = settings.hardening / (T * NODES);
    for (let n = 0; n < z.length; n++) {
      const back = descent.slope(n) - harden * z[n] * right[n] * (1 - right[n]);
      node_weight[2 * n] += back * x0;
      node_weight[2 * n + 1] += back * x1;
      node_bias[n] += back;
    }
    return loss;
  }

  /** One step on these points (their numbers). @param {Int32Array} rows */
  function stepOn(rows) {
    const { settings } = model;
    const T = rows.length;
    const uneven = readBalance(rows);
    let task = 0;
    let entropy = 0;
    gradient.fill(0);
    counts.fill(0);
    for (let t = 0; t < T; t++) {
      task += learnFrom(rows[t], T) / T;
      if (settings.hardening) for (let n = 0; n < NODES; n++) entropy += descent.undecided(n) / (T * NODES);
    }
    const hardening = settings.hardening * entropy;
    checkFinite(task + hardening + uneven, model.step);
    learn(++model.step, settings.rate);
    record.keep(model.step, [task, hardening, uneven], counts, T);
  }

  function train(steps = 1) {
    for (let s = 0; s < steps; s++) stepOn(drawBatch(model.settings.batch));
  }

  /** What may change while it trains; the rest needs another tree.
   * @param {import("../experiment/experiment.js").Settings} partial */
  function set(partial) {
    model.settings = changedLive(model.settings, partial);
    if (Object.keys(partial).some((name) => name !== "rate")) record.forget();
  }

  const looks = makeTreeLooks({ data, descent, leaves, answerSoftly });

  const model = {
    settings,
    data,
    params,
    history: record.history,
    step: 0,
    train,
    stepOn,
    set,
    recent: (evaluate = looks.evaluate) => record.recent(evaluate),
    ...looks,
  };
  record.history.push({ step: 0, ...model.recent() });
  return Object.assign(model, makeMoments(model, record, [...memory, batches]));
}
