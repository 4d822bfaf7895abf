// A fast feedforward tree that trains itself: a binary tree of soft decisions, with a small network in each leaf. What it
// computes is what FastFeedForward of moe_tutorial/layers/tree.py computes. Node n has the children 2n + 1 (left) and
// 2n + 2 (right, where its logit is 0 or more); leaves are counted from the left.

import { DATASETS, fillUniform, makeData, randomState } from "./data.js";
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

export const TREE_DEFAULTS = {
  data: "regimes",
  centred: true,
  seed: 0,
  batch: 128,
  rate: 0.01,
  depth: 3,
  leaf_width: 4,
  hardening: 0,
  node_balance: 0, // how much the decisions' entropy, and the nodes' unevenness, count beside the task
};
export const TREE_LIMITS = {
  seed: [0, 999999],
  batch: [1, 512],
  rate: [1e-5, 1],
  depth: [1, 4],
  leaf_width: [1, 32],
  hardening: [0, 100],
  node_balance: [0, 100],
};
export const TREE_LIVE = ["hardening", "node_balance", "rate", "batch"]; // what may change while it trains

export function checkTreeSettings(settings) {
  return checked(settings, TREE_DEFAULTS, TREE_LIMITS, ["seed", "batch", "depth", "leaf_width"], {
    data: Object.keys(DATASETS),
    centred: [true, false],
  });
}

