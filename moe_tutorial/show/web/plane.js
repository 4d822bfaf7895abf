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

const subtitle = (words = "") => el("p", { className: "moe-subtitle" }, words);
const capital = (words) => words[0].toUpperCase() + words.slice(1);

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

// Each expert's share as a bar.
function drawBars(list, now) {
  const E = now.length, most = Math.max(...now, 0.25);
  list.innerHTML = now.map((v, e) => `<li>${badge(e, v < DEAD)}<span class="moe-track"><i class="moe-p${E > 8 ? e >> 2 : 0}"
    style="--c:var(--moe-e${e});--o:var(--moe-on${e});width:${v < DEAD ? 0 : ((100 * v) / most).toFixed(1)}%"></i><b style="left:${(100 / E / most).toFixed(1)}%"></b></span>
    <span class="moe-r">${v < DEAD ? '<span class="moe-muted">dead</span>' : percent(v)}</span></li>`).join("");
}
const fairWords = (E) => `Upright line: a fair share, ${+(100 / E).toFixed(1)} %. Dead: under 1 %.`;

// The message about who is used; `since` are the shares that a rise is told from.
function usageTitle(when, now, things, since) {
  const E = now.length, most = now.indexOf(Math.max(...now)), dead = now.filter((v) => v < DEAD).length;
  const gone = dead ? `${dead} of ${E} ${dead === 1 ? "is" : "are"} dead` : `all ${E} work`;
  const grew = since && since[most] < 0.8 * now[most] ? `, up from ${percent(since[most])}` : "";
  return now[most] > 1.5 / E ? `${when} expert ${most} takes ${percent(now[most])} of the ${things}${grew}; ${gone}`
    : `${when} ${dead ? gone : `all ${E} experts work`}; the largest takes ${percent(now[most])} of the ${things}`;
}

const badge = (e, dead) =>
  `<span class="moe-badge${dead ? " moe-dead" : ""}" style="--c:var(--moe-e${e});--o:var(--moe-on${e})">${e}</span>`;

