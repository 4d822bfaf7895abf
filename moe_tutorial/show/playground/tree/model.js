// @ts-check
// A fast feedforward tree and its training: a binary tree of soft decisions, with a small network in each leaf. It
// computes the same as FastFeedForward in layers/tree.py.
import { checkFinite, makeBatches, makeMoments, makeParameters, makeRecord } from "../common.js";
import { dataOf, randomState } from "../experiment/data.js";
import { SETTINGS, changedLive, checkSettings } from "../experiment/experiment.js";
import { makeExperts } from "../pictures/experts.js";
import { nodeBalance } from "./balance.js";
import { makeDescent } from "./descent.js";
import { makeTreeEvaluation } from "./evaluation.js";

const MOST = /** @type {number[]} */ (SETTINGS.batch.range)[1]; // points in a batch

/** @param {import("../experiment/experiment.js").Settings} [given] settings that differ from the defaults
 * @param {import("../experiment/data.js").Data} [own] the learner's points */
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

  // Of a batch: mean probability of arrival, the gradient of the node-balance loss, and each leaf's usage by hard
  // decisions.
  const load = new Float64Array(NODES + L);
  const pull = new Float64Array(NODES + L);
  const counts = new Float64Array(L);
  const all = Int32Array.from({ length: NODES + L }, (_, n) => n - NODES); // index in `arriving` -> leaf

  /** The soft mixture: the outputs of all leaves, weighted by the probability of arrival.
   * @param {number} x0 @param {number} x1 */
  const answerSoftly = (x0, x1) => leaves.mix(x0, x1, all, descent.arriving, NODES, L);

  /** The node-balance loss of a batch times its coefficient; `pull` is set to its gradient. @param {Int32Array} rows */
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

  /** Add one point's gradients; returns its cross-entropy. @param {number} i @param {number} T */
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

  /** One training step on a batch of points, given by index. @param {Int32Array} rows */
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
    record.add(model.step, [task, hardening, uneven], counts, T);
  }

  function train(steps = 1) {
    for (let s = 0; s < steps; s++) stepOn(drawBatch(model.settings.batch));
  }

  /** Change settings that can change during training.
   * @param {import("../experiment/experiment.js").Settings} partial */
  function set(partial) {
    model.settings = changedLive(model.settings, partial);
    if (Object.keys(partial).some((name) => name !== "rate")) record.forget();
  }

  const evaluation = makeTreeEvaluation({ data, descent, leaves, answerSoftly });

  const model = {
    settings,
    data,
    params,
    history: record.history,
    step: 0,
    train,
    stepOn,
    set,
    recent: (evaluate = evaluation.evaluate) => record.recent(evaluate),
    ...evaluation,
  };
  record.history.push({ step: 0, ...model.recent() });
  return Object.assign(model, makeMoments(model, record, [...memory, batches]));
}