// `own`: points brought along, in the shape of makeData's.
export function createTree(given = {}, own) {
  let settings = checkTreeSettings(given);
  const { depth, leaf_width: H, seed } = settings,
    L = 2 ** depth,
    NODES = L - 1,
    MAX_BATCH = TREE_LIMITS.batch[1];
  const data = own ?? makeData(settings.data, seed, settings.centred),
    C = data.classes,
    { x: X, y: Y, xTest, yTest } = data,
    N = Y.length;

  const sizes = {
    node_weight: NODES * 2,
    node_bias: NODES,
    w_in: L * H * 2,
    b_in: L * H,
    w_out: L * H * C,
    b_out: L * C,
  };
  const { params, grads, gradient, learn } = makeParameters(
    sizes,
    (name) => (name.endsWith("out") ? H : 2),
    randomState(seed, 5),
  );
  const { node_weight, node_bias, w_in, b_in, w_out, b_out } = params,
    record = makeRecord(["task", "hardening", "balance"], L);
  const batches = randomState(seed, 6);

  // Of one point: the nodes' logits and how likely they say right; what arrives at each node and, after them, at each leaf;
  // and, on the way back, what the loss gains by more of it.
  const z = new Float64Array(NODES),
    right = new Float64Array(NODES),
    arriving = new Float64Array(NODES + L),
    worth = new Float64Array(NODES + L);
  const neurons = new Float64Array(L * H),
    answers = new Float64Array(L * C),
    scores = new Float64Array(C),
    dScores = new Float64Array(C),
    dAnswer = new Float64Array(C);
  // Of a batch: where its points arrive, on average, and each leaf's hard usage.
  const rows = new Int32Array(MAX_BATCH),
    uniform = new Float64Array(MAX_BATCH),
    load = new Float64Array(NODES + L),
    pull = new Float64Array(NODES + L),
    counts = new Float64Array(L);

  function descend(x0, x1) {
    arriving[0] = 1;
    for (let n = 0; n < NODES; n++) {
      z[n] = node_weight[2 * n] * x0 + node_weight[2 * n + 1] * x1 + node_bias[n];
      right[n] = 1 / (1 + Math.exp(-z[n]));
      arriving[2 * n + 1] = arriving[n] * (1 - right[n]);
      arriving[2 * n + 2] = arriving[n] * right[n];
    }
  }

  // The leaf that hard decisions lead to; z must be read.
  function follow() {
    let n = 0;
    while (n < NODES) n = 2 * n + (z[n] >= 0 ? 2 : 1);
    return n - NODES;
  }

  // One leaf's answer, at its place in `neurons` and `answers`.
  function ask(l, x0, x1) {
    for (let o = 0; o < C; o++) answers[l * C + o] = b_out[l * C + o];
    for (let j = l * H; j < (l + 1) * H; j++) {
      const value = w_in[2 * j] * x0 + w_in[2 * j + 1] * x1 + b_in[j];
      neurons[j] = value > 0 ? value : 0;
      if (value > 0) for (let o = 0; o < C; o++) answers[l * C + o] += value * w_out[j * C + o];
    }
  }

  // All leaves, each as loudly as the tree is sure of it, in `scores`; or the one leaf that the hard descent reaches.
  function answerSoftly(x0, x1) {
    for (let o = 0; o < C; o++) scores[o] = 0;
    for (let l = 0; l < L; l++) {
      ask(l, x0, x1);
      for (let o = 0; o < C; o++) scores[o] += arriving[NODES + l] * answers[l * C + o];
    }
  }
  function answerHard(leaf, x0, x1) {
    ask(leaf, x0, x1);
    for (let o = 0; o < C; o++) scores[o] = answers[leaf * C + o];
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

  // From the leaves' worth to that of every node, and to the gradient of its logit.
  const slope = (n) => arriving[n] * (worth[2 * n + 2] - worth[2 * n + 1]) * right[n] * (1 - right[n]);
  function weighNodes() {
    for (let n = NODES - 1; n >= 0; n--) worth[n] = (1 - right[n]) * worth[2 * n + 1] + right[n] * worth[2 * n + 2];
  }
  // The entropy of a decision: -p log p - (1 - p) log(1 - p), also where p is 0 or 1.
  const undecided = (n) => Math.max(z[n], 0) + Math.log1p(Math.exp(-Math.abs(z[n]))) - z[n] * right[n];

  // One step on these points (their numbers).
  function stepOn(rows) {
    const { hardening, node_balance: balance } = settings,
      T = rows.length;
    let task = 0,
      entropy = 0,
      uneven = 0;
    load.fill(0);
    counts.fill(0);
    pull.fill(0);
    gradient.fill(0);
    if (balance > 0) {
      for (let t = 0; t < T; t++) {
        descend(X[2 * rows[t]], X[2 * rows[t] + 1]);
        for (let n = 0; n < load.length; n++) load[n] += arriving[n] / T;
      }
      // How far each node's mean decision, over what arrives there, is from a half: (2 mean - 1)^2, on average over nodes.
      for (let n = 0; n < NODES; n++) {
        const l = load[2 * n + 1],
          r = load[2 * n + 2],
          sum = Math.max(l + r, 1e-6),
          lean = (r - l) / sum;
        uneven += (lean * lean) / NODES;
        const through = l + r > 1e-6 ? lean : 0,
          scale = (2 * balance * lean) / (NODES * T * sum);
        pull[2 * n + 1] = pull[n] + scale * (-1 - through);
        pull[2 * n + 2] = pull[n] + scale * (1 - through);
      }
    }
    for (let t = 0; t < T; t++) {
      const i = rows[t],
        x0 = X[2 * i],
        x1 = X[2 * i + 1];
      descend(x0, x1);
      counts[follow()]++;
      answerSoftly(x0, x1);
      task += crossEntropy(Y[i], 1 / T) / T;
      for (let l = 0; l < L; l++) {
        const weight = arriving[NODES + l];
        worth[NODES + l] = pull[NODES + l];
        for (let o = 0; o < C; o++) {
          worth[NODES + l] += dScores[o] * answers[l * C + o];
          grads.b_out[l * C + o] += dAnswer[o] = weight * dScores[o];
        }
        for (let j = l * H; j < (l + 1) * H; j++) {
          const value = neurons[j];
          if (value <= 0) continue;
          let back = 0;
          for (let o = 0; o < C; o++) {
            grads.w_out[j * C + o] += value * dAnswer[o];
            back += w_out[j * C + o] * dAnswer[o];
          }
          grads.w_in[2 * j] += back * x0;
          grads.w_in[2 * j + 1] += back * x1;
          grads.b_in[j] += back;
        }
      }
      weighNodes();
      for (let n = 0; n < NODES; n++) {
        let back = slope(n);
        entropy += undecided(n) / (T * NODES);
        back -= (hardening * z[n] * right[n] * (1 - right[n])) / (T * NODES);
        grads.node_weight[2 * n] += back * x0;
        grads.node_weight[2 * n + 1] += back * x1;
        grads.node_bias[n] += back;
      }
    }
    checkFinite(task + hardening * entropy + balance * uneven, tree.step);
    learn(++tree.step, settings.rate);
    record.row[0] = task;
    record.row[1] = hardening * entropy;
    record.row[2] = balance * uneven;
    for (let l = 0; l < L; l++) record.row[3 + l] = counts[l] / T;
    record.keep(tree.step);
  }

  // The part of the square `extent` that hard decisions lead through node n, as corners; and the node's line in it.
  function cut(corners, n, side) {
    const value = ([x0, x1]) => side * (node_weight[2 * n] * x0 + node_weight[2 * n + 1] * x1 + node_bias[n]),
      kept = [];
    corners.forEach((a, i) => {
      const b = corners[(i + 1) % corners.length],
        va = value(a),
        vb = value(b);
      if (va >= 0) kept.push(a);
      if (va >= 0 !== vb >= 0) kept.push([0, 1].map((axis) => a[axis] + ((b[axis] - a[axis]) * va) / (va - vb)));
    });
    return kept;
  }

  const tree = {
    get settings() {
      return settings;
    },
    data,
    params,
    step: 0,
    get history() {
      return record.history;
    },

    train(steps = 1) {
      const T = settings.batch,
        batch = rows.subarray(0, T);
      for (let s = 0; s < steps; s++) {
        fillUniform(batches, uniform, T);
        for (let t = 0; t < T; t++) batch[t] = Math.floor(uniform[t] * N);
        stepOn(batch);
      }
    },
    stepOn,

    set(partial) {
      checkLive(partial, TREE_LIVE);
      settings = checkTreeSettings({ ...settings, ...partial });
      if (Object.keys(partial).some((name) => name !== "rate")) record.forget();
    },

    // Over the last 20 steps. Shares: where hard decisions led. The losses are as they were added to the task.
    recent() {
      if (record.filled) return { steps: record.filled, ...record.mean() };
      const { shares, soft } = tree.evaluate();
      return { steps: 0, task: soft.loss, hardening: 0, balance: 0, shares };
    },

    // Leaf usage by hard decisions on the training points; loss on these and accuracy on the test points, softly as in
    // training and hard as in use; `entropy` of the usage, and `undecided`: the mean entropy of the decisions, log 2 at most.
    // Of each node: its part of the points by hard decisions (nodes), and of it and each leaf the mean soft weight (weights).
    evaluate() {
      const shares = new Float64Array(L),
        leaves = new Uint8Array(N),
        predicted = new Uint8Array(N),
        nodes = new Float64Array(NODES + L);
      const weights = new Float64Array(NODES + L),
        soft = { loss: 0, accuracy: 0, predicted: new Uint8Array(N) },
        hard = { loss: 0, accuracy: 0 };
      let open = 0;
      for (let i = 0; i < N; i++) {
        const x0 = X[2 * i],
          x1 = X[2 * i + 1];
        descend(x0, x1);
        leaves[i] = follow();
        shares[leaves[i]] += 1 / N;
        for (let n = 0; n < NODES; n++) open += undecided(n) / (N * NODES);
        for (let n = 0; n < NODES + L; n++) weights[n] += arriving[n] / N;
        answerSoftly(x0, x1);
        soft.predicted[i] = largest(scores, 0, C);
        soft.loss += crossEntropy(Y[i], 0) / N;
        answerHard(leaves[i], x0, x1);
        hard.loss += crossEntropy(Y[i], 0) / N;
        predicted[i] = largest(scores, 0, C);
      }
      for (let i = 0; i < yTest.length; i++) {
        const x0 = xTest[2 * i],
          x1 = xTest[2 * i + 1];
        descend(x0, x1);
        answerSoftly(x0, x1);
        soft.accuracy += (largest(scores, 0, C) === yTest[i]) / yTest.length;
        answerHard(follow(), x0, x1);
        hard.accuracy += (largest(scores, 0, C) === yTest[i]) / yTest.length;
      }
      nodes.set(shares, NODES);
      for (let n = NODES - 1; n >= 0; n--) nodes[n] = nodes[2 * n + 1] + nodes[2 * n + 2];
      return {
        ...usage(shares, leaves, data.regime),
        nodes: nodes.slice(0, NODES),
        weights,
        predicted,
        soft,
        hard,
        undecided: open,
      };
    },

    // Over the plane, row by row from the top: the leaf that hard decisions lead to, how much it counts in the soft mixture,
    // and the classes that the hard and the soft tree predict.
    plane(resolution) {
      const n = resolution * resolution,
        owner = new Uint8Array(n),
        confidence = new Float32Array(n),
        predicted = new Uint8Array(n),
        soft = new Uint8Array(n);
      each(data.extent, resolution, (x0, x1, at) => {
        descend(x0, x1);
        const leaf = (owner[at] = follow());
        confidence[at] = arriving[NODES + leaf];
        answerSoftly(x0, x1);
        soft[at] = largest(scores, 0, C);
        predicted[at] = largest(answers, leaf * C, C);
      });
      return { owner, confidence, predicted, soft };
    },

    leafPlane(leaf, resolution) {
      checkPlace("leaf", leaf, L);
      const says = new Uint8Array(resolution * resolution);
      each(data.extent, resolution, (x0, x1, at) => {
        ask(leaf, x0, x1);
        says[at] = largest(answers, leaf * C, C);
      });
      return says;
    },

    // Each node's line, clipped to the part of the extent where hard decisions ask it: its two ends, or null where it is
    // never asked, or sends everything one way.
    boundaries() {
      const [left, right, bottom, top] = data.extent,
        regions = [
          [
            [left, bottom],
            [right, bottom],
            [right, top],
            [left, top],
          ],
        ],
        lines = [];
      for (let n = 0; n < NODES; n++) {
        const region = regions[n],
          value = ([x0, x1]) => node_weight[2 * n] * x0 + node_weight[2 * n + 1] * x1 + node_bias[n],
          ends = [];
        region.forEach((a, i) => {
          const b = region[(i + 1) % region.length],
            va = value(a),
            vb = value(b);
          if (va >= 0 !== vb >= 0) ends.push([0, 1].map((axis) => a[axis] + ((b[axis] - a[axis]) * va) / (va - vb)));
        });
        lines.push({ node: n, level: Math.floor(Math.log2(n + 1)), ends: ends.length === 2 ? ends : null });
        regions[2 * n + 1] = cut(region, n, -1);
        regions[2 * n + 2] = cut(region, n, 1);
      }
      return lines;
    },

    // One training point: the decisions, the leaves' weights, its way down, what each leaf says, and what its own soft
    // cross-entropy tells the nodes (gradient of their logits).
    inspect(i) {
      checkPlace("point", i, N);
      const x0 = X[2 * i],
        x1 = X[2 * i + 1],
        says = [],
        path = [];
      descend(x0, x1);
      const leaf = follow();
      for (let n = 0; n < NODES; n = 2 * n + (z[n] >= 0 ? 2 : 1)) path.push(n);
      answerSoftly(x0, x1);
      const soft = largest(scores, 0, C);
      crossEntropy(Y[i], 1);
      for (let l = 0; l < L; l++) {
        says.push(largest(answers, l * C, C));
        worth[NODES + l] = 0;
        for (let o = 0; o < C; o++) worth[NODES + l] += dScores[o] * answers[l * C + o];
      }
      weighNodes();
      return {
        logits: z.slice(),
        right: right.slice(),
        weights: arriving.slice(NODES),
        path,
        leaf,
        says,
        predicted: says[leaf],
        soft,
        label: Y[i],
        gradient: Float64Array.from({ length: NODES }, (_, n) => slope(n)),
      };
    },
  };
  const { shares, soft } = tree.evaluate();
  record.history.push({ step: 0, task: soft.loss, hardening: 0, balance: 0, shares });
  return tree;
}
