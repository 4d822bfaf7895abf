// @ts-check
// The picture of a plane that is divided among experts.
import { SHAPES, circle, drawBadge, drawPoint, fill, fit, mix, readTheme, rgb, ring, stripes } from "./pen.js";

/**
 * @typedef {import("./pen.js").Theme} Theme
 * @typedef {ArrayLike<number>} Numbers
 * @typedef {{ owner: Numbers, set: Numbers, depth: Numbers, n: number }} Plane n * n pixels, rows from the top
 */

const LEVELS = 32; // shades of an expert's colour
/** @type {HTMLCanvasElement} */
let scratch; // made at the first drawing, because the models also run without a page
/** An RGB colour as a 32-bit canvas pixel. @param {number[]} colour */
export const packed = ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r;

/** Draw n * n pixels, scaled to the width.
 * @param {CanvasRenderingContext2D} ctx @param {number} width @param {number} n
 * @param {(p: number, i: number, j: number) => number} colourOf a packed colour, by pixel, column and row */
export function drawPixels(ctx, width, n, colourOf) {
  scratch ??= document.createElement("canvas");
  scratch.width = scratch.height = n;
  const context = scratch.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(n, n);
  const out = new Int32Array(image.data.buffer);
  for (let j = 0, p = 0; j < n; j++) for (let i = 0; i < n; i++, p++) out[p] = colourOf(p, i, j);
  context.putImageData(image, 0, 0);
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(scratch, 0, 0, width, width);
}

/** Draw the regions: each pixel in its owner's colour, deeper with its weight, and a gap in the background colour
 * between regions with different sets of experts.
 * @param {CanvasRenderingContext2D} ctx @param {number} width @param {Plane} plane @param {number} E
 * @param {boolean[]} dead @param {Theme} theme */
export function paint(ctx, width, { owner, set, depth, n }, E, dead, theme, patterned = E > 8) {
  const ground = rgb(theme.ground);
  const muted = packed(mix(rgb(theme.muted), ground, 0.1));
  const strength = (level) => theme.low + ((theme.high - theme.low) * level) / LEVELS;
  const shades = [];
  for (let e = 0; e < E; e++)
    for (let level = 0; level <= LEVELS; level++)
      shades.push(dead[e] ? muted : packed(mix(rgb(theme.experts[e]), ground, strength(level))));
  const inks = Array.from({ length: E }, (_, e) => packed(mix(rgb(theme.experts[e]), ground, 0.62)));
  const gap = packed(ground);
  const scale = width / n;
  const g = Math.max(1, Math.round(1 / scale));
  const differs = (p, q) => set[p] !== set[q];

  drawPixels(ctx, width, n, (p, i, j) => {
    if ((i >= g && differs(p, p - g)) || (i < n - g && differs(p, p + g))) return gap;
    if ((j >= g && differs(p, p - g * n)) || (j < n - g && differs(p, p + g * n))) return gap;
    const e = owner[p];
    if (patterned && e > 3 && !dead[e] && stripes[e >> 2](i * scale, j * scale)) return inks[e];
    const level = Math.round((LEVELS * (depth[p] - 1 / E)) / (1 - 1 / E || 1));
    return shades[e * (LEVELS + 1) + Math.max(0, Math.min(LEVELS, level))];
  });
}

/** For each region the point farthest from its edge, for its number: a distance transform in two passes on a coarse
 * grid.
 * @param {{ owner: Numbers, n: number }} plane @param {number} E
 * @returns {({ room: number, x: number, y: number } | null)[]} in parts of the width */
