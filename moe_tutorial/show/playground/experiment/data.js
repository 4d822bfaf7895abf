// @ts-check
// The data sets of points in the plane, and the random number generator of the playground: the same seed gives the same
// run.

/**
 * @typedef {Object} Data
 * @property {Float64Array} x (N, 2) training points
 * @property {Uint8Array} y (N) their classes
 * @property {Uint8Array} regime (N) the rule that generated each point
 * @property {Float64Array} xTest
 * @property {Uint8Array} yTest
 * @property {Uint8Array} regimeTest
 * @property {number} classes
 * @property {number[]} extent left, right, bottom, top of a square around the training points
 */

const POINTS = 512;
const TEST_POINTS = 1024;
const SHIFT = [2, 1.5]; // mean of the uncentred points, far enough from the origin to make routing hard

/** The state of the random number generator sfc32. State and numbers are arrays, so that a training step allocates
 * nothing.
 * @param {number} seed @param {number} stream */
export function randomState(seed, stream) {
  const state = Uint32Array.of(seed >>> 0, Math.floor(seed / 2 ** 32), stream, 1);
  fillUniform(state, new Float64Array(12)); // neighbouring seeds then give unrelated numbers
  return state;
}

/** @param {Uint32Array} state @param {Float64Array} out @param {number} [n] how many numbers */
export function fillUniform(state, out, n = out.length) {
  let a = state[0] | 0;
  let b = state[1] | 0;
  let c = state[2] | 0;
  let d = state[3] | 0;
  for (let i = 0; i < n; i++) {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    out[i] = (t >>> 0) / 4294967296;
  }
  state[0] = a;
  state[1] = b;
  state[2] = c;
  state[3] = d;
}

/** Fill `out` with standard normal numbers (Box-Muller transform); an odd n needs room for one more.
 * @param {Uint32Array} state @param {Float64Array} out @param {number} [n] */
export function fillNormal(state, out, n = out.length) {
  const even = n + (n & 1);
  fillUniform(state, out, even);
  for (let i = 0; i < even; i += 2) {
    const r = Math.sqrt(-2 * Math.log(1 - out[i]));
    const angle = 2 * Math.PI * out[i + 1];
    out[i] = r * Math.cos(angle);
    out[i + 1] = r * Math.sin(angle);
  }
}

/** @typedef {(x0: number, x1: number, y: number, regime: number) => void} Put receives a point */

const CLUSTERS = [0.4, 0.25, 0.15, 0.1, 0.06, 0.04]; // fractions of the points

/** A point of each data set, from three uniform numbers.
 * @type {Record<string, (u: Float64Array, put: Put) => void>} */
const draw = {
  // As regimes_2d in study/data.py: a line splits each quarter, rotated by 45 degrees from one quarter to the next.
  regimes(u, put) {
    const x = 2 * u[0] - 1;
    const y = 2 * u[1] - 1;
    const right = x > 0;
    const upper = y > 0;
    const regime = 2 * +upper + +(right !== upper);
    const angle = Math.PI * (0.25 * regime + 0.125);
    const across = (x - (right ? 0.5 : -0.5)) * Math.cos(angle) + (y - (upper ? 0.5 : -0.5)) * Math.sin(angle);
    put(x, y, +(across > 0), regime);
  },
  // Four spiral arms of half a turn each, with alternating classes.
  spirals(u, put) {
    const arm = Math.floor(4 * u[0]);
    const r = 0.1 + 0.85 * u[1];
    const angle = (arm / 2) * Math.PI + Math.PI * u[1] + 0.5 * (u[2] - 0.5);
    put(r * Math.cos(angle), r * Math.sin(angle), arm % 2, arm);
  },
  // Four by four squares; the regime is the quarter.
  checkerboard(u, put) {
    const column = Math.floor(4 * u[0]);
    const row = Math.floor(4 * u[1]);
    put(2 * u[0] - 1, 2 * u[1] - 1, (column + row) % 2, 2 * +(row > 1) + +(column > 1 !== row > 1));
  },
  // Six clusters, the largest ten times the smallest; a line through its middle splits each between two of three
  // classes.
  clusters(u, put) {
    let regime = 0;
    for (let left = u[0] - CLUSTERS[0]; left >= 0 && regime < 5; left -= CLUSTERS[regime]) regime++;
    const place = (regime / 3) * Math.PI;
    const turn = 0.7 + 2.4 * regime;
    const r = 0.26 * Math.sqrt(u[1]);
    const angle = 2 * Math.PI * u[2];
    const dx = r * Math.cos(angle);
    const dy = r * Math.sin(angle);
    const side = +(dx * Math.cos(turn) + dy * Math.sin(turn) > 0);
    put(0.72 * Math.cos(place) + dx, 0.72 * Math.sin(place) + dy, (regime + side) % 3, regime);
  },
};

/** Generate the points of a data set. With `centred`, the mean is subtracted.
 * @param {string} name @param {number} seed @param {boolean} centred @returns {Data} */
export function makeData(name, seed, centred) {
  if (!Object.hasOwn(draw, name))
    throw new Error(`data is ${JSON.stringify(name)}; allowed are ${Object.keys(draw).join(", ")}`);
  const state = randomState(seed, 1);
  const train = sample(POINTS, name, state);
  const test = sample(TEST_POINTS, name, state);
  const middle = [0, 0];
  let half = 0;
  for (const axis of [0, 1]) {
    const values = train.x.filter((_, i) => i % 2 === axis);
    const mean = values.reduce((a, b) => a + b, 0) / POINTS;
    const move = (centred ? 0 : SHIFT[axis]) - mean;
    for (const x of [train.x, test.x]) for (let i = axis; i < x.length; i += 2) x[i] += move;
    const low = Math.min(...values);
    const high = Math.max(...values);
    half = Math.max(half, 0.52 * (high - low));
    middle[axis] = (low + high) / 2 + move;
  }
  const extent = middle.flatMap((m) => [m - half, m + half]);
  const classes = name === "clusters" ? 3 : 2;
  return { ...train, xTest: test.x, yTest: test.y, regimeTest: test.regime, classes, extent };
}

/** The data of an experiment: the learner's `own`, or a generated data set.
 * @param {Record<string, any>} settings @param {Data} [own] */
export const dataOf = ({ data, seed, centred }, own) => own ?? makeData(data, seed, centred);

/** @param {number} n @param {string} name @param {Uint32Array} state */
function sample(n, name, state) {
  const u = new Float64Array(3);
  const part = { x: new Float64Array(2 * n), y: new Uint8Array(n), regime: new Uint8Array(n) };
  for (let i = 0; i < n; i++) {
    fillUniform(state, u);
    draw[name](u, (x0, x1, y, regime) => {
      part.x[2 * i] = x0;
      part.x[2 * i + 1] = x1;
      part.y[i] = y;
      part.regime[i] = regime;
    });
  }
  return part;
}
