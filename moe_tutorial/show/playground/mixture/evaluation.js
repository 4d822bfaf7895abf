// @ts-check
// Evaluate a mixture, always without noise: its measures, the plane, and the routing of one point.
import { checkPlace, crossEntropy, each, largest, usage } from "../common.js";

/**
 * @param {Object} mixture
 * @param {import("../experiment/data.js").Data} mixture.data
 * @param {number} mixture.E
 * @param {import("./routing.js").Router} mixture.router
 * @param {import("../pictures/experts.js").Experts} mixture.experts
 */
export function makeMixtureEvaluation({ data, E, router, experts }) {
  const { x: X, y: Y, xTest, yTest, classes: C } = data;
  const { scores } = experts;
  const N = Y.length;
  const dScores = new Float64Array(C);
  const dWeights = new Float64Array(E);

  /** Forward pass for a point: `router` has the routing, `experts.scores` the output. Returns the predicted class.
   * @param {number} x0 @param {number} x1 */
  function predict(x0, x1) {
    router.route(x0, x1);
    experts.mix(x0, x1, router.chosen, router.weights, 0, router.mode.k);
    return largest(scores, 0, C);
  }

  /** Shares, loss and specialisation on the training points, and accuracy on the test points. */
  function evaluate() {
    const { chosen } = router;
    const k = router.mode.k;
    const shares = new Float64Array(E);
    const predicted = new Uint8Array(N);
    const first = new Uint8Array(N);
    let loss = 0;
    let right = 0;
    for (let i = 0; i < N; i++) {
      predicted[i] = predict(X[2 * i], X[2 * i + 1]);
      first[i] = chosen[0];
      for (let c = 0; c < k; c++) shares[chosen[c]] += 1 / (N * k);
      loss += crossEntropy(scores, Y[i], 0, dScores) / N;
    }
    for (let i = 0; i < yTest.length; i++) right += +(predict(xTest[2 * i], xTest[2 * i + 1]) === yTest[i]);
    return { ...usage(shares, first, data.regime), predicted, loss, accuracy: right / yTest.length };
  }

  /** First choice, its probability, and predicted class over the plane, row by row from the top.
   * @param {number} resolution */
  function plane(resolution) {
    const n = resolution * resolution;
    const owner = new Uint8Array(n);
    const confidence = new Float32Array(n);
    const predicted = new Uint8Array(n);
    each(data.extent, resolution, (x0, x1, at) => {
      predicted[at] = predict(x0, x1);
      owner[at] = router.chosen[0];
      confidence[at] = router.probs[owner[at]];
    });
    return { owner, confidence, predicted };
  }

  /** One training point: its routing, and the gradient of its own cross-entropy with respect to the logits.
   * @param {number} i */
  function inspect(i) {
    checkPlace("point", i, N);
    const x0 = X[2 * i];
    const x1 = X[2 * i + 1];
    const says = Array.from({ length: E }, (_, e) => experts.says(e, x0, x1));
    const predicted = predict(x0, x1);
    const { logits, probs, chosen, weights, dLogits } = router;
    crossEntropy(scores, Y[i], 1, dScores);
    experts.weigh(dScores, router.mode.k, dWeights, 0);
    router.throughGate(dWeights, chosen, weights, probs, 0);
    return {
      logits: logits.slice(),
      probs: probs.slice(),
      chosen: Array.from(chosen.subarray(0, router.mode.k)),
      weights: Array.from(weights.subarray(0, router.mode.k)),
      says,
      predicted,
      label: Y[i],
      gradient: dLogits.slice(),
    };
  }

  return { evaluate, plane, inspect, partPlane: experts.partPlane };
}