function middles({ owner, n }, E, m = 60) {
  const middle = (i) => Math.floor(((i + 0.5) / m) * n);
  const own = (p) => owner[middle(Math.floor(p / m)) * n + middle(p % m)];
  const within = (p) => p % m > 0 && p % m < m - 1 && p > m && p < m * (m - 1);
  const inside = (p) => within(p) && [p - 1, p + 1, p - m, p + m].every((q) => own(q) === own(p));
  /** @type {number[]} */
  const room = Array.from({ length: m * m }, (_, p) => (inside(p) ? 1e9 : 1));
  const relax = (p, step) => {
    if (room[p] === 1) return;
    const beside = Math.min(room[p + step], room[p + step * m]) + 1;
    const across = Math.min(room[p + step * (m + 1)], room[p + step * (m - 1)]) + 1.41;
    room[p] = Math.min(room[p], beside, across);
  };
  for (let p = 0; p < m * m; p++) relax(p, -1);
  for (let p = m * m - 1; p >= 0; p--) relax(p, 1);
  const best = Array(E).fill(null);
  room.forEach((r, p) => {
    const e = own(p);
    if (r > 1 && r > (best[e]?.room ?? 0) + 1e-9) best[e] = { room: r, p };
  });
  return best.map((b) => b && { room: b.room / m, x: ((b.p % m) + 0.5) / m, y: (Math.floor(b.p / m) + 0.5) / m });
}

/** Draw each region's number at the point farthest from its edge.
 * @param {CanvasRenderingContext2D} ctx @param {number} width @param {{ owner: Numbers, n: number }} plane
 * @param {number} E @param {boolean[]} dead @param {Theme} theme */
export function drawNumbers(ctx, width, plane, E, dead, theme) {
  middles(plane, E).forEach((spot, e) => {
    if (spot) drawBadge(ctx, e, spot.x * width, spot.y * width, spot.room * width > 18 ? 11 : 8.5, dead[e], theme);
  });
}

/** The pixel position of a point in the picture.
 * @param {Numbers} points (N, 2) @param {number} i @param {number[]} extent left, right, bottom, top
 * @param {number} width */
export const placeOf = (points, i, [left, right, bottom, top], width) => [
  ((points[2 * i] - left) / (right - left)) * width,
  ((top - points[2 * i + 1]) / (top - bottom)) * width,
];

/** Draw the whole picture: regions, points, numbers, and a ring around the inspected point.
 * @param {HTMLCanvasElement} canvas @param {Plane} plane
 * @param {{ E: number, dead: boolean[], points: Numbers, labels: Numbers, extent: number[], picked?: number }} data */
export function drawPlane(canvas, plane, { E, dead, points, labels, extent, picked = -1 }) {
  const theme = readTheme(canvas);
  const [ctx, width] = fit(canvas);
  const place = (i) => placeOf(points, i, extent, width);
  const point = (i) => {
    const [x, y] = place(i);
    drawPoint(ctx, SHAPES[labels[i]], x, y, Math.max(2.9, width / 135), theme);
  };
  paint(ctx, width, plane, E, dead, theme);
  for (let i = 0; i < labels.length; i++) point(i);
  drawNumbers(ctx, width, plane, E, dead, theme);
  if (picked < 0) return;
  const [x, y] = place(picked);
  const around = circle(x, y, 9.5);
  fill(ctx, around, theme.ground);
  ring(ctx, around, theme.accent, 2.2, theme);
  point(picked); // again, in case a number covers it
}

/** Index of the point, among the first n, that is nearest to a click on the picture.
 * @param {{ offsetX: number, offsetY: number, target: any }} click @param {Numbers} points @param {number} n
 * @param {number[]} extent */
export function nearestTo({ offsetX, offsetY, target }, points, n, extent) {
  const far = Array.from({ length: n }, (_, i) => {
    const [x, y] = placeOf(points, i, extent, target.clientWidth);
    return Math.hypot(x - offsetX, y - offsetY);
  });
  return far.indexOf(Math.min(...far));
}

/** Number of pixels to compute along a side, limited so that sliders stay fast; a larger picture is scaled up.
 * @param {Element} canvas */
export const pixels = (canvas) => Math.round(Math.max(80, Math.min(400, canvas.clientWidth * (devicePixelRatio || 1))));
