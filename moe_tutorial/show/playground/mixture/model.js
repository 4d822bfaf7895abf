// @ts-check
// A mixture of experts that trains itself: router, balance, the backward pass by hand, and Adam. What it computes is what
// moe_tutorial/layers computes (router without bias, experts with one hidden layer of ReLU):
// tests/show/test_playground_engine.py holds it to the torch layers, step by step. No page is needed to run it.
import { checkFinite, checkPlace, makeBatches, makeMoments, makeParameters, makeRecord } from "../common.js";
import { dataOf, fillNormal, randomState } from "../experiment/data.js";
import { SETTINGS, changedLive, checkSettings } from "../experiment/experiment.js";
import { makeExperts } from "../pictures/experts.js";
import { BALANCES } from "./balance.js";
import { makeMixtureLooks } from "./looks.js";
import { makeRouter } from "./routing.js";

/** @typedef {import("../experiment/experiment.js").Settings} Settings */
/** @typedef {import("./balance.js").Balance} Balance */

const MOST = /** @type {number[]} */ (SETTINGS.batch.range)[1]; // points in a batch

/** @param {Settings} [given] what differs from the table
 * @param {import("../experiment/data.js").Data} [own] points brought along */
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

  // Scratch, so that nothing is allocated later.
  const dWeights = new Float64Array(MOST * E);
  const noise = new Float64Array(MOST * E + 1);
  const pull = new Float64Array(E); // the balance's gradient, for each point
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

  /** The balance term; `pull` becomes its gradient for each point. @param {Balance} balance @param {number} T */
  function readBalance({ of, value, gradient }, T) {
    const { coefficient } = model.settings;
    if (!value || !gradient) return 0;
    const points = of === "meanProbs" ? T : 1;
    gradient(batch, pull);
    for (let e = 0; e < E; e++) pull[e] = (coefficient * pull[e]) / points;
    return coefficient * value(batch);
  }

  /** One step on these points (their numbers) with these standard normal draws (T, E), which count only with noise.
   * @param {Int32Array} rows @param {Float64Array} draws */
  function stepOn(rows, draws) {
    const { settings } = model;
    const balance = BALANCES[settings.balance];
    const k = router.k();
    const T = rows.length;
    batch.alive = router.alive();
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
    record.keep(model.step, [task, term, Math.sqrt(square)], batch.counts, batch.choices);
  }

  /** To the gradients for the weights. @param {number} T @param {number} k */
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

  /** What may change while it trains; the rest needs another model. @param {Settings} partial */
  function set(partial) {
    model.settings = changedLive(model.settings, partial);
    router.set(model.settings);
    if (Object.keys(partial).some((name) => name !== "rate")) record.forget();
  }

  /** Out: as if it were not there. Its logit is minus infinity, and averages over experts are over those who are left.
   * @param {number} expert */
  function knock(expert, gone = true) {
    checkPlace("expert", expert, E);
    if (gone && router.alive() === 1 && !router.out[expert])
      throw new Error(`expert ${expert} is the last one; one has to stay`);
    router.out[expert] = +gone;
    router.set(model.settings);
    record.forget();
  }

  const looks = makeMixtureLooks({ data, E, router, experts });

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
    recent: (evaluate = looks.evaluate) => record.recent(evaluate),
    ...looks,
  };
  record.history.push({ step: 0, ...model.recent() });
  const changing = [...memory, batches, draws, router.bias, router.out];
  return Object.assign(
    model,
    makeMoments(model, record, changing, () => router.set(model.settings)),
  );
}
