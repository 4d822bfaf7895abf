// What the widgets share: elements, colours, routing in the page, and the picture of a plane cut into regions.
// Plain functions without imports: Python puts this file before a widget's own (see __init__.py).

const DEAD = 0.01; // an expert with a smaller share of the choices is dead
const percent = (v) => (v > 0.995 ? "100 %" : v < 0.0005 ? "0 %" : v < 0.1 ? `${(100 * v).toFixed(1)} %` : `${Math.round(100 * v)} %`);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const stillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// A native control with its label, and its value in words, which tell() sets for the eye and for a screen reader.
let fields = 0;
const page = Math.random().toString(36).slice(2);
function field(name, input) {
  input.id = `moe-${page}-${fields++}`;
  const value = el("span", { className: "moe-value", ariaHidden: "true" });
  return el("div", { className: "moe-field" }, el("label", { htmlFor: input.id }, name), value, input);
}
function tell(input, words) {
  input.previousSibling.textContent = words;
  input.setAttribute("aria-valuetext", words);
}

// Puts the widget's parts in place. JupyterLab would take the arrow keys for itself: the attribute leaves them to us,
// and has to be on the focused element, where Lab looks first.
function mount(root, ...parts) {
  root.classList.add("moe-root");
  root.replaceChildren(el("div", { className: "moe-widget" }, ...parts));
  root.querySelectorAll("input,select,button").forEach((node) => node.setAttribute("data-lm-suppress-shortcuts", "true"));
}

const badge = (e, dead) =>
  `<span class="moe-badge${dead ? " moe-dead" : ""}" style="--c:var(--moe-e${e});--o:var(--moe-on${e})">${e}</span>`;

