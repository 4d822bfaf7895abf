// @ts-check
// The node-balance loss, as `node_balance_loss` in layers/tree.py: the mean over the nodes of (2 m - 1)^2, where m is
// the node's mean decision over the points that arrive there.

/** The loss; `pull` is set to its gradient with respect to the probabilities of arrival, for each of T points.
 * @param {Float64Array} load probability of arrival at each node and leaf, averaged over the points
 * @param {number} T @param {Float64Array} pull */
export function nodeBalance(load, T, pull) {
  const nodes = (load.length - 1) / 2;
  let uneven = 0;
  pull[0] = 0;
  for (let n = 0; n < nodes; n++) {
    const l = load[2 * n + 1];
    const r = load[2 * n + 2];
    const sum = Math.max(l + r, 1e-6);
    const lean = (r - l) / sum;
    const through = l + r > 1e-6 ? lean : 0;
    const scale = (2 * lean) / (nodes * T * sum);
    uneven += (lean * lean) / nodes;
    pull[2 * n + 1] = pull[n] + scale * (-1 - through);
    pull[2 * n + 2] = pull[n] + scale * (1 - through);
  }
  return uneven;
}
