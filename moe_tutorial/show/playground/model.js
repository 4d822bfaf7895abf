// A mixture of experts that trains itself: router, gates, noise, balance, the backward pass by hand, and Adam.
// What it computes is what moe_tutorial/layers computes (router without bias, experts with one hidden layer of ReLU):
// tests/show/test_playground_engine.py holds it to the torch layers, step by step. No page is needed to run it.

import { DATASETS, fillNormal, fillUniform, makeData, randomState } from "./data.js";
import {
  checkFinite,
  checkLive,
  checkPlace,
  checked,
  each,
  largest,
  makeParameters,
  makeRecord,
  usage,
} from "./training.js";

export const GATES = ["softmax_topk", "topk_softmax", "sigmoid_topk", "hash"];
export const BALANCES = ["none", "switch", "importance", "bias"];
export const DEFAULTS = {
  data: "regimes",
  centred: true,
  seed: 0,
  batch: 128,
  rate: 0.01,
  E: 8,
  k: 1,
  width: 8,
  gate: "softmax_topk",
  noise: 0,
  balance: "none",
  coefficient: 0.1, // of the loss; of "bias", the bias's rate
};
export const LIMITS = {
  seed: [0, 999999],
  batch: [1, 512],
  rate: [1e-5, 1],
  E: [2, 16],
  width: [1, 64],
  noise: [0, 10],
  coefficient: [0, 1000],
};
export const LIVE = ["noise", "balance", "coefficient", "rate", "k", "gate", "batch"]; // what may change while it trains

const [SOFTMAX_FIRST, TOPK_FIRST, SIGMOID, HASH] = [0, 1, 2, 3]; // places in GATES
const HASH_STEPS = 10000; // HashRouter's

// The settings, complete, or an error that says what is allowed.
export function checkSettings(settings) {
  const choices = { data: Object.keys(DATASETS), gate: GATES, balance: BALANCES, centred: [true, false] };
  const all = checked(settings, DEFAULTS, LIMITS, ["seed", "batch", "E", "width"], choices);
  if (!Number.isInteger(all.k) || all.k < 1 || all.k > all.E)
    throw new Error(
      `k is ${JSON.stringify(all.k)}; allowed are whole numbers from 1 to ${all.E}, the number of experts`,
    );
  return all;
}