// A bytes trait as numbers. The copy matters: a message's buffer need not start on a 4-byte boundary.
function numbers(view, Type = Float32Array) {
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const mix = (a, b, amount) => a.map((v, i) => v * amount + b[i] * (1 - amount));

function readTheme(node) {
  const style = getComputedStyle(node);
  const get = (name) => style.getPropertyValue(`--moe-${name}`).trim();
  const names = ["ground", "text", "muted", "line", "border", "accent"];
  const all = (name) => Array.from({ length: 16 }, (_, e) => get(name + e));
  return { ...Object.fromEntries(names.map((n) => [n, get(n)])), experts: all("e"), on: all("on"), low: +get("mixlow"), high: +get("mixhigh"), font: style.fontFamily };
}

// Calls draw() when the theme or the width changes; returns what ends it. A call per animation frame is enough.
function redrawOnChange(node, draw) {
  let waiting = 0;
  const soon = () => (waiting ||= requestAnimationFrame(() => ((waiting = 0), draw())));
  const theme = new MutationObserver(soon);
  theme.observe(document.documentElement, { attributeFilter: ["data-theme", "class", "style"] });
  theme.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  let width = 0;
  const size = new ResizeObserver(() => node.clientWidth !== width && ((width = node.clientWidth), soon()));
  size.observe(node);
  return () => (theme.disconnect(), size.disconnect(), cancelAnimationFrame(waiting));
}

// A canvas in CSS pixels, sharp on any screen.
function fit(canvas) {
  const dpr = Math.min(3, devicePixelRatio || 1);
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(w * dpr);
  canvas.height = Math.round(h * dpr);
  const ctx = canvas.getContext("2d");
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  return [ctx, w, h];
}

// One point's routing: probabilities of all experts, the k chosen ones (best first), and their gate weights.
function route(logits, at, E, { k, temperature = 1, softmaxFirst = true }) {
  const z = Array.from(logits.subarray(at, at + E));
  const chosen = z.map((_, e) => e).sort((a, b) => z[b] - z[a] || a - b).slice(0, k);
  const raw = z.map((v) => Math.exp((v - z[chosen[0]]) / temperature));
  const total = sum(raw);
  const picked = softmaxFirst ? total : sum(chosen.map((e) => raw[e]));
  return { probs: raw.map((v) => v / total), chosen, weights: chosen.map((e) => raw[e] / picked) };
}

// Each expert's part of all choices.
function sharesOf(logits, n, E, k) {
  const shares = Array(E).fill(0);
  for (let i = 0; i < n; i++) for (const e of route(logits, i * E, E, { k }).chosen) shares[e] += 1 / (n * k);
  return shares;
}

// The plane as n * n pixels: logits interpolated between the grid's places, then routed.
// owner: the most-weighted expert; set: the chosen ones as bits; depth: the owner's gate weight.
function cut(logits, G, E, n, { k, temperature = 1, softmaxFirst = true }) {
  const owner = new Uint8Array(n * n), set = new Uint16Array(n * n), depth = new Float32Array(n * n);
  const row = new Float64Array(G * E), z = new Float64Array(E), order = new Uint8Array(k);
  for (let j = 0; j < n; j++) {
    const v = (j / (n - 1)) * (G - 1), j0 = Math.min(G - 2, v | 0), b = v - j0;
    for (let i = 0, at = j0 * G * E; i < G * E; i++, at++) row[i] = logits[at] * (1 - b) + logits[at + G * E] * b;
    for (let i = 0; i < n; i++) {
      const u = (i / (n - 1)) * (G - 1), i0 = Math.min(G - 2, u | 0), a = u - i0, at = i0 * E, p = j * n + i;
      for (let e = 0, filled = 0; e < E; e++) {
        const value = (z[e] = row[at + e] * (1 - a) + row[at + E + e] * a);
        if (filled === k && value <= z[order[k - 1]]) continue;
        let c = filled < k ? filled++ : k - 1; // insert e among the best k so far
        for (; c > 0 && z[order[c - 1]] < value; c--) order[c] = order[c - 1];
        order[c] = e;
      }
      const top = z[order[0]];
      let total = 0, bits = 0;
      for (let c = 0; c < k; c++) bits |= 1 << order[c];
      for (let e = 0; e < E; e++) {
        const x = (z[e] - top) / temperature;
        if (x > -9 && (softmaxFirst || (bits >> e) & 1)) total += Math.exp(x);
      }
      owner[p] = order[0];
      set[p] = bits;
      depth[p] = 1 / total;
    }
  }
  return { owner, set, depth, n };
}

const stripes = [() => false, (x, y) => (x + y) % 7 < 1.3, (x, y) => x % 6 < 1.6 && y % 6 < 1.6, (x, y) => (((x - y) % 7) + 7) % 7 < 1.3];
const scratch = document.createElement("canvas");

// Colour: the owner, deeper with its weight. A gap in the ground colour where another set is chosen.
function paint(ctx, width, plane, E, dead, theme) {
  const { owner, set, depth, n } = plane, steps = 32;
  const ground = rgb(theme.ground), muted = rgb(theme.muted), scale = width / n;
  const pack = (c) => (255 << 24) | (c[2] << 16) | (c[1] << 8) | c[0];
  const lut = new Int32Array(E * (steps + 1)), mark = new Int32Array(E), gapColour = pack(ground);
  for (let e = 0; e < E; e++) {
    const colour = rgb(theme.experts[e]);
    mark[e] = pack(mix(colour, ground, 0.62));
    for (let s = 0; s <= steps; s++)
      lut[e * (steps + 1) + s] = pack(dead[e] ? mix(muted, ground, 0.1) : mix(colour, ground, theme.low + ((theme.high - theme.low) * s) / steps));
  }
  scratch.width = scratch.height = n;
  const context = scratch.getContext("2d"), image = context.createImageData(n, n), out = new Int32Array(image.data.buffer);
  const g = Math.max(1, Math.round(1 / scale)), floor = 1 / E;
  for (let j = 0, p = 0; j < n; j++)
    for (let i = 0; i < n; i++, p++) {
      const e = owner[p], s = set[p];
      const edge = (i >= g && set[p - g] !== s) || (i < n - g && set[p + g] !== s) || (j >= g && set[p - g * n] !== s) || (j < n - g && set[p + g * n] !== s);
      const level = Math.max(0, Math.min(steps, Math.round((steps * (depth[p] - floor)) / (1 - floor || 1))));
      const striped = E > 8 && e > 3 && !dead[e] && stripes[e >> 2](i * scale, j * scale);
      out[p] = edge ? gapColour : striped ? mark[e] : lut[e * (steps + 1) + level];
    }
  context.putImageData(image, 0, 0);
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(scratch, 0, 0, width, width);
}

// The roomiest place of every region, for its number: distance to the region's edge on a coarse copy, in two passes.
function middles(plane, E, m = 60) {
  const own = (i, j) => plane.owner[Math.floor(((j + 0.5) / m) * plane.n) * plane.n + Math.floor(((i + 0.5) / m) * plane.n)];
  const d = Array.from({ length: m * m }, (_, p) => {
    const i = p % m, j = (p / m) | 0, e = own(i, j);
    const inside = i && j && i < m - 1 && j < m - 1 && own(i - 1, j) === e && own(i + 1, j) === e && own(i, j - 1) === e && own(i, j + 1) === e;
    return inside ? 1e9 : 1;
  });
  const relax = (p, ...around) => around.forEach(([q, cost]) => (d[p] = Math.min(d[p], d[q] + cost)));
  for (let p = m + 1; p < m * (m - 1) - 1; p++) if (d[p] > 1) relax(p, [p - 1, 1], [p - m, 1], [p - m - 1, 1.41], [p - m + 1, 1.41]);
  for (let p = m * (m - 1) - 2; p > m; p--) if (d[p] > 1) relax(p, [p + 1, 1], [p + m, 1], [p + m + 1, 1.41], [p + m - 1, 1.41]);
  const best = Array(E).fill(null);
  d.forEach((room, p) => {
    const i = p % m, j = (p / m) | 0, e = own(i, j);
    if (room > 1 && (!best[e] || room > best[e].room + 1e-9)) best[e] = { room, x: (i + 0.5) / m, y: (j + 0.5) / m };
  });
  return best.map((b) => b && { ...b, room: b.room / m });
}

function drawBadge(ctx, e, x, y, radius, dead, theme) {
  ctx.beginPath();
  ctx.arc(x, y, radius + 1.5, 0, 7);
  ctx.fillStyle = theme.ground;
  ctx.fill();
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 7);
  if (dead) {
    ctx.setLineDash([3, 2]);
    ctx.lineWidth = 1;
    ctx.strokeStyle = theme.border;
    ctx.stroke();
    ctx.setLineDash([]);
  } else {
    ctx.fillStyle = theme.experts[e];
    ctx.fill();
  }
  ctx.fillStyle = dead ? theme.muted : theme.on[e];
  ctx.font = `600 ${Math.round(radius * 1.25)}px ${theme.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(e, x, y + 0.5);
  if (dead) ctx.fillRect(x - radius * 0.55, y, radius * 1.1, 1);
}

// A class is a shape in the text colour with a halo. Order as in tokens.json; "line" shapes are strokes, "open" ones hollow.
const turn = (n, r, from = -90) => Array.from({ length: n }, (_, i) => [r, ((from + (360 * i) / n) * Math.PI) / 180]).map(([q, a]) => [q * Math.cos(a), q * Math.sin(a)]);
const SHAPES = [
  { name: "circle", sign: "●", round: 0.86 },
  { name: "triangle", sign: "▲", points: [[0, -1.1], [1, 0.75], [-1, 0.75]] },
  { name: "square", sign: "□", points: turn(4, 1.12, 45), open: true },
  { name: "diamond", sign: "◆", points: turn(4, 1.2) },
  { name: "cross", sign: "✕", lines: [[-0.8, -0.8, 0.8, 0.8], [-0.8, 0.8, 0.8, -0.8]] },
  { name: "plus", sign: "+", lines: [[-1, 0, 1, 0], [0, -1, 0, 1]] },
  { name: "star", sign: "★", points: turn(10, 1).map(([x, y], i) => (i % 2 ? [x * 0.55, y * 0.55] : [x * 1.3, y * 1.3])) },
  { name: "hexagon", sign: "⬢", points: turn(6, 1.05) },
  { name: "bar", sign: "–", lines: [[-1.1, 0, 1.1, 0]] },
  { name: "ring", sign: "○", round: 0.9, open: true },
];

function drawPoint(ctx, shape, x, y, r, theme) {
  const path = new Path2D();
  if (shape.round) path.arc(x, y, r * shape.round, 0, 7);
  shape.points?.forEach(([a, b], i) => path[i ? "lineTo" : "moveTo"](x + r * a, y + r * b));
  if (shape.points) path.closePath();
  shape.lines?.forEach(([a, b, c, d]) => (path.moveTo(x + r * a, y + r * b), path.lineTo(x + r * c, y + r * d)));
  const line = shape.lines ? 1.8 : shape.open ? 1.4 : 0;
  ctx.lineJoin = "round";
  ctx.strokeStyle = theme.ground;
  ctx.lineWidth = line + 3;
  ctx.stroke(path);
  ctx.fillStyle = shape.open ? theme.ground : theme.text;
  if (!shape.lines) ctx.fill(path);
  ctx.strokeStyle = theme.text;
  ctx.lineWidth = line;
  if (line) ctx.stroke(path);
}

// The whole picture: regions, points, numbers, and a ring around the inspected point.
function drawPlane(canvas, plane, { E, dead, points, labels, extent, picked = -1 }) {
  const theme = readTheme(canvas), [ctx, width] = fit(canvas), [left, right, bottom, top] = extent;
  const place = (i) => [((points[2 * i] - left) / (right - left)) * width, ((top - points[2 * i + 1]) / (top - bottom)) * width];
  paint(ctx, width, plane, E, dead, theme);
  const point = (i) => drawPoint(ctx, SHAPES[labels[i]], ...place(i), Math.max(2.9, width / 135), theme);
  for (let i = 0; i < labels.length; i++) point(i);
  middles(plane, E).forEach((m, e) => m && drawBadge(ctx, e, m.x * width, m.y * width, m.room * width > 18 ? 11 : 8.5, dead[e], theme));
  if (picked < 0) return;
  ctx.beginPath();
  ctx.arc(...place(picked), 9.5, 0, 7);
  ctx.fillStyle = theme.ground;
  ctx.fill();
  ctx.strokeStyle = theme.ground;
  ctx.lineWidth = 5;
  ctx.stroke();
  ctx.strokeStyle = theme.accent;
  ctx.lineWidth = 2.2;
  ctx.stroke();
  point(picked); // again, should a number cover it
}
// How many pixels along a side are computed: no more than keep a slider quick, so a big picture is drawn slightly soft.
const pixels = (canvas) => Math.round(Math.max(80, Math.min(400, canvas.clientWidth * (devicePixelRatio || 1))));

// For text alternatives.
const shareWords = (shares) =>
  shares.map((s, e) => [s, e]).filter(([s]) => s >= DEAD).sort((a, b) => b[0] - a[0]).map(([s, e]) => `expert ${e} ${percent(s)}`).join(", ");
