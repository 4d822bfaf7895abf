// The picture of a plane that experts divide.
import { SHAPES, drawBadge, drawPoint, fit, mix, readTheme, rgb, stripes } from "./pen.js";

export const scratch = document.createElement("canvas");
// Colour: the owner, deeper with its weight. A gap in the ground colour where another set is chosen.
export function paint(ctx, width, plane, E, dead, theme, patterned = E > 8) {
  const { owner, set, depth, n } = plane,
    steps = 32;
  const ground = rgb(theme.ground),
    muted = rgb(theme.muted),
    scale = width / n;
  const pack = (c) => (255 << 24) | (c[2] << 16) | (c[1] << 8) | c[0];
  const lut = new Int32Array(E * (steps + 1)),
    mark = new Int32Array(E),
    gapColour = pack(ground);
  for (let e = 0; e < E; e++) {
    const colour = rgb(theme.experts[e]);
    mark[e] = pack(mix(colour, ground, 0.62));
    for (let s = 0; s <= steps; s++)
      lut[e * (steps + 1) + s] = pack(
        dead[e] ? mix(muted, ground, 0.1) : mix(colour, ground, theme.low + ((theme.high - theme.low) * s) / steps),
      );
  }
  scratch.width = scratch.height = n;
  const context = scratch.getContext("2d", { willReadFrequently: true }),
    image = context.createImageData(n, n),
    out = new Int32Array(image.data.buffer);
  const g = Math.max(1, Math.round(1 / scale)),
    floor = 1 / E;
  for (let j = 0, p = 0; j < n; j++)
    for (let i = 0; i < n; i++, p++) {
      const e = owner[p],
        s = set[p];
      const edge =
        (i >= g && set[p - g] !== s) ||
        (i < n - g && set[p + g] !== s) ||
        (j >= g && set[p - g * n] !== s) ||
        (j < n - g && set[p + g * n] !== s);
      const level = Math.max(0, Math.min(steps, Math.round((steps * (depth[p] - floor)) / (1 - floor || 1))));
      const striped = patterned && e > 3 && !dead[e] && stripes[e >> 2](i * scale, j * scale);
      out[p] = edge ? gapColour : striped ? mark[e] : lut[e * (steps + 1) + level];
    }
  context.putImageData(image, 0, 0);
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(scratch, 0, 0, width, width);
}
// The roomiest place of every region, for its number: distance to the region's edge on a coarse copy, in two passes.
export function middles(plane, E, m = 60) {
  const own = (i, j) =>
    plane.owner[Math.floor(((j + 0.5) / m) * plane.n) * plane.n + Math.floor(((i + 0.5) / m) * plane.n)];
  const d = Array.from({ length: m * m }, (_, p) => {
    const i = p % m,
      j = (p / m) | 0,
      e = own(i, j);
    const inside =
      i &&
      j &&
      i < m - 1 &&
      j < m - 1 &&
      own(i - 1, j) === e &&
      own(i + 1, j) === e &&
      own(i, j - 1) === e &&
      own(i, j + 1) === e;
    return inside ? 1e9 : 1;
  });
  const relax = (p, ...around) => around.forEach(([q, cost]) => (d[p] = Math.min(d[p], d[q] + cost)));
  for (let p = m + 1; p < m * (m - 1) - 1; p++)
    if (d[p] > 1) relax(p, [p - 1, 1], [p - m, 1], [p - m - 1, 1.41], [p - m + 1, 1.41]);
  for (let p = m * (m - 1) - 2; p > m; p--)
    if (d[p] > 1) relax(p, [p + 1, 1], [p + m, 1], [p + m + 1, 1.41], [p + m - 1, 1.41]);
  const best = Array(E).fill(null);
  d.forEach((room, p) => {
    const i = p % m,
      j = (p / m) | 0,
      e = own(i, j);
    if (room > 1 && (!best[e] || room > best[e].room + 1e-9)) best[e] = { room, x: (i + 0.5) / m, y: (j + 0.5) / m };
  });
  return best.map((b) => b && { ...b, room: b.room / m });
}
// The whole picture: regions, points, numbers, and a ring around the inspected point.
export function drawPlane(canvas, plane, { E, dead, points, labels, extent, picked = -1 }) {
  const theme = readTheme(canvas),
    [ctx, width] = fit(canvas),
    [left, right, bottom, top] = extent;
  const place = (i) => [
    ((points[2 * i] - left) / (right - left)) * width,
    ((top - points[2 * i + 1]) / (top - bottom)) * width,
  ];
  paint(ctx, width, plane, E, dead, theme);
  const point = (i) => drawPoint(ctx, SHAPES[labels[i]], ...place(i), Math.max(2.9, width / 135), theme);
  for (let i = 0; i < labels.length; i++) point(i);
  middles(plane, E).forEach(
    (m, e) => m && drawBadge(ctx, e, m.x * width, m.y * width, m.room * width > 18 ? 11 : 8.5, dead[e], theme),
  );
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
export const pixels = (canvas) => Math.round(Math.max(80, Math.min(400, canvas.clientWidth * (devicePixelRatio || 1))));
