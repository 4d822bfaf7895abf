// Draw the pictures of the plane: regions and points, the predictions, and the predictions of one part.
import { SHAPES, circle, drawPoint, fit, mix, readTheme, rgb, ring, stripes, stroke } from "../../web/draw/pen.js";
import { drawNumbers, drawPixels, packed, paint, placeOf } from "../../web/draw/plane.js";

const PIXELS = 112; // along the side of a part's picture

// The points' marks, cached until the data, the size or the theme changes.
const layers = new WeakMap();
function marksOf(canvas, data, width, radius, theme) {
  const key = `${width} ${devicePixelRatio} ${theme.key} ${radius}`;
  const cached = layers.get(canvas);
  if (cached?.key === key && cached.data === data) return cached.image;
  const image = document.createElement("canvas");
  image.width = image.height = canvas.width;
  const ctx = image.getContext("2d", { willReadFrequently: true });
  ctx.scale(canvas.width / width, canvas.width / width);
  for (let i = 0; i < data.drawn; i++) drawMark(ctx, data, i, width, radius, theme);
  layers.set(canvas, { key, data, image });
  return image;
}
function drawMark(ctx, { x, y, extent }, i, width, radius, theme) {
  drawPoint(ctx, SHAPES[y[i]], ...placeOf(x, i, extent, width), radius, theme);
}

// Draw the map: regions, the kind's overlay, points, numbers, and a ring around the inspected point.
export function drawRegions(canvas, plane, frame, { dead, patterned, scattered, overlay }) {
  const { data } = frame;
  const { owner, confidence: depth, n } = plane;
  const E = dead.length;
  const theme = readTheme(canvas);
  const [ctx, width] = fit(canvas);
  const radius = Math.max(2.7, width / 140);
  // No borders if neighbours have different owners, or if the grid is coarse, so that borders would be wide.
  const set = scattered || n < 100 ? new Uint8Array(owner.length) : owner;
  ctx.imageSmoothingEnabled = !scattered;
  paint(ctx, width, { owner, set, depth, n }, E, dead, theme, patterned);
  const drawAbove = overlay(ctx, frame, width, theme);
  ctx.drawImage(marksOf(canvas, data, width, radius, theme), 0, 0, width, width);
  drawAbove?.();
  if (!scattered) drawNumbers(ctx, width, plane, E, dead, theme);
  const picked = Math.min(frame.point, data.drawn - 1);
  const [x, y] = placeOf(data.x, picked, data.extent, width);
  ring(ctx, circle(x, y, 9.5), theme.accent, 2.2, theme);
  drawMark(ctx, data, picked, width, radius, theme);
}

// Draw the predictions of the whole layer as shades of grey, and rings around the points that are predicted wrongly.
export function drawPredictions(canvas, said, n, data, predicted) {
  const theme = readTheme(canvas);
  const [ctx, width] = fit(canvas);
  const shades = shadesOf(theme.muted, theme, data.classes, 0.04, 0.36);
  const radius = Math.max(2.2, width / 125);
  drawPixels(ctx, width, n, (p) => shades[said[p]]);
  ctx.drawImage(marksOf(canvas, data, width, radius, theme), 0, 0, width, width);
  const wrong = new Path2D();
  for (let i = 0; i < data.drawn; i++) {
    const [x, y] = placeOf(data.x, i, data.extent, width);
    if (predicted[i] !== data.y[i]) wrong.addPath(circle(x, y, radius + 2.9));
  }
  stroke(ctx, wrong, theme.fails, 1.6);
}

// Draw the predictions of one expert or leaf: in its colour where it is the first choice, in grey elsewhere.
export function drawExpert(canvas, e, says, plane, classes, { dead, patterned }) {
  const theme = readTheme(canvas);
  const [ctx, width] = fit(canvas);
  const unheard = shadesOf(theme.muted, theme, classes, 0.04, 0.27);
  const own = dead ? unheard : shadesOf(theme.experts[e], theme, classes, 0.2, 0.8);
  const striped = patterned && e > 3 && !dead;
  const mark = packed(rgb(theme.ground));
  const side = Math.sqrt(says.length);
  const scaled = (n) => Array.from({ length: PIXELS }, (_, i) => Math.floor((i / PIXELS) * n));
  const [here, there] = [scaled(side), scaled(plane.n)];
  drawPixels(ctx, width, PIXELS, (_, i, j) => {
    const asked = plane.owner[there[j] * plane.n + there[i]] === e;
    if (asked && striped && stripes[e >> 2](i, j)) return mark;
    return (asked ? own : unheard)[says[here[j] * side + here[i]]];
  });
}

// A shade for each class, mixed from `low` to `high` fractions of the colour.
const shadesOf = (colour, theme, classes, low, high) =>
  Array.from({ length: classes }, (_, c) =>
    packed(mix(rgb(colour), rgb(theme.ground), low + ((high - low) * c) / Math.max(1, classes - 1))),
  );