// `own`: points brought along, in the shape of makeData's.
export function createModel(given = {}, own) {
  let settings = checkSettings(given);
  const { E, width: H, seed } = settings,
    data = own ?? makeData(settings.data, seed, settings.centred),
    C = data.classes;
  const { x: X, y: Y, xTest, yTest } = data,
    N = Y.length;

  const init = randomState(seed, 2),
    sizes = { weight: E * 2, w_in: E * H * 2, b_in: E * H, w_out: E * H * C, b_out: E * C };
  const { params, grads, gradient, learn } = makeParameters(sizes, (name) => (name.endsWith("out") ? H : 2), init);
  const { weight, w_in, b_in, w_out, b_out } = params,
    record = makeRecord(["task", "balance", "routerGradient"], E);
  const direction = new Float64Array(2); // of the hash
  fillNormal(init, direction);
  const bias = new Float64Array(E),
    out = new Uint8Array(E); // selection bias; who is knocked out
  let alive = E,
    k,
    gate,
    biased,
    forced = null,
    forcedStep = -1,
    offset = 0;
  const batches = randomState(seed, 3),
    draws = randomState(seed, 4);

  // Scratch, so that nothing is allocated later. Of one point: clean logits, noisy ones (the same array without noise),
  // probabilities, ranking, the chosen experts and their weights; an expert's neurons and its answer, the sum of answers.
  const z = new Float64Array(E),
    zNoisy = new Float64Array(E),
    probs = new Float64Array(E),
    noisyProbs = new Float64Array(E);
  const rank = new Float64Array(E),
    chosen = new Int32Array(E),
    weights = new Float64Array(E);
  const neurons = new Float64Array(E * H),
    answers = new Float64Array(E * C),
    scores = new Float64Array(C),
    dScores = new Float64Array(C);
  const dWeights = new Float64Array(E),
    dLogits = new Float64Array(E),
    dNeuron = new Float64Array(C);
  // Of a batch:
  let B, rows, uniform, noise, batchChosen, batchWeights, batchProbs, batchNoisy, margins;
  const counts = new Float64Array(E),
    importance = new Float64Array(E),
    meanProbs = new Float64Array(E),
    pull = new Float64Array(E);
  function makeRoom() {
    B = settings.batch;
    rows = new Int32Array(B);
    uniform = new Float64Array(B);
    noise = new Float64Array(B * E + 1);
    batchChosen = new Int32Array(B * E);
    [batchWeights, batchProbs, batchNoisy] = [0, 0, 0].map(() => new Float64Array(B * E));
  }
  function adopt() {
    // the settings that the loops read
    [gate, biased] = [GATES.indexOf(settings.gate), settings.balance === "bias"];
    k = Math.min(settings.k, alive);
    if (settings.batch !== B) makeRoom();
  }
  adopt();

  // Routing of one point.

  function readLogits(x0, x1) {
    for (let e = 0; e < E; e++) z[e] = out[e] ? -Infinity : weight[2 * e] * x0 + weight[2 * e + 1] * x1;
  }

  function probabilities(logits, into) {
    if (gate === SIGMOID) {
      for (let e = 0; e < E; e++) into[e] = 1 / (1 + Math.exp(-logits[e]));
      return;
    }
    let top = -Infinity,
      sum = 0;
    for (let e = 0; e < E; e++) if (logits[e] > top) top = logits[e];
    for (let e = 0; e < E; e++) sum += into[e] = Math.exp(logits[e] - top);
    for (let e = 0; e < E; e++) into[e] /= sum;
  }

  // What the choice goes by. Probabilities rank as their logits do, until a bias joins them.
  function readRanking(logits, p) {
    const byProb = biased && gate !== TOPK_FIRST;
    for (let e = 0; e < E; e++) rank[e] = out[e] ? -Infinity : (byProb ? p[e] : logits[e]) + (biased ? bias[e] : 0);
  }

  // The k that rank highest, best first.
  function choose() {
    for (let e = 0, filled = 0; e < E; e++) {
      const value = rank[e];
      if (filled === k && value <= rank[chosen[k - 1]]) continue;
      let c = filled < k ? filled++ : k - 1;
      for (; c > 0 && rank[chosen[c - 1]] < value; c--) chosen[c] = chosen[c - 1];
      chosen[c] = e;
    }
  }

  function weigh(logits, p) {
    if (gate !== TOPK_FIRST) {
      for (let c = 0; c < k; c++) weights[c] = p[chosen[c]];
      return;
    }
    let top = -Infinity,
      sum = 0;
    for (let c = 0; c < k; c++) if (logits[chosen[c]] > top) top = logits[chosen[c]];
    for (let c = 0; c < k; c++) sum += weights[c] = Math.exp(logits[chosen[c]] - top);
    for (let c = 0; c < k; c++) weights[c] /= sum;
  }

  // A choice that learns nothing: fine steps along a direction, modulo E. The next experts follow; who is out is passed over.
  function hash(x0, x1) {
    const steps = Math.round(x0 * (HASH_STEPS * direction[0])) + Math.round(x1 * (HASH_STEPS * direction[1]));
    probs.fill(0);
    for (let e = ((steps % E) + E) % E, c = 0; c < k; e = (e + 1) % E) {
      if (out[e]) continue;
      probs[e] = weights[c] = 1 / k;
      chosen[c++] = e;
    }
  }

  // By how much the forced expert misses the choice: it is chosen where its offset is larger.
  function margin() {
    const own = rank[forced.expert];
    rank[forced.expert] = -Infinity;
    choose();
    rank[forced.expert] = own;
    return rank[chosen[k - 1]] - own;
  }

  // The offset that gives the forced expert its share of the choices of n points, whose margins stand in `margins`.
  function findOffset(n) {
    const wanted = Math.min(n, Math.round(forced.share * k * n)),
      sorted = margins.subarray(0, n).sort();
    if (wanted === 0) return -Infinity;
    return wanted === n ? Infinity : (sorted[wanted - 1] + sorted[wanted]) / 2;
  }

  const forcing = () => forced !== null && gate !== HASH && k < alive;

  // The same for evaluation, from all training points, once a step.
  function readOffset() {
    if (!forcing() || forcedStep === model.step) return;
    for (let i = 0; i < N; i++) {
      readLogits(X[2 * i], X[2 * i + 1]);
      probabilities(z, probs);
      readRanking(z, probs);
      margins[i] = margin();
    }
    offset = findOffset(N);
    forcedStep = model.step;
  }

  // A point's routing without noise: z, probs, chosen, weights. Needs readOffset() once before.
  function route(x0, x1) {
    if (gate === HASH) return hash(x0, x1);
    readLogits(x0, x1);
    probabilities(z, probs);
    readRanking(z, probs);
    if (forcing()) rank[forced.expert] += offset;
    choose();
    weigh(z, probs);
  }

  // Expert e's answer to one point, at place c of `neurons` and `answers`.
  function ask(e, x0, x1, c) {
    const a = c * C,
      n = c * H;
    for (let o = 0; o < C; o++) answers[a + o] = b_out[e * C + o];
    for (let h = 0; h < H; h++) {
      const j = e * H + h,
        value = w_in[2 * j] * x0 + w_in[2 * j + 1] * x1 + b_in[j];
      neurons[n + h] = value > 0 ? value : 0;
      if (value > 0) for (let o = 0; o < C; o++) answers[a + o] += value * w_out[j * C + o];
    }
  }

  // The chosen experts' answers, summed with the given weights.
  function answer(x0, x1, list, given, at) {
    for (let o = 0; o < C; o++) scores[o] = 0; // on so few numbers a loop is faster than fill()
    for (let c = 0; c < k; c++) {
      ask(list[at + c], x0, x1, c);
      for (let o = 0; o < C; o++) scores[o] += given[at + c] * answers[c * C + o];
    }
  }

  // Cross-entropy of `scores`; dScores becomes its gradient times `scale`.
  function crossEntropy(label, scale) {
    let top = -Infinity,
      sum = 0;
    for (let o = 0; o < C; o++) if (scores[o] > top) top = scores[o];
    for (let o = 0; o < C; o++) sum += dScores[o] = Math.exp(scores[o] - top);
    for (let o = 0; o < C; o++) dScores[o] = scale * (dScores[o] / sum - (o === label ? 1 : 0));
    return Math.log(sum) + top - scores[label];
  }

  // dLogits from dWeights, the gradient for the k weights of the chosen (list, at): through the gate, from its probabilities.
  function throughGate(list, at, given, p, pAt) {
    for (let e = 0; e < E; e++) dLogits[e] = 0;
    if (gate === HASH) return;
    if (gate === SIGMOID) {
      for (let c = 0; c < k; c++) dLogits[list[at + c]] = dWeights[c] * given[at + c] * (1 - given[at + c]);
      return;
    }
    let sum = 0;
    for (let c = 0; c < k; c++) sum += dWeights[c] * given[at + c];
    if (gate === SOFTMAX_FIRST) for (let e = 0; e < E; e++) dLogits[e] = -p[pAt + e] * sum;
    for (let c = 0; c < k; c++)
      dLogits[list[at + c]] += given[at + c] * (gate === SOFTMAX_FIRST ? dWeights[c] : dWeights[c] - sum);
  }

  // Training.

  // One step on these points (their numbers) with these standard normal draws (batch, E), which count only with noise.
  function stepOn(rows, draws) {
    const { balance, coefficient } = settings,
      hashed = gate === HASH,
      noisy = settings.noise > 0 && !hashed;
    const logits = noisy ? zNoisy : z,
      p = noisy ? noisyProbs : probs,
      T = rows.length,
      force = forcing();
    counts.fill(0);
    importance.fill(0);
    meanProbs.fill(0);

    const begin = (t) => {
      const i = 2 * rows[t];
      readLogits(X[i], X[i + 1]);
      if (noisy) for (let e = 0; e < E; e++) zNoisy[e] = z[e] + settings.noise * draws[t * E + e];
      if (!(noisy && gate === TOPK_FIRST)) probabilities(logits, p);
      readRanking(logits, p);
    };
    let batchOffset = 0;
    if (force) {
      for (let t = 0; t < T; t++) {
        begin(t);
        margins[t] = margin();
      }
      batchOffset = findOffset(T);
    }
    for (let t = 0; t < T; t++) {
      const at = t * E;
      if (hashed) hash(X[2 * rows[t]], X[2 * rows[t] + 1]);
      else {
        begin(t);
        if (force) rank[forced.expert] += batchOffset;
        choose();
        weigh(logits, p);
      }
      for (let c = 0; c < k; c++) {
        batchChosen[at + c] = chosen[c];
        batchWeights[at + c] = weights[c];
        counts[chosen[c]]++;
        importance[chosen[c]] += weights[c];
      }
      if (gate === SOFTMAX_FIRST) for (let e = 0; e < E; e++) batchNoisy[at + e] = p[e];
      if (balance === "switch") {
        if (noisy) probabilities(z, probs);
        let sum = 1;
        if (gate === SIGMOID) {
          sum = 0;
          for (let e = 0; e < E; e++) sum += probs[e];
        }
        for (let e = 0; e < E; e++) {
          batchProbs[at + e] = probs[e];
          meanProbs[e] += probs[e] / (sum * T);
        }
      }
    }

    // The balance term, and `pull`: its gradient for the mean probability (switch) or the importance of each expert.
    let term = 0;
    pull.fill(0);
    if (balance === "switch") {
      for (let e = 0; e < E; e++) {
        const part = (alive * counts[e]) / (T * k);
        term += part * meanProbs[e];
        pull[e] = (coefficient * part) / T;
      }
    } else if (balance === "importance") {
      let mean = 0,
        square = 0;
      for (let e = 0; e < E; e++) mean += importance[e] / alive;
      mean = Math.max(mean, 2.2250738585072014e-308); // no weight at all: as the layer, 0 and not NaN
      for (let e = 0; e < E; e++)
        if (!out[e]) {
          term += (importance[e] / mean - 1) ** 2 / alive;
          square += (importance[e] / mean) ** 2 / alive;
        }
      for (let e = 0; e < E; e++) pull[e] = ((2 * coefficient) / (alive * mean)) * (importance[e] / mean - square);
    }
    term *= coefficient;

    let task = 0;
    gradient.fill(0);
    for (let t = 0; t < T; t++) {
      const at = t * E,
        i = rows[t],
        x0 = X[2 * i],
        x1 = X[2 * i + 1];
      answer(x0, x1, batchChosen, batchWeights, at);
      task += crossEntropy(Y[i], 1 / T) / T;
      for (let c = 0; c < k; c++) {
        const e = batchChosen[at + c],
          w = batchWeights[at + c];
        let towards = balance === "importance" ? pull[e] : 0;
        for (let o = 0; o < C; o++) {
          towards += dScores[o] * answers[c * C + o];
          dNeuron[o] = w * dScores[o];
          grads.b_out[e * C + o] += dNeuron[o];
        }
        dWeights[c] = towards;
        for (let h = 0; h < H; h++) {
          const value = neurons[c * H + h];
          if (value <= 0) continue;
          const j = e * H + h;
          let back = 0;
          for (let o = 0; o < C; o++) {
            grads.w_out[j * C + o] += value * dNeuron[o];
            back += w_out[j * C + o] * dNeuron[o];
          }
          grads.w_in[2 * j] += back * x0;
          grads.w_in[2 * j + 1] += back * x1;
          grads.b_in[j] += back;
        }
      }
      if (hashed) continue;
      throughGate(batchChosen, at, batchWeights, batchNoisy, at);
      if (balance === "switch") {
        let sum = 0,
          mean = 0;
        for (let e = 0; e < E; e++) {
          sum += batchProbs[at + e];
          mean += pull[e] * batchProbs[at + e];
        }
        mean /= sum;
        for (let e = 0; e < E; e++)
          dLogits[e] += ((pull[e] - mean) / sum) * batchProbs[at + e] * (gate === SIGMOID ? 1 - batchProbs[at + e] : 1);
      }
      for (let e = 0; e < E; e++) {
        grads.weight[2 * e] += dLogits[e] * x0;
        grads.weight[2 * e + 1] += dLogits[e] * x1;
      }
    }
    checkFinite(task + term, model.step);

    learn(++model.step, settings.rate);
    if (balance === "bias")
      for (let e = 0; e < E; e++) if (!out[e]) bias[e] += coefficient * Math.sign(T * k - alive * counts[e]);
    let square = 0;
    for (let j = 0; j < 2 * E; j++) square += grads.weight[j] * grads.weight[j];
    record.row[0] = task;
    record.row[1] = term;
    record.row[2] = Math.sqrt(square);
    for (let e = 0; e < E; e++) record.row[3 + e] = counts[e] / (T * k);
    record.keep(model.step);
  }

  // Looking.

  function forget() {
    // choices with other settings
    record.forget();
    forcedStep = -1;
  }

  margins = new Float64Array(Math.max(N, LIMITS.batch[1]));
  const model = {
    get settings() {
      return settings;
    },
    data,
    params,
    direction,
    bias,
    step: 0,
    get history() {
      return record.history;
    },

    train(steps = 1) {
      for (let s = 0; s < steps; s++) {
        fillUniform(batches, uniform);
        for (let t = 0; t < B; t++) rows[t] = Math.floor(uniform[t] * N);
        if (settings.noise > 0) fillNormal(draws, noise, B * E);
        stepOn(rows, noise);
      }
    },
    stepOn,

    // What may change while it trains; the rest needs another model.
    set(partial) {
      checkLive(partial, LIVE);
      settings = checkSettings({ ...settings, ...partial });
      adopt();
      if (!biased) bias.fill(0);
      if (forced && forced.share > 1 / settings.k) forced = { ...forced, share: 1 / settings.k };
      if (Object.keys(partial).some((name) => name !== "rate")) forget();
    },

    // Out: as if it were not there. Its logit is minus infinity, and averages over experts are over those who are left.
    knock(expert, gone = true) {
      checkPlace("expert", expert, E);
      if (gone && alive === 1 && !out[expert]) throw new Error(`expert ${expert} is the last one; one has to stay`);
      if (gone && forced?.expert === expert) forced = null;
      out[expert] = +gone;
      alive = E - out.reduce((a, b) => a + b);
      k = Math.min(settings.k, alive);
      forget();
    },
    get knocked() {
      return Array.from(out, Boolean);
    },

    // Its share of all choices, at most 1 / k, by an offset to its ranking and to nothing else. One expert at a time.
    force(expert, share) {
      checkPlace("expert", expert, E);
      if (share === null) {
        if (forced?.expert === expert) forced = null;
      } else {
        if (!(share >= 0 && share <= 1 / settings.k))
          throw new Error(`share is ${share}; allowed are numbers from 0 to 1 / k = ${1 / settings.k}, or null`);
        if (out[expert]) throw new Error(`expert ${expert} is knocked out; only one that works can be forced`);
        if (gate === HASH) throw new Error("the hash has no ranking to move; allowed are the other gates");
        forced = { expert, share };
      }
      forget();
    },
    get forced() {
      return forced && { ...forced };
    },

    recent() {
      if (record.filled) return { steps: record.filled, ...record.mean() };
      const { shares, loss } = model.evaluate(); // nothing was trained with these settings yet: what would be chosen?
      return { steps: 0, task: loss, balance: 0, shares, routerGradient: 0 };
    },

    // Without noise: shares, loss and specialisation on the training points, accuracy on the test points.
    evaluate() {
      readOffset();
      const shares = new Float64Array(E),
        predicted = new Uint8Array(N),
        first = new Uint8Array(N);
      let loss = 0,
        right = 0;
      for (let i = 0; i < N; i++) {
        route(X[2 * i], X[2 * i + 1]);
        for (let c = 0; c < k; c++) shares[chosen[c]] += 1 / (N * k);
        first[i] = chosen[0];
        answer(X[2 * i], X[2 * i + 1], chosen, weights, 0);
        predicted[i] = largest(scores, 0, C);
        loss += crossEntropy(Y[i], 0) / N;
      }
      for (let i = 0; i < yTest.length; i++) {
        route(xTest[2 * i], xTest[2 * i + 1]);
        answer(xTest[2 * i], xTest[2 * i + 1], chosen, weights, 0);
        right += largest(scores, 0, C) === yTest[i];
      }
      return { ...usage(shares, first, data.regime), predicted, loss, accuracy: right / yTest.length };
    },

    // Over the plane, row by row from the top: the first expert chosen, its probability, the predicted class.
    plane(resolution) {
      readOffset();
      const n = resolution * resolution,
        owner = new Uint8Array(n),
        confidence = new Float32Array(n),
        predicted = new Uint8Array(n);
      each(data.extent, resolution, (x0, x1, at) => {
        route(x0, x1);
        owner[at] = chosen[0];
        confidence[at] = probs[chosen[0]];
        answer(x0, x1, chosen, weights, 0);
        predicted[at] = largest(scores, 0, C);
      });
      return { owner, confidence, predicted };
    },

    expertPlane(expert, resolution) {
      checkPlace("expert", expert, E);
      const says = new Uint8Array(resolution * resolution);
      each(data.extent, resolution, (x0, x1, at) => {
        ask(expert, x0, x1, 0);
        says[at] = largest(answers, 0, C);
      });
      return says;
    },

    // One training point, without noise: who answers it, and what its own cross-entropy tells the router.
    inspect(i) {
      checkPlace("point", i, N);
      readOffset();
      const x0 = X[2 * i],
        x1 = X[2 * i + 1],
        says = [];
      for (let e = 0; e < E; e++) {
        ask(e, x0, x1, 0);
        says.push(largest(answers, 0, C));
      }
      z.fill(0);
      route(x0, x1);
      answer(x0, x1, chosen, weights, 0);
      const predicted = largest(scores, 0, C);
      crossEntropy(Y[i], 1);
      for (let c = 0; c < k; c++) {
        dWeights[c] = 0;
        for (let o = 0; o < C; o++) dWeights[c] += dScores[o] * answers[c * C + o];
      }
      throughGate(chosen, 0, weights, probs, 0);
      return {
        logits: z.slice(),
        probs: probs.slice(),
        chosen: Array.from(chosen.subarray(0, k)),
        weights: Array.from(weights.subarray(0, k)),
        says,
        predicted,
        label: Y[i],
        gradient: dLogits.slice(),
      };
    },
  };
  const { shares, loss } = model.evaluate();
  record.history.push({ step: 0, task: loss, balance: 0, routerGradient: 0, shares });
  return model;
}
