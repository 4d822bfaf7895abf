// @ts-check
// The ways to balance the experts, by the choices of the setting `balance`. A balance loss has a value, and a gradient
// with respect to each expert's mean probability or importance in the batch, which the model passes on to the router. A
// balance without gradient acts after the step. To add one: see CONTRIBUTING.md.

/**
 * @typedef {Object} Batch the sums of a batch's routing, for E experts of which `alive` are not knocked out
 * @property {number} E
 * @property {number} alive
 * @property {Uint8Array} out 1 if an expert is knocked out, so that it does not count
 * @property {number} choices all choices: points times k
 * @property {Float64Array} counts (E) number of choices of each expert
 * @property {Float64Array} importance (E) sum of each expert's weights
 * @property {Float64Array} meanProbs (E) mean of each expert's probability without noise, normalised to sum to 1
 */
/**
 * @typedef {Object} Balance
 * @property {"meanProbs" | "importance"} [of] the quantity of the gradient
 * @property {(batch: Batch) => number} [value]
 * @property {(batch: Batch, into: Float64Array) => void} [gradient] (E), of `value`
 * @property {(batch: Batch, bias: Float64Array, rate: number) => void} [afterStep]
 */

const TINY = 2.2250738585072014e-308; // without any weight the loss is 0 and not NaN, as in the layer

/** @param {Batch} batch */
const meanImportance = ({ importance, alive, E }) => {
  let mean = 0;
  for (let e = 0; e < E; e++) mean += importance[e] / alive;
  return Math.max(mean, TINY);
};

/** @type {Record<string, Balance>} */
export const BALANCES = {
  none: {},
  // switch_loss: E times the sum over experts of the share of the choices times the mean probability.
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
  // importance_loss: the squared coefficient of variation of the importance.
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
  // BiasBalancer: experts with too few choices move up in the ranking. The coefficient is its rate.
  bias: {
    afterStep({ E, alive, choices, counts, out }, bias, rate) {
      for (let e = 0; e < E; e++) if (!out[e]) bias[e] += rate * Math.sign(choices - alive * counts[e]);
    },
  },
};
