// @ts-check
// Drawing functions for all pictures: the theme's colours, canvases, experts' numbers, and a shape for each class.

/**
 * @typedef {{ key: string, ground: string, text: string, muted: string, line: string, border: string, accent: string,
 *   fails: string, experts: string[], on: string[], low: number, high: number, font: string }} Theme
 * @typedef {{ name: string, sign: string, round?: number, points?: number[][], lines?: number[][],
 *   open?: boolean }} Shape
 */

/** @param {string} hex */
export const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
/** @param {number[]} a @param {number[]} b @param {number} amount of a */
export const mix = (a, b, amount) => a.map((v, i) => v * amount + b[i] * (1 - amount));

const ROLES = ["ground", "text", "muted", "line", "border", "accent", "fails"];
/** @type {any} */
let themeNow = {};

/** The page's colours, cached until its theme changes, because an animation reads them thirty times a second.
 * @param {Element} node @returns {Theme} */
export function readTheme(node) {
  const key = `${document.documentElement.dataset.theme} ${document.body.dataset.jpThemeLight}`;
  if (themeNow.key === key && themeNow.ground) return themeNow;
  const style = getComputedStyle(node);
  const get = (name) => style.getPropertyValue(`--moe-${name}`).trim();
  const all = (name) => Array.from({ length: 16 }, (_, e) => get(name + e));
  themeNow = {
    key,
    ...Object.fromEntries(ROLES.map((name) => [name, get(name)])),
    experts: all("e"),
    on: all("on"),
    low: +get("mixlow"),
    high: +get("mixhigh"),
    font: style.fontFamily,
  };
  return themeNow;
}

/** Fit a canvas to its CSS size and to the screen's resolution. Returns its context, width and height in CSS pixels.
 * @param {HTMLCanvasElement} canvas @returns {[CanvasRenderingContext2D, number, number]} */
export function fit(canvas) {
  const dpr = Math.min(3, devicePixelRatio || 1);
  const { clientWidth: w, clientHeight: h } = canvas;
  const [width, height] = [Math.round(w * dpr), Math.round(h * dpr)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.setLineDash([]);
  ctx.clearRect(0, 0, w, h);
  return [ctx, w, h];
}

/** Whether a pattern has ink at a pixel: one function for each four experts. */
export const stripes = [
  () => false,
  (x, y) => (x + y) % 7 < 1.3,
  (x, y) => x % 6 < 1.6 && y % 6 < 1.6,
  (x, y) => (((x - y) % 7) + 7) % 7 < 1.3,
];

/** An expert's pattern as a fill.
 * @param {CanvasRenderingContext2D} ctx @param {number} e @param {Theme} theme */
export function hatch(ctx, e, theme) {
  const tile = document.createElement("canvas");
  const size = e >> 2 === 2 ? 6 : 7;
  tile.width = tile.height = size;
  const pen = tile.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = theme.on[e];
  pen.globalAlpha = 0.6;
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) if (stripes[e >> 2](x, y)) pen.fillRect(x, y, 1, 1);
  return ctx.createPattern(tile, "repeat");
}

/** @param {number} x @param {number} y @param {number} radius */
export function circle(x, y, radius) {
  const path = new Path2D();
  path.arc(x, y, radius, 0, 7);
  return path;
}
/** A path through these points. @param {Iterable<number[]>} places */
export function lineThrough(places) {
  const path = new Path2D();
  for (const [x, y] of places) path.lineTo(x, y);
  return path;
}
/** @param {CanvasRenderingContext2D} ctx @param {Path2D} path @param {string} colour @param {number} width */
export function stroke(ctx, path, colour, width, dashes = []) {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash(dashes);
  ctx.stroke(path);
  ctx.setLineDash([]);
}
/** @param {CanvasRenderingContext2D} ctx @param {Path2D} path @param {string | CanvasPattern} colour */
export function fill(ctx, path, colour) {
  ctx.fillStyle = colour;
  ctx.fill(path);
}

/** Stroke a path on a wider stroke in the background colour.
 * @param {CanvasRenderingContext2D} ctx @param {Path2D} path @param {string} colour @param {number} width
 * @param {Theme} theme */
export function ring(ctx, path, colour, width, theme) {
  stroke(ctx, path, theme.ground, width + 2.8);
  stroke(ctx, path, colour, width);
}

