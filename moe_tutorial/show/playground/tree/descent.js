// @ts-check
// The descent through a binary tree of soft decisions. Node n has the children 2n + 1 (left) and 2n + 2 (right, if its
// logit is 0 or more). Leaves are numbered from the left; in arrays of nodes and leaves, they follow the nodes.

/** @typedef {ReturnType<typeof makeDescent>} Descent */

/** The descent of one point. `descend` sets the nodes' logits `z`, their probabilities `right` to go right, and the
 * probability `arriving` at each node and leaf. In the backward pass, `worth` is the loss's gradient with respect to
 * it.
 * @param {number} depth @param {import("../common.js").Arrays} params node_weight (N, 2), node_bias (N) */
export function makeDescent(depth, params) {
  const L = 2 ** depth;
  const NODES = L - 1;
  const z = new Float64Array(NODES);
  const right = new Float64Array(NODES);
  const arriving = new Float64Array(NODES + L);
  const worth = new Float64Array(NODES + L);
  const { node_weight, node_bias } = params;
  const nodes = { z, right, arriving, worth, node_weight, node_bias }; // see makeExperts

  /** A node's logit for a point. @param {number} n @param {number} x0 @param {number} x1 */
  function logit(n, x0, x1) {
    const { node_weight, node_bias } = nodes;
    return node_weight[2 * n] * x0 + node_weight[2 * n + 1] * x1 + node_bias[n];
  }

  /** @param {number} x0 @param {number} x1 */
  function descend(x0, x1) {
    const { z, right, arriving } = nodes;
    arriving[0] = 1;
    for (let n = 0; n < z.length; n++) {
      z[n] = logit(n, x0, x1);
      const p = 1 / (1 + Math.exp(-z[n]));
      right[n] = p;
      arriving[2 * n + 1] = arriving[n] * (1 - p);
      arriving[2 * n + 2] = arriving[n] * p;
    }
  }

  /** The leaf at the end of hard decisions. */
  function follow() {
    let n = 0;
    while (n < NODES) n = 2 * n + (z[n] >= 0 ? 2 : 1);
    return n - NODES;
  }

  /** Compute the nodes' `worth` from that of the leaves. */
  function weighNodes() {
    const { right, worth } = nodes;
    for (let n = right.length - 1; n >= 0; n--)
      worth[n] = (1 - right[n]) * worth[2 * n + 1] + right[n] * worth[2 * n + 2];
  }

  /** The loss's gradient with respect to a node's logit, after weighNodes(). @param {number} n */
  function slope(n) {
    const { right, arriving, worth } = nodes;
    return arriving[n] * (worth[2 * n + 2] - worth[2 * n + 1]) * right[n] * (1 - right[n]);
  }

  /** The entropy of a decision, -p log p - (1 - p) log(1 - p), computed from the logit so that p may be 0 or 1.
   * @param {number} n */
  const undecided = (n) => Math.max(z[n], 0) + Math.log1p(Math.exp(-Math.abs(z[n]))) - z[n] * right[n];

  return { L, NODES, z, right, arriving, worth, logit, descend, follow, weighNodes, slope, undecided };
}
