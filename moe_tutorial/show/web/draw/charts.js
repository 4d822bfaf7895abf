// @ts-check
// Charts over the steps of a training: shares as bands, losses as lines.
import { DEAD, percent } from "../words.js";
import { circle, drawBadge, fill, fit, hatch, lineThrough, readTheme, stroke, write } from "./pen.js";

/** Draw shares over the steps as stacked bands, with each expert's number and its share of `now` at the band's end.
 * @param {HTMLCanvasElement} canvas @param {ArrayLike<number>} steps
 * @param {ArrayLike<number>[]} rows each step's shares @param {number[]} now
 * @param {number} at the last step that is drawn */
export function drawBands(canvas, steps, rows, now, at = rows.length - 1, patterned = now.length > 8) {
  const theme = readTheme(canvas);
  const [ctx, w, h] = fit(canvas);
  const right = w - 66;
  const bottom = h - 20;
  const last = steps.length - 1;
  const x = (f) => Math.max(f === at ? 6 : 0, (right * (steps[f] - steps[0])) / (steps[last] - steps[0] || 1));
  let edge = Array(at + 1).fill(0);
  for (let e = 0; e < now.length; e++) {
    const above = edge.map((v, f) => [x(f), bottom * v]);
    edge = edge.map((v, f) => v + rows[f][e]);
    const below = edge.map((v, f) => [x(f), bottom * v]);
    const band = lineThrough([[0, above[0][1]], ...above, ...below.reverse(), [0, bottom * edge[0]]]);
    fill(ctx, band, theme.experts[e]);
    if (patterned && e > 3) fill(ctx, band, hatch(ctx, e, theme));
    stroke(ctx, band, theme.ground, 1);
  }
  const { labels, gap } = bandLabels(now, bottom);
  for (const { e, y } of labels) {
    drawBadge(ctx, e, x(at) + 14, y, gap < 13 ? 5.5 : 7, false, theme);
    write(ctx, theme, percent(now[e]), x(at) + 26, y + 4, "left", theme.text);
  }
  write(ctx, theme, `step ${steps[0]}`, 0, h - 4, "left");
  if (last) write(ctx, theme, steps[last], right, h - 4, "right");
}

/** Heights of the labels, dead experts excluded: the middle of the band, moved apart if labels overlap. */
function bandLabels(now, bottom) {
  const labels = [];
  let below = 0;
  now.forEach((share, e) => {
    if (share >= DEAD) labels.push({ e, y: bottom * (below + share / 2) });
    below += share;
  });
  const gap = Math.min(15, (bottom - 14) / (labels.length - 1 || 1));
  labels.forEach((label, i) => (label.y = Math.max(label.y, i ? labels[i - 1].y + gap : 7)));
  labels.reverse(); // the same from the bottom
  labels.forEach((label, i) => (label.y = Math.min(label.y, i ? labels[i - 1].y - gap : bottom - 7)));
  return { labels, gap };
}

/** Draw lines over the steps, with a label at the end of each. The first is pale after step `at`; the others are
 * dashed, and clipped at the top of the scale.
 * @param {HTMLCanvasElement} canvas @param {ArrayLike<number>} steps
 * @param {{ values: number[], words: string }[]} lines @param {number} low of the scale
 * @param {number} high of the scale */
export function drawLines(canvas, steps, lines, low, high, at = steps.length - 1) {
  const theme = readTheme(canvas);
  const [ctx, w, h] = fit(canvas);
  const last = steps.length - 1;
  ctx.font = `600 11.5px ${theme.font}`;
  const right = w - 12 - Math.max(...lines.map(({ words }) => ctx.measureText(words).width));
  const x = (f) => 30 + ((right - 30) * (steps[f] - steps[0])) / (steps[last] - steps[0] || 1);
  const y = (v) => h - 20 - ((h - 30) * (Math.min(v, high) - low)) / (high - low);
  for (const v of [low, (low + high) / 2, high]) {
    const level = Math.round(y(v)) + 0.5;
    stroke(ctx, lineThrough([30, right].map((end) => [end, level])), theme.line, 1);
    write(ctx, theme, +v.toPrecision(2), 0, y(v) + 4, "left");
  }
  write(ctx, theme, `step ${steps[0]}`, 30, h - 4, "left");
  if (last) write(ctx, theme, steps[last], right, h - 4, "right");

  ctx.lineJoin = "round";
  let above = -99; // height of the previous label
  lines.forEach(({ values, words }, i) => {
    const first = i === 0;
    const colour = first ? theme.text : theme.muted;
    const places = values.map((v, f) => [x(f), y(v)]);
    const [endX, endY] = places[at];
    if (first) stroke(ctx, lineThrough(places.slice(at)), theme.border, 2);
    stroke(ctx, lineThrough(places.slice(0, at + 1)), colour, 2, first ? [] : [5, 3]);
    if (first) fill(ctx, circle(endX, endY, 4), colour);
    let place = Math.max(10, endY + (endX > right - 12 ? 4 : -8));
    if (Math.abs(place - above) < 14) place = above + (place > above && above < h - 16 ? 14 : -14);
    above = place;
    write(ctx, theme, words, Math.min(right, endX) + 8, place, "left", colour, first ? 600 : 400);
  });
}

/** Round up to a number that can end a scale. @param {number} v */
export function roundUp(v) {
  if (!(v > 0)) return v || 1;
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((m) => m * power >= v * 0.999) * power;
}

/** Draw the history of a training: the shares as bands, and the losses as lines, that of the task first.
 * @param {HTMLCanvasElement} bands @param {HTMLCanvasElement} curve
 * @param {Record<string, any>[]} history rows: step, shares, task, and the further losses that are named
 * @param {string[]} names @param {boolean} [patterned] */
export function drawHistory(bands, curve, history, names, patterned) {
  const last = history.at(-1);
  const column = (name) => history.map((row) => row[name]);
  const steps = column("step");
  const task = column("task");
  const lines = [{ values: task, words: `task ${last.task.toFixed(2)}` }];
  for (const name of names) {
    const values = column(name);
    if (values.some(Boolean)) lines.push({ values, words: `${name} ${+last[name].toPrecision(2)}` });
  }
  drawBands(bands, steps, column("shares"), Array.from(last.shares), history.length - 1, patterned);
  drawLines(curve, steps, lines, 0, roundUp(Math.max(...task)));
}
