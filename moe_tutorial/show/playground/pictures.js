// The playground's pictures that no other widget has. What they share with the others (colours, marks, badges, bands,
// lines) is plane.js, which stands before them.
import { SHAPES, drawBadge, drawPoint, fit, mix, readTheme, rgb, stripes } from "../web/pen.js";
import { middles, paint, scratch } from "../web/plane.js";

// The points' marks, drawn once: they move only with the data, the size and the theme.
const layers = new WeakMap();
function marksOf(canvas, data, width, radius, theme) {
  const key = `${width} ${devicePixelRatio} ${theme.key} ${radius}`,
    kept = layers.get(canvas);
  if (kept && kept.key === key && kept.data === data) return kept.image;
  const image = document.createElement("canvas"),
    dpr = canvas.width / width;
  image.width = image.height = canvas.width;
  const ctx = image.getContext("2d", { willReadFrequently: true });
  ctx.scale(dpr, dpr);
  for (let i = 0; i < data.drawn; i++) drawPoint(ctx, SHAPES[data.y[i]], ...placeOf(data, i, width), radius, theme);
  layers.set(canvas, { key, data, image });
  return image;
}
function placeOf({ x, extent: [left, right, bottom, top] }, i, width) {
  return [((x[2 * i] - left) / (right - left)) * width, ((top - x[2 * i + 1]) / (top - bottom)) * width];
}
function ring(ctx, [x, y], radius, colour, width, theme) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 7);
  ctx.strokeStyle = theme.ground;
  ctx.lineWidth = width + 2.8;
  ctx.stroke();
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}

// The map: regions, what a kind draws over them, points, numbers, and a ring around the inspected point.
export function drawRegions(canvas, plane, frame, { dead, patterned, scattered, overlay }) {
  const { data } = frame;
  const E = dead.length;
  const picked = Math.min(frame.point, data.drawn - 1);
  const theme = readTheme(canvas),
    [ctx, width] = fit(canvas);
  // No borders where every place has another owner, or where they would be as wide as the kernel's coarse places.
  const set = scattered || plane.n < 100 ? new Uint8Array(plane.owner.length) : plane.owner;
  ctx.imageSmoothingEnabled = !scattered;
  paint(ctx, width, { owner: plane.owner, set, depth: plane.confidence, n: plane.n }, E, dead, theme, patterned);
  const drawAbove = overlay(ctx, frame, width, theme);
  ctx.drawImage(marksOf(canvas, data, width, Math.max(2.7, width / 140), theme), 0, 0, width, width);
  drawAbove?.();
  if (!scattered)
    middles(plane, E).forEach(
      (m, e) => m && drawBadge(ctx, e, m.x * width, m.y * width, m.room * width > 18 ? 11 : 8.5, dead[e], theme),
    );
  const at = placeOf(data, picked, width);
  ring(ctx, at, 9.5, theme.accent, 2.2, theme);
  drawPoint(ctx, SHAPES[data.y[picked]], ...at, Math.max(2.7, width / 140), theme);
}

// What all together predict, as shades of grey, and the points that it gets wrong.
export function drawPredictions(canvas, said, n, data, predicted) {
  const theme = readTheme(canvas),
    [ctx, width] = fit(canvas);
  const shades = shadesOf(rgb(theme.muted), theme, data.classes, 0.04, 0.36);
  image(ctx, width, n, (p) => shades[said[p]]);
  const radius = Math.max(2.2, width / 125);
  ctx.drawImage(marksOf(canvas, data, width, radius, theme), 0, 0, width, width);
  ctx.strokeStyle = theme.fails;
  ctx.lineWidth = 1.6;
  for (let i = 0; i < data.drawn; i++) {
    if (predicted[i] === data.y[i]) continue;
    ctx.beginPath();
    ctx.arc(...placeOf(data, i, width), radius + 2.9, 0, 7);
    ctx.stroke();
  }
}

// What one expert or leaf would say everywhere: in its colour where it is asked first, else in grey.
export function drawExpert(canvas, e, says, m, plane, classes, { dead, patterned }) {
  const theme = readTheme(canvas),
    [ctx, width] = fit(canvas),
    n = 112;
  const own = shadesOf(
    rgb(dead ? theme.muted : theme.experts[e]),
    theme,
    classes,
    dead ? 0.04 : 0.2,
    dead ? 0.27 : 0.8,
  );
  const unheard = shadesOf(rgb(theme.muted), theme, classes, 0.04, 0.27),
    striped = patterned && e > 3 && !dead,
    mark = packed(rgb(theme.ground));
  const places = Array.from({ length: n }, (_, i) => [Math.floor((i / n) * m), Math.floor((i / n) * plane.n)]);
  image(ctx, width, n, (p, i, j) => {
    const [a, b] = places[i],
      [c, d] = places[j],
      asked = plane.owner[d * plane.n + b] === e;
    if (asked && striped && stripes[e >> 2](i, j)) return mark;
    return (asked ? own : unheard)[says[c * m + a]];
  });
}

const packed = (c) => (255 << 24) | (c[2] << 16) | (c[1] << 8) | c[0];
const shadesOf = (colour, theme, classes, low, high) =>
  Array.from({ length: classes }, (_, c) =>
    packed(mix(colour, rgb(theme.ground), low + ((high - low) * c) / Math.max(1, classes - 1))),
  );
function image(ctx, width, n, colourOf) {
  scratch.width = scratch.height = n;
  const context = scratch.getContext("2d", { willReadFrequently: true }),
    pixels = context.createImageData(n, n),
    out = new Int32Array(pixels.data.buffer);
  for (let j = 0, p = 0; j < n; j++) for (let i = 0; i < n; i++, p++) out[p] = colourOf(p, i, j);
  context.putImageData(pixels, 0, 0);
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(scratch, 0, 0, width, width);
}
