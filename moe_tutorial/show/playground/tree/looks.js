// @ts-check
// What there is to see of a tree: softly, as it was trained, all leaves mixed; and hard, as it is used, one leaf each.
import { checkPlace, crossEntropy, each, largest, usage } from "../common.js";
import { linesOf } from "./lines.js";

/**
 * @param {Object} tree
 * @param {import("../experiment/data.js").Data} tree.data
 * @param {import("./descent.js").Descent} tree.descent
 * @param {import("../pictures/experts.js").Experts} tree.leaves
 * @param {(x0: number, x1: number) => void} tree.answerSoftly
 */
export function makeTreeLooks({ data, descent, leaves, answerSoftly }) {
  const { x: X, y: Y, xTest, yTest, classes: C } = data;
  const { L, NODES, z, right, arriving, worth, descend, follow } = descent;
  const { scores } = leaves;
  const N = Y.length;
  const dScores = new Float64Array(C);

  /** The class that one leaf says; it has been asked. @param {number} leaf */
  const saidBy = (leaf) => largest(leaves.answers, leaf * C, C);

  /** Of one place, with the soft answer in `scores`. @param {number} x0 @param {number} x1 */
  function look(x0, x1) {
    descend(x0, x1);
    answerSoftly(x0, x1);
    const leaf = follow();
    return { leaf, soft: largest(scores, 0, C), hard: saidBy(leaf) };
  }

  /** Leaf usage by hard decisions on the training points; loss on these and accuracy on the test points, softly and hard;
   * `entropy` of the usage, and `undecided`: the mean entropy of the decisions, log 2 at most. Of each node: its part of the
   * points by hard decisions (nodes), and of it and each leaf the mean soft weight (weights); and the nodes' lines. */
  function evaluate() {
    const shares = new Float64Array(L);
    const asked = new Uint8Array(N);
    const weights = new Float64Array(NODES + L);
    const soft = { loss: 0, accuracy: 0, predicted: new Uint8Array(N) };
    const hard = { loss: 0, accuracy: 0, predicted: new Uint8Array(N) };
    let undecided = 0;
    for (let i = 0; i < N; i++) {
      const seen = look(X[2 * i], X[2 * i + 1]);
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
      const seen = look(xTest[2 * i], xTest[2 * i + 1]);
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

  /** Row by row from the top: the leaf that hard decisions lead to, how much it counts in the soft mixture, and the classes
   * that the hard and the soft tree predict. All leaves are asked only for the last: without `whole`, it is left out.
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
      const seen = look(x0, x1);
      owner[at] = seen.leaf;
      confidence[at] = arriving[NODES + seen.leaf];
      soft[at] = seen.soft;
      predicted[at] = seen.hard;
    });
    return { owner, confidence, predicted, soft };
  }

  /** One training point: the decisions, the leaves' weights, its way down, what each leaf says, and what its own soft
   * cross-entropy tells the nodes (gradient of their logits). @param {number} i */
  function inspect(i) {
    checkPlace("point", i, N);
    const path = [];
    const { leaf, soft } = look(X[2 * i], X[2 * i + 1]);
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
