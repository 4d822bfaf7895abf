// What every picture is drawn with: the theme's colours, a sharp canvas, experts' numbers, and a shape for each class.
export const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
export const mix = (a, b, amount) => a.map((v, i) => v * amount + b[i] * (1 - amount));
let themeNow = { key: "" };
export function readTheme(node) {
  // read once until the page changes its theme: a running picture asks thirty times a second
  const key = `${document.documentElement.dataset.theme} ${document.body.dataset.jpThemeLight}`;
  if (themeNow.key === key && themeNow.ground) return themeNow;
  const style = getComputedStyle(node);
  const get = (name) => style.getPropertyValue(`--moe-${name}`).trim();
  const names = ["ground", "text", "muted", "line", "border", "accent", "fails"];
  const all = (name) => Array.from({ length: 16 }, (_, e) => get(name + e));
  themeNow = {
    key,
    ...Object.fromEntries(names.map((n) => [n, get(n)])),
    experts: all("e"),
    on: all("on"),
    low: +get("mixlow"),
    high: +get("mixhigh"),
    font: style.fontFamily,
  };
  return themeNow;
}
// A canvas in CSS pixels, sharp on any screen.
export function fit(canvas) {
  const dpr = Math.min(3, devicePixelRatio || 1);
  const [w, h] = [canvas.clientWidth, canvas.clientHeight],
    size = [Math.round(w * dpr), Math.round(h * dpr)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.setLineDash([]);
  ctx.clearRect(0, 0, w, h);
  return [ctx, w, h];
}
export const stripes = [
  () => false,
  (x, y) => (x + y) % 7 < 1.3,
  (x, y) => x % 6 < 1.6 && y % 6 < 1.6,
  (x, y) => (((x - y) % 7) + 7) % 7 < 1.3,
];
export function drawBadge(ctx, e, x, y, radius, dead, theme) {
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
// A class is a shape in the text colour with a halo. Order as in look.json; "line" shapes are strokes, "open" ones hollow.
export const turn = (n, r, from = -90) =>
  Array.from({ length: n }, (_, i) => [r, ((from + (360 * i) / n) * Math.PI) / 180]).map(([q, a]) => [
    q * Math.cos(a),
    q * Math.sin(a),
  ]);
export const SHAPES = [
  { name: "circle", sign: "●", round: 0.86 },
  {
    name: "triangle",
    sign: "▲",
    points: [
      [0, -1.1],
      [1, 0.75],
      [-1, 0.75],
    ],
  },
  { name: "square", sign: "□", points: turn(4, 1.12, 45), open: true },
  { name: "diamond", sign: "◆", points: turn(4, 1.2) },
  {
    name: "cross",
    sign: "✕",
    lines: [
      [-0.8, -0.8, 0.8, 0.8],
      [-0.8, 0.8, 0.8, -0.8],
    ],
  },
  {
    name: "plus",
    sign: "+",
    lines: [
      [-1, 0, 1, 0],
      [0, -1, 0, 1],
    ],
  },
  {
    name: "star",
    sign: "★",
    points: turn(10, 1).map(([x, y], i) => (i % 2 ? [x * 0.55, y * 0.55] : [x * 1.3, y * 1.3])),
  },
  { name: "hexagon", sign: "⬢", points: turn(6, 1.05) },
  { name: "bar", sign: "–", lines: [[-1.1, 0, 1.1, 0]] },
  { name: "ring", sign: "○", round: 0.9, open: true },
];
export function drawPoint(ctx, shape, x, y, r, theme) {
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
export function hatch(ctx, e, theme) {
  const tile = document.createElement("canvas"),
    size = (tile.width = tile.height = e >> 2 === 2 ? 6 : 7),
    pen = tile.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = theme.on[e];
  pen.globalAlpha = 0.6;
  for (let i = 0; i < size * size; i++)
    if (stripes[e >> 2](i % size, (i / size) | 0)) pen.fillRect(i % size, (i / size) | 0, 1, 1);
  return ctx.createPattern(tile, "repeat");
}
export function write(ctx, theme, words, x, y, align, colour = theme.muted, weight = 400) {
  ctx.font = `${weight} 11.5px ${theme.font}`;
  ctx.textAlign = align;
  ctx.textBaseline = "alphabetic";
  ctx.fillStyle = colour;
  ctx.fillText(words, x, y);
}