// A bytes trait as numbers. The copy matters: a message's buffer need not start on a 4-byte boundary.
function numbers(view, Type = Float32Array) {
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

// A byte holds the square root of how far a logit lies below the best one.
function unpack(codes, span) {
  const below = Float32Array.from({ length: 256 }, (_, q) => -span * (q / 255) ** 2);
  return Float32Array.from(codes, (q) => below[q]);
}

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const mix = (a, b, amount) => a.map((v, i) => v * amount + b[i] * (1 - amount));

let themeNow = { key: "" };
function readTheme(node) { // read once until the page changes its theme: a running picture asks thirty times a second
  const key = `${document.documentElement.dataset.theme} ${document.body.dataset.jpThemeLight}`;
  if (themeNow.key === key && themeNow.ground) return themeNow;
  const style = getComputedStyle(node);
  const get = (name) => style.getPropertyValue(`--moe-${name}`).trim();
  const names = ["ground", "text", "muted", "line", "border", "accent", "fails"];
  const all = (name) => Array.from({ length: 16 }, (_, e) => get(name + e));
  themeNow = { key, ...Object.fromEntries(names.map((n) => [n, get(n)])), experts: all("e"), on: all("on"), low: +get("mixlow"), high: +get("mixhigh"), font: style.fontFamily };
  return themeNow;
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
  const [w, h] = [canvas.clientWidth, canvas.clientHeight], size = [Math.round(w * dpr), Math.round(h * dpr)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.setLineDash([]);
  ctx.clearRect(0, 0, w, h);
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
function paint(ctx, width, plane, E, dead, theme, patterned = E > 8) {
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
  const context = scratch.getContext("2d", { willReadFrequently: true }), image = context.createImageData(n, n), out = new Int32Array(image.data.buffer);
  const g = Math.max(1, Math.round(1 / scale)), floor = 1 / E;
  for (let j = 0, p = 0; j < n; j++)
    for (let i = 0; i < n; i++, p++) {
      const e = owner[p], s = set[p];
      const edge = (i >= g && set[p - g] !== s) || (i < n - g && set[p + g] !== s) || (j >= g && set[p - g * n] !== s) || (j < n - g && set[p + g * n] !== s);
      const level = Math.max(0, Math.min(steps, Math.round((steps * (depth[p] - floor)) / (1 - floor || 1))));
      const striped = patterned && e > 3 && !dead[e] && stripes[e >> 2](i * scale, j * scale);
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

// Shares over the steps as stacked bands, up to frame `at`; each number and share of `now` stands where its band ends.
function drawBands(canvas, steps, rows, now, at = rows.length - 1, patterned = now.length > 8) {
  const theme = readTheme(canvas), [ctx, w, h] = fit(canvas), E = now.length, right = w - 66, bottom = h - 20;
  const X = (f) => Math.max(f === at ? 6 : 0, (right * (steps[f] - steps[0])) / (steps.at(-1) - steps[0] || 1));
  const edge = Array(at + 1).fill(0), labels = [];
  let sofar = 0;
  for (let e = 0; e < E; e++) {
    const band = new Path2D();
    band.moveTo(0, bottom * edge[0]);
    for (let f = 0; f <= at; f++) band.lineTo(X(f), bottom * edge[f]);
    for (let f = at; f >= 0; f--) band.lineTo(X(f), bottom * (edge[f] += rows[f][e]));
    band.lineTo(0, bottom * edge[0]);
    ctx.fillStyle = theme.experts[e];
    ctx.fill(band);
    if (patterned && e > 3) (ctx.fillStyle = hatch(ctx, e, theme)), ctx.fill(band);
    ctx.strokeStyle = theme.ground;
    ctx.stroke(band);
    if (now[e] >= DEAD) labels.push([e, bottom * (sofar + now[e] / 2)]);
    sofar += now[e];
  }
  const gap = Math.min(15, (bottom - 14) / (labels.length - 1 || 1)), small = gap < 13; // labels that collide move apart
  labels.forEach((own, i) => (own[1] = Math.max(own[1], i ? labels[i - 1][1] + gap : 7)));
  for (let i = labels.length - 1; i >= 0; i--) labels[i][1] = Math.min(labels[i][1], i < labels.length - 1 ? labels[i + 1][1] - gap : bottom - 7);
  for (const [e, y] of labels) {
    drawBadge(ctx, e, X(at) + 14, y, small ? 5.5 : 7, false, theme);
    write(ctx, theme, percent(now[e]), X(at) + 26, y + 4, "left", theme.text);
  }
  write(ctx, theme, `step ${steps[0]}`, 0, h - 4, "left");
  if (steps.length > 1) write(ctx, theme, steps.at(-1), right, h - 4, "right");
}
function hatch(ctx, e, theme) {
  const tile = document.createElement("canvas"), size = (tile.width = tile.height = e >> 2 === 2 ? 6 : 7), pen = tile.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = theme.on[e];
  pen.globalAlpha = 0.6;
  for (let i = 0; i < size * size; i++) if (stripes[e >> 2](i % size, (i / size) | 0)) pen.fillRect(i % size, (i / size) | 0, 1, 1);
  return ctx.createPattern(tile, "repeat");
}
function write(ctx, theme, words, x, y, align, colour = theme.muted, weight = 400) {
  ctx.font = `${weight} 11.5px ${theme.font}`;
  ctx.textAlign = align;
  ctx.textBaseline = "alphabetic";
  ctx.fillStyle = colour;
  ctx.fillText(words, x, y);
}

// Lines over the steps, [{values, words}, ...], with words where they end. The first is the message: after frame `at` it
// is pale. The others are dashed, and cut off where they leave its scale.
function drawLines(canvas, steps, lines, low, high, at = steps.length - 1) {
  const theme = readTheme(canvas), [ctx, w, h] = fit(canvas), last = steps.length - 1;
  ctx.font = `600 11.5px ${theme.font}`;
  const right = w - 12 - Math.max(...lines.map(({ words }) => ctx.measureText(words).width));
  const X = (f) => 30 + ((right - 30) * (steps[f] - steps[0])) / (steps[last] - steps[0] || 1), Y = (v) => h - 20 - ((h - 30) * (Math.min(v, high) - low)) / (high - low);
  const line = (y, from, to) => (ctx.beginPath(), y.slice(from, to + 1).forEach((v, i) => ctx.lineTo(X(from + i), Y(v))), ctx.stroke());
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.line;
  for (const v of [low, (low + high) / 2, high]) {
    ctx.beginPath(), ctx.moveTo(30, Math.round(Y(v)) + 0.5), ctx.lineTo(right, Math.round(Y(v)) + 0.5), ctx.stroke();
    write(ctx, theme, +v.toPrecision(2), 0, Y(v) + 4, "left");
  }
  write(ctx, theme, `step ${steps[0]}`, 30, h - 4, "left");
  if (last) write(ctx, theme, steps[last], right, h - 4, "right");
  ctx.lineJoin = "round";
  ctx.lineWidth = 2;
  let above = -99;
  lines.forEach(({ values, words }, i) => {
    const [x, y] = [X(at), Y(values[at])], colour = i ? theme.muted : theme.text;
    ctx.setLineDash(i ? [5, 3] : []);
    if (!i) (ctx.strokeStyle = theme.border), line(values, at, last);
    (ctx.strokeStyle = colour), line(values, 0, at);
    if (!i) ctx.beginPath(), ctx.arc(x, y, 4, 0, 7), (ctx.fillStyle = colour), ctx.fill();
    let place = y + (x > right - 12 ? 4 : -8);
    if (Math.abs(place - above) < 14) place = above + (place > above && above < h - 16 ? 14 : -14);
    write(ctx, theme, words, Math.min(right, x) + 8, (above = place), "left", colour, i ? 400 : 600);
  });
}
// The end of a scale: the next round number.
function roundUp(v) {
  if (!(v > 0)) return v || 1;
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((m) => m * power >= v * 0.999) * power;
}

// For text alternatives.
const shareWords = (shares, part = "expert") =>
  shares.map((s, e) => [s, e]).filter(([s]) => s >= DEAD).sort((a, b) => b[0] - a[0]).map(([s, e]) => `${part} ${e} ${percent(s)}`).join(", ");
