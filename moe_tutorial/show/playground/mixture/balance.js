// @ts-check
// What makes the experts share the work, by the names of the table's `balance`. A loss is its value and its gradient, in
// each expert's mean probability or in its importance, over the batch; the model passes it on to the router. One that needs
// no gradient acts after the step. To add one: a choice in experiment.json, an object here, a loss in kernel.py.

/**
 * @typedef {Object} Batch what a batch's routing came to, for E experts of whom `alive` are not knocked out
 * @property {number} E
 * @property {number} alive
 * @property {Uint8Array} out 1 where an expert is knocked out; it does not count
 * @property {number} choices all choices: points times k
 * @property {Float64Array} counts (E) how often each was chosen
 * @property {Float64Array} importance (E) the sum of each one's weights
 * @property {Float64Array} meanProbs (E) each one's mean probability, of probabilities that sum to 1, without noise
 */
/**
 * @typedef {Object} Balance
 * @property {"meanProbs" | "importance"} [of] what the gradient is in
 * @property {(batch: Batch) => number} [value]
 * @property {(batch: Batch, into: Float64Array) => void} [gradient] (E), of `value`
 * @property {(batch: Batch, bias: Float64Array, rate: number) => void} [afterStep]
 */

const TINY = 2.2250738585072014e-308; // no weight at all: as the layer, 0 and not NaN

/** @param {Batch} batch */
const meanImportance = ({ importance, alive, E }) => {
  let mean = 0;
  for (let e = 0; e < E; e++) mean += importance[e] / alive;
  return Math.max(mean, TINY);
};

/** @type {Record<string, Balance>} */
export const BALANCES = {
  none: {},
  // E times the sum of each expert's part of the choices times its mean probability: switch_loss.
  switch: {
    of: "meanProbs",
    value({ E, alive, choices, counts, meanProbs }) {
      let sum = 0;
      for (let e = 0; e < E; e++) sum += ((alive * counts[e]) / choices) * meanProbs[e];
      return sum;
    },
    gradient({ E, alive, choices, counts }, into) {
      for (let e = 0; e < E; e++) into[e] = (alive * counts[e]) / choices;
    },
  },
  // The squared coefficient of variation of the importance: importance_loss.
  importance: {
    of: "importance",
    value(batch) {
      const mean = meanImportance(batch);
      let sum = 0;
      for (let e = 0; e < batch.E; e++) if (!batch.out[e]) sum += (batch.importance[e] / mean - 1) ** 2 / batch.alive;
      return sum;
    },
    gradient(batch, into) {
      const { E, alive, importance, out } = batch;
      const mean = meanImportance(batch);
      let square = 0;
      for (let e = 0; e < E; e++) if (!out[e]) square += (importance[e] / mean) ** 2 / alive;
      for (let e = 0; e < E; e++) into[e] = (2 / (alive * mean)) * (importance[e] / mean - square);
    },
  },
  // Who got too little moves up in the ranking: BiasBalancer. The coefficient is its rate.
  bias: {
    afterStep({ E, alive, choices, counts, out }, bias, rate) {
      for (let e = 0; e < E; e++) if (!out[e]) bias[e] += rate * Math.sign(choices - alive * counts[e]);
    },
  },
};
