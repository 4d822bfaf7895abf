// @ts-check
// Node balance: how far each node's mean decision, over what arrives there, is from a half: (2 mean - 1)^2, on average over
// the nodes. It is node_balance_loss of moe_tutorial/layers/tree.py.

/** Its value; `pull` becomes its gradient for what arrives at each node and leaf, for each of T points.
 * @param {Float64Array} load what arrives at each node and leaf, on average over the points
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
