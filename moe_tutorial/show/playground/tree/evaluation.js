// @ts-check
// Evaluate a tree: soft, with all leaves mixed as in training, and hard, with one leaf per point as in use.
import { checkPlace, crossEntropy, each, largest, usage } from "../common.js";
import { linesOf } from "./lines.js";

/**
 * @param {Object} tree
 * @param {import("../experiment/data.js").Data} tree.data
 * @param {import("./descent.js").Descent} tree.descent
 * @param {import("../pictures/experts.js").Experts} tree.leaves
 * @param {(x0: number, x1: number) => void} tree.answerSoftly
 */
export function makeTreeEvaluation({ data, descent, leaves, answerSoftly }) {
  const { x: X, y: Y, xTest, yTest, classes: C } = data;
  const { L, NODES, z, right, arriving, worth, descend, follow } = descent;
  const { scores } = leaves;
  const N = Y.length;
  const dScores = new Float64Array(C);

  /** The class of one leaf's output, which must have been computed. @param {number} leaf */
  const saidBy = (leaf) => largest(leaves.answers, leaf * C, C);

  /** Forward pass for a point; `scores` has the soft output. @param {number} x0 @param {number} x1 */
  function predict(x0, x1) {
    descend(x0, x1);
    answerSoftly(x0, x1);
    const leaf = follow();
    return { leaf, soft: largest(scores, 0, C), hard: saidBy(leaf) };
  }

  /** The measures of the tree: usage by hard decisions and losses on the training points, and accuracy on the test
   * points. `undecided` is the mean entropy of the decisions, at most log 2; `nodes` has each node's share of the
   * points by hard decisions, `weights` the mean soft weight of each node and leaf, and `lines` the nodes' lines. */
  function evaluate() {
    const shares = new Float64Array(L);
    const asked = new Uint8Array(N);
    const weights = new Float64Array(NODES + L);
    const soft = { loss: 0, accuracy: 0, predicted: new Uint8Array(N) };
    const hard = { loss: 0, accuracy: 0, predicted: new Uint8Array(N) };
    let undecided = 0;
    for (let i = 0; i < N; i++) {
      const seen = predict(X[2 * i], X[2 * i + 1]);
      asked[i] = seen.leaf;
      shares[seen.leaf] += 1 / N;
      for (let n = 0; n < NODES; n++) undecided += descent.undecided(n) / (N * NODES);
      for (let n = 0; n < NODES + L; n++) weights[n] += arriving[n] / N;
      soft.predicted[i] = seen.soft;
      soft.loss += crossEntropy(scores, Y[i], 0, dScores) / N;
      hard.predicted[i] = seen.hard;
      scores.set(leaves.answers.subarray(seen.leaf * C, (seen.leaf + 1) * C));
      hard.loss += crossEntropy(scores, Y[i], 0, dScores) / N;
    }
    for (let i = 0; i < yTest.length; i++) {
      const seen = predict(xTest[2 * i], xTest[2 * i + 1]);
      soft.accuracy += +(seen.soft === yTest[i]) / yTest.length;
      hard.accuracy += +(seen.hard === yTest[i]) / yTest.length;
    }
    const nodes = new Float64Array(NODES + L);
    nodes.set(shares, NODES);
    for (let n = NODES - 1; n >= 0; n--) nodes[n] = nodes[2 * n + 1] + nodes[2 * n + 2];
    return {
      ...usage(shares, asked, data.regime),
      nodes: nodes.slice(0, NODES),
      weights,
      predicted: hard.predicted,
      loss: soft.loss,
      soft,
      hard,
      undecided,
      lines: linesOf(descent, data.extent),
    };
  }

  /** Over the plane, row by row from the top: the leaf by hard decisions, its weight in the soft mixture, and the
   * classes predicted by the hard and by the soft tree. Without `whole`, the last is left out, because it needs all
   * leaves.
   * @param {number} resolution @param {boolean} [whole] */
  function plane(resolution, whole = true) {
    const n = resolution * resolution;
    const owner = new Uint8Array(n);
    const confidence = new Float32Array(n);
    const predicted = new Uint8Array(n);
    if (!whole) {
      each(data.extent, resolution, (x0, x1, at) => {
        descend(x0, x1);
        const leaf = (owner[at] = follow());
        confidence[at] = arriving[NODES + leaf];
        predicted[at] = leaves.says(leaf, x0, x1);
      });
      return { owner, confidence, predicted };
    }
    const soft = new Uint8Array(n);
    each(data.extent, resolution, (x0, x1, at) => {
      const seen = predict(x0, x1);
      owner[at] = seen.leaf;
      confidence[at] = arriving[NODES + seen.leaf];
      soft[at] = seen.soft;
      predicted[at] = seen.hard;
    });
    return { owner, confidence, predicted, soft };
  }

  /** One training point: its decisions, path, leaf weights and leaf predictions, and the gradient of its own soft
   * cross-entropy with respect to the nodes' logits. @param {number} i */
  function inspect(i) {
    checkPlace("point", i, N);
    const path = [];
    const { leaf, soft } = predict(X[2 * i], X[2 * i + 1]);
    for (let n = 0; n < NODES; n = 2 * n + (z[n] >= 0 ? 2 : 1)) path.push(n);
    crossEntropy(scores, Y[i], 1, dScores);
    leaves.weigh(dScores, L, worth, NODES);
    descent.weighNodes();
    const says = Array.from({ length: L }, (_, l) => saidBy(l));
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
      gradient: Float64Array.from({ length: NODES }, (_, n) => descent.slope(n)),
    };
  }

  return { evaluate, plane, inspect, partPlane: leaves.partPlane };
}
