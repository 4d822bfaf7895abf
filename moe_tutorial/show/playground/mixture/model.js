// @ts-check
// A mixture of experts and its training: router, balance, a backward pass by hand, and Adam. It computes the same as
// moe_tutorial/layers (router without bias, experts with one hidden layer and ReLU), to which
// tests/show/test_playground_engine.py compares it step by step. It runs without a page.
import { checkFinite, checkPlace, makeBatches, makeMoments, makeParameters, makeRecord } from "../common.js";
import { dataOf, fillNormal, randomState } from "../experiment/data.js";
import { SETTINGS, changedLive, checkSettings } from "../experiment/experiment.js";
import { makeExperts } from "../pictures/experts.js";
import { BALANCES } from "./balance.js";
import { makeMixtureEvaluation } from "./evaluation.js";
import { makeRouter } from "./routing.js";

/** @typedef {import("../experiment/experiment.js").Settings} Settings */
/** @typedef {import("./balance.js").Balance} Balance */

const MOST = /** @type {number[]} */ (SETTINGS.batch.range)[1]; // points in a batch

/** @param {Settings} [given] settings that differ from the defaults
 * @param {import("../experiment/data.js").Data} [own] the learner's points */
export function createMixture(given = {}, own) {
  const settings = checkSettings("mixture", given);
  const { E, width: H, seed } = settings;
  const data = dataOf(settings, own);
  const { x: X, classes: C } = data;

  const init = randomState(seed, 2);
  const sizes = { weight: E * 2, w_in: E * H * 2, b_in: E * H, w_out: E * H * C, b_out: E * C };
  const { params, grads, gradient, learn, memory } = makeParameters(
    sizes,
    (name) => (name.endsWith("out") ? H : 2),
    init,
  );
  const direction = new Float64Array(2);
  fillNormal(init, direction);
  const router = makeRouter(E, params, direction);
  const experts = makeExperts(params, grads, data, { E, H, name: "expert" });
  const record = makeRecord(["task", "balance", "routerGradient"], E);
  const draws = randomState(seed, 4);
  const batches = randomState(seed, 3);
  const drawBatch = makeBatches(batches, MOST, data.y.length);

  // Buffers, so that training allocates nothing.
  const dWeights = new Float64Array(MOST * E);
  const noise = new Float64Array(MOST * E + 1);
  const pull = new Float64Array(E); // gradient of the balance loss for each point
  const batch = {
    E,
    alive: E,
    out: router.out,
    choices: 0,
    list: new Int32Array(MOST * E),
    weighed: new Float64Array(MOST * E),
    ranked: new Float64Array(MOST * E),
    clean: new Float64Array(MOST * E),
    counts: new Float64Array(E),
    importance: new Float64Array(E),
    meanProbs: new Float64Array(E),
  };
  router.set(settings);

  // Training.

  /** The balance loss times its coefficient; `pull` is set to its gradient for each point.
   * @param {Balance} balance @param {number} T */
  function readBalance({ of, value, gradient }, T) {
    const { coefficient } = model.settings;
    if (!value || !gradient) return 0;
    const points = of === "meanProbs" ? T : 1;
    gradient(batch, pull);
    for (let e = 0; e < E; e++) pull[e] = (coefficient * pull[e]) / points;
    return coefficient * value(batch);
  }

  /** One training step on a batch of points, given by index. `draws` (T, E) are standard normal numbers for the noise.
   * @param {Int32Array} rows @param {Float64Array} draws */
  function stepOn(rows, draws) {
    const { settings } = model;
    const balance = BALANCES[settings.balance];
    const k = router.mode.k;
    const T = rows.length;
    batch.alive = router.mode.alive;
    batch.choices = T * k;
    router.routeBatch(X, rows, settings.noise, draws, batch, balance.of === "meanProbs");
    const term = readBalance(balance, T);
    gradient.fill(0);
    let sum = 0;
    for (let t = 0; t < T; t++) sum += experts.learnFrom(rows[t], T, batch.list, batch.weighed, t * E, k, dWeights);
    const task = sum / T;
    if (balance.of === "importance") addPull(T, k);
    router.learnBatch(X, rows, dWeights, batch, balance.of === "meanProbs" ? pull : null, grads.weight);
    checkFinite(task + term, model.step);
    learn(++model.step, settings.rate);
    balance.afterStep?.(batch, router.bias, settings.coefficient);
    const square = grads.weight.reduce((sum, g) => sum + g * g, 0);
    record.add(model.step, [task, term, Math.sqrt(square)], batch.counts, batch.choices);
  }

  /** Add `pull` to the gradients with respect to the weights. @param {number} T @param {number} k */
  function addPull(T, k) {
    for (let t = 0; t < T; t++) for (let c = t * E; c < t * E + k; c++) dWeights[c] += pull[batch.list[c]];
  }

  function train(steps = 1) {
    const { settings } = model;
    for (let s = 0; s < steps; s++) {
      const rows = drawBatch(settings.batch);
      if (settings.noise > 0) fillNormal(draws, noise, settings.batch * E);
      stepOn(rows, noise);
    }
  }

  /** Change settings that can change during training. @param {Settings} partial */
  function set(partial) {
    model.settings = changedLive(model.settings, partial);
    router.set(model.settings);
    if (Object.keys(partial).some((name) => name !== "rate")) record.forget();
  }

  /** Knock an expert out: its logit becomes minus infinity, and averages over experts leave it out.
   * @param {number} expert */
  function knock(expert, gone = true) {
    checkPlace("expert", expert, E);
    if (gone && router.mode.alive === 1 && !router.out[expert])
      throw new Error(`expert ${expert} is the last one; one has to stay`);
    router.out[expert] = +gone;
    router.set(model.settings);
    record.forget();
  }

  const evaluation = makeMixtureEvaluation({ data, E, router, experts });

  const model = {
    settings,
    data,
    params,
    direction,
    bias: router.bias,
    history: record.history,
    step: 0,
    get knocked() {
      return Array.from(router.out, Boolean);
    },
    train,
    stepOn,
    set,
    knock,
    recent: (evaluate = evaluation.evaluate) => record.recent(evaluate),
    ...evaluation,
  };
  record.history.push({ step: 0, ...model.recent() });
  const changing = [...memory, batches, draws, router.bias, router.out];
  return Object.assign(
    model,
    makeMoments(model, record, changing, () => router.set(model.settings)),
  );
}