/** Write a number or a letter centred at a point.
 * @param {CanvasRenderingContext2D} ctx @param {string} words @param {number} x
 * @param {number} y @param {number} size @param {string} colour @param {Theme} theme */
export function label(ctx, words, x, y, size, colour, theme) {
  ctx.fillStyle = colour;
  ctx.font = `600 ${Math.round(size)}px ${theme.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(words, x, y + 0.5);
}

/** Draw an expert's number on its colour, crossed out if the expert is dead.
 * @param {CanvasRenderingContext2D} ctx @param {number} e @param {number} x @param {number} y
 * @param {number} radius @param {boolean} dead @param {Theme} theme */
export function drawBadge(ctx, e, x, y, radius, dead, theme) {
  const disc = circle(x, y, radius);
  fill(ctx, circle(x, y, radius + 1.5), theme.ground);
  if (dead) stroke(ctx, disc, theme.border, 1, [3, 2]);
  else fill(ctx, disc, theme.experts[e]);
  label(ctx, String(e), x, y, radius * 1.25, dead ? theme.muted : theme.on[e], theme);
  if (dead) ctx.fillRect(x - radius * 0.55, y, radius * 1.1, 1);
}

/** The corners of a regular polygon. @param {number} n @param {number} r */
const turn = (n, r, from = -90) =>
  Array.from({ length: n }, (_, i) => ((from + (360 * i) / n) * Math.PI) / 180).map((a) => [
    r * Math.cos(a),
    r * Math.sin(a),
  ]);
const starCorner = ([x, y], i) => (i % 2 ? [0.55 * x, 0.55 * y] : [1.3 * x, 1.3 * y]);
// prettier-ignore
const CROSS = [[-0.8, -0.8, 0.8, 0.8], [-0.8, 0.8, 0.8, -0.8]];
// prettier-ignore
const PLUS = [[-1, 0, 1, 0], [0, -1, 0, 1]];
// prettier-ignore
const TRIANGLE = [[0, -1.1], [1, 0.75], [-1, 0.75]];

/** The shapes of the classes, ordered as in look.json. They are drawn in the text colour with a halo; `lines` are
 * strokes, and an `open` shape is hollow.
 * @type {Shape[]} */
export const SHAPES = [
  { name: "circle", sign: "●", round: 0.86 },
  { name: "triangle", sign: "▲", points: TRIANGLE },
  { name: "square", sign: "□", points: turn(4, 1.12, 45), open: true },
  { name: "diamond", sign: "◆", points: turn(4, 1.2) },
  { name: "cross", sign: "✕", lines: CROSS },
  { name: "plus", sign: "+", lines: PLUS },
  { name: "star", sign: "★", points: turn(10, 1).map(starCorner) },
  { name: "hexagon", sign: "⬢", points: turn(6, 1.05) },
  { name: "bar", sign: "–", lines: [[-1.1, 0, 1.1, 0]] },
  { name: "ring", sign: "○", round: 0.9, open: true },
];

/** @param {CanvasRenderingContext2D} ctx @param {Shape} shape @param {number} x @param {number} y
 * @param {number} r @param {Theme} theme */
export function drawPoint(ctx, shape, x, y, r, theme) {
  const path = new Path2D();
  if (shape.round) path.arc(x, y, r * shape.round, 0, 7);
  shape.points?.forEach(([a, b], i) => path[i ? "lineTo" : "moveTo"](x + r * a, y + r * b));
  if (shape.points) path.closePath();
  for (const [a, b, c, d] of shape.lines ?? []) {
    path.moveTo(x + r * a, y + r * b);
    path.lineTo(x + r * c, y + r * d);
  }
  const hollow = shape.open ? 1.4 : 0;
  const line = shape.lines ? 1.8 : hollow;
  ctx.lineJoin = "round";
  stroke(ctx, path, theme.ground, line + 3);
  if (!shape.lines) fill(ctx, path, shape.open ? theme.ground : theme.text);
  if (line) stroke(ctx, path, theme.text, line);
}

/** @param {CanvasRenderingContext2D} ctx @param {Theme} theme @param {string | number} words @param {number} x
 * @param {number} y @param {CanvasTextAlign} align */
export function write(ctx, theme, words, x, y, align, colour = theme.muted, weight = 400) {
  ctx.font = `${weight} 11.5px ${theme.font}`;
  ctx.textAlign = align;
  ctx.textBaseline = "alphabetic";
  ctx.fillStyle = colour;
  ctx.fillText(String(words), x, y);
}
