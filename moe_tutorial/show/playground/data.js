// Points in the plane to learn from, and the random numbers of everything here: the same seed gives the same run.

export const DATASETS = {
  regimes: "Four regimes",
  spirals: "Spirals",
  checkerboard: "Checkerboard",
  clusters: "Uneven clusters",
};
export const POINTS = 512,
  TEST_POINTS = 1024;
export const SHIFT = [2, 1.5]; // where uncentred points lie: so far from the origin that a router tells them apart badly

// A small fast counter generator (sfc32). Its state is an array, and it fills arrays: a training step allocates nothing.
export function randomState(seed, stream) {
  const state = Uint32Array.of(seed >>> 0, Math.floor(seed / 2 ** 32), stream, 1);
  fillUniform(state, new Float64Array(12)); // neighbouring seeds part company
  return state;
}

export function fillUniform(state, out, n = out.length) {
  let a = state[0] | 0,
    b = state[1] | 0,
    c = state[2] | 0,
    d = state[3] | 0;
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

// Standard normal numbers by Box and Muller, in place of uniform ones; n is even, or out has room for one more.
export function fillNormal(state, out, n = out.length) {
  const even = n + (n & 1);
  fillUniform(state, out, even);
  for (let i = 0; i < even; i += 2) {
    const r = Math.sqrt(-2 * Math.log(1 - out[i])),
      angle = 2 * Math.PI * out[i + 1];
    out[i] = r * Math.cos(angle);
    out[i + 1] = r * Math.sin(angle);
  }
}

const CLUSTERS = [0.4, 0.25, 0.15, 0.1, 0.06, 0.04]; // parts of the points
const draw = {
  // As regimes_2d of moe_tutorial/study/data.py: a line splits each quarter, and turns by 45 degrees from one to the next.
  regimes(u, put) {
    const x = 2 * u[0] - 1,
      y = 2 * u[1] - 1,
      right = x > 0,
      upper = y > 0;
    const regime = 2 * upper + (right !== upper),
      angle = Math.PI * (0.25 * regime + 0.125);
    const across = (x - (right ? 0.5 : -0.5)) * Math.cos(angle) + (y - (upper ? 0.5 : -0.5)) * Math.sin(angle);
    put(x, y, +(across > 0), regime);
  },
  // Four arms of half a turn, in two classes that take turns.
  spirals(u, put) {
    const arm = Math.floor(4 * u[0]),
      r = 0.1 + 0.85 * u[1];
    const angle = (arm / 2) * Math.PI + Math.PI * u[1] + 0.5 * (u[2] - 0.5);
    put(r * Math.cos(angle), r * Math.sin(angle), arm % 2, arm);
  },
  // Four by four squares; the regime is the quarter.
  checkerboard(u, put) {
    const column = Math.floor(4 * u[0]),
      row = Math.floor(4 * u[1]);
    put(2 * u[0] - 1, 2 * u[1] - 1, (column + row) % 2, 2 * (row > 1) + (column > 1 !== row > 1));
  },
  // Six clusters, the largest ten times the smallest; a line through its middle splits each between two of three classes.
  clusters(u, put) {
    let regime = 0;
    for (let left = u[0] - CLUSTERS[0]; left >= 0 && regime < 5; left -= CLUSTERS[regime]) regime++;
    const place = (regime / 3) * Math.PI,
      turn = 0.7 + 2.4 * regime,
      r = 0.26 * Math.sqrt(u[1]),
      angle = 2 * Math.PI * u[2];
    const dx = r * Math.cos(angle),
      dy = r * Math.sin(angle);
    const side = dx * Math.cos(turn) + dy * Math.sin(turn) > 0;
    put(0.72 * Math.cos(place) + dx, 0.72 * Math.sin(place) + dy, (regime + side) % 3, regime);
  },
};

// Training and test points, their classes, and the rule (regime) that each comes from. Centred: the mean is subtracted.
// The extent (left, right, bottom, top) is a square around the training points.
export function makeData(name, seed, centred) {
  if (!Object.hasOwn(draw, name))
    throw new Error(`data is ${JSON.stringify(name)}; allowed are ${Object.keys(draw).join(", ")}`);
  const state = randomState(seed, 1),
    u = new Float64Array(3);
  const sample = (n) => {
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
  };
  const train = sample(POINTS),
    test = sample(TEST_POINTS),
    extent = [0, 0, 0, 0];
  let half = 0;
  const middle = [0, 1].map((axis) => {
    const values = train.x.filter((_, i) => i % 2 === axis),
      mean = values.reduce((a, b) => a + b, 0) / POINTS;
    const move = (centred ? 0 : SHIFT[axis]) - mean;
    for (const x of [train.x, test.x]) for (let i = axis; i < x.length; i += 2) x[i] += move;
    const low = Math.min(...values),
      high = Math.max(...values);
    half = Math.max(half, 0.52 * (high - low));
    return (low + high) / 2 + move;
  });
  middle.forEach((m, axis) => ((extent[2 * axis] = m - half), (extent[2 * axis + 1] = m + half)));
  const classes = name === "clusters" ? 3 : 2;
  return { ...train, xTest: test.x, yTest: test.y, regimeTest: test.regime, classes, extent };
}
