// @ts-check
// A mixture of experts that trains itself: router, balance, the backward pass by hand, and Adam. What it computes is what
// moe_tutorial/layers computes (router without bias, experts with one hidden layer of ReLU):
// tests/show/test_playground_engine.py holds it to the torch layers, step by step. No page is needed to run it.
import { checkFinite, checkPlace, makeBatches, makeParameters, makeRecord } from "../common.js";
import { fillNormal, makeData, randomState } from "../data.js";
import { SETTINGS, checkLive, checkSettings } from "../experiment.js";
import { makeExperts } from "../experts.js";
import { BALANCES } from "./balance.js";
import { makeMixtureLooks } from "./looks.js";
import { makeRouter } from "./routing.js";

/** @typedef {import("../experiment.js").Settings} Settings */
/** @typedef {import("./balance.js").Balance} Balance */

const MOST = /** @type {number[]} */ (SETTINGS.batch.range)[1]; // points in a batch

/** @param {Settings} [given] what differs from the table
 * @param {import("../data.js").Data} [own] points brought along */
export function createMixture(given = {}, own) {
  let settings = checkSettings("mixture", given);
  const { E, width: H, seed } = settings;
  const data = own ?? makeData(settings.data, seed, settings.centred);
  const { x: X, classes: C } = data;

  const init = randomState(seed, 2);
  const sizes = { weight: E * 2, w_in: E * H * 2, b_in: E * H, w_out: E * H * C, b_out: E * C };
  const { params, grads, gradient, learn } = makeParameters(sizes, (name) => (name.endsWith("out") ? H : 2), init);
  const direction = new Float64Array(2);
  fillNormal(init, direction);
  const router = makeRouter(E, params, direction);
  const experts = makeExperts(params, grads, data, { E, H });
  const record = makeRecord(["task", "balance", "routerGradient"], E);
  const draws = randomState(seed, 4);
  const drawBatch = makeBatches(randomState(seed, 3), MOST, data.y.length);

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
    if (!value || !gradient) return 0;
    const points = of === "meanProbs" ? T : 1;
    gradient(batch, pull);
    for (let e = 0; e < E; e++) pull[e] = (settings.coefficient * pull[e]) / points;
    return settings.coefficient * value(batch);
  }

  /** One step on these points (their numbers) with these standard normal draws (T, E), which count only with noise.
   * @param {Int32Array} rows @param {Float64Array} draws */
  function stepOn(rows, draws) {
    const balance = BALANCES[settings.balance];
    const { k } = router;
    const T = rows.length;
    batch.alive = router.alive;
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
    keep(task, term);
  }

  /** To the gradients for the weights. @param {number} T @param {number} k */
  function addPull(T, k) {
    for (let t = 0; t < T; t++) for (let c = t * E; c < t * E + k; c++) dWeights[c] += pull[batch.list[c]];
  }

  /** @param {number} task @param {number} term */
  function keep(task, term) {
    let square = 0;
    for (let j = 0; j < 2 * E; j++) square += grads.weight[j] * grads.weight[j];
    record.row[0] = task;
    record.row[1] = term;
    record.row[2] = Math.sqrt(square);
    for (let e = 0; e < E; e++) record.row[3 + e] = batch.counts[e] / batch.choices;
    record.keep(model.step);
  }

  function train(steps = 1) {
    for (let s = 0; s < steps; s++) {
      const rows = drawBatch(settings.batch);
      if (settings.noise > 0) fillNormal(draws, noise, settings.batch * E);
      stepOn(rows, noise);
    }
  }

  /** What may change while it trains; the rest needs another model. @param {Settings} partial */
  function set(partial) {
    checkLive("mixture", partial);
    settings = checkSettings("mixture", { ...settings, ...partial });
    router.set(settings);
    if (Object.keys(partial).some((name) => name !== "rate")) record.forget();
  }

  /** Out: as if it were not there. Its logit is minus infinity, and averages over experts are over those who are left.
   * @param {number} expert */
  function knock(expert, gone = true) {
    checkPlace("expert", expert, E);
    if (gone && router.alive === 1 && !router.out[expert])
      throw new Error(`expert ${expert} is the last one; one has to stay`);
    router.out[expert] = +gone;
    router.set(settings);
    record.forget();
  }

  const looks = makeMixtureLooks({ data, E, router, experts });

  /** Over the last steps. */
  function recent() {
    if (record.filled) return { steps: record.filled, ...record.mean() };
    const { shares, loss } = looks.evaluate(); // nothing was trained with these settings yet: what would be chosen?
    return { steps: 0, task: loss, balance: 0, shares, routerGradient: 0 };
  }

  const model = {
    get settings() {
      return settings;
    },
    get history() {
      return record.history;
    },
    get knocked() {
      return Array.from(router.out, Boolean);
    },
    data,
    params,
    direction,
    bias: router.bias,
    step: 0,
    train,
    stepOn,
    set,
    knock,
    recent,
    ...looks,
  };
  const { shares, loss } = looks.evaluate();
  record.history.push({ step: 0, task: loss, balance: 0, routerGradient: 0, shares });
  return model;
}
