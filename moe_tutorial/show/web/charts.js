// Charts over the steps of a training: shares as bands, losses as lines.
// Shares over the steps as stacked bands, up to frame `at`; each number and share of `now` stands where its band ends.
import { DEAD, percent } from "./words.js";
import { drawBadge, fit, hatch, readTheme, write } from "./pen.js";

export function drawBands(canvas, steps, rows, now, at = rows.length - 1, patterned = now.length > 8) {
  const theme = readTheme(canvas),
    [ctx, w, h] = fit(canvas),
    E = now.length,
    right = w - 66,
    bottom = h - 20;
  const X = (f) => Math.max(f === at ? 6 : 0, (right * (steps[f] - steps[0])) / (steps.at(-1) - steps[0] || 1));
  const edge = Array(at + 1).fill(0),
    labels = [];
  let sofar = 0;
  for (let e = 0; e < E; e++) {
    const band = new Path2D();
    band.moveTo(0, bottom * edge[0]);
    for (let f = 0; f <= at; f++) band.lineTo(X(f), bottom * edge[f]);
    for (let f = at; f >= 0; f--) band.lineTo(X(f), bottom * (edge[f] += rows[f][e]));
    band.lineTo(0, bottom * edge[0]);
    ctx.fillStyle = theme.experts[e];
    ctx.fill(band);
    if (patterned && e > 3) ((ctx.fillStyle = hatch(ctx, e, theme)), ctx.fill(band));
    ctx.strokeStyle = theme.ground;
    ctx.stroke(band);
    if (now[e] >= DEAD) labels.push([e, bottom * (sofar + now[e] / 2)]);
    sofar += now[e];
  }
  const gap = Math.min(15, (bottom - 14) / (labels.length - 1 || 1)),
    small = gap < 13; // labels that collide move apart
  labels.forEach((own, i) => (own[1] = Math.max(own[1], i ? labels[i - 1][1] + gap : 7)));
  for (let i = labels.length - 1; i >= 0; i--)
    labels[i][1] = Math.min(labels[i][1], i < labels.length - 1 ? labels[i + 1][1] - gap : bottom - 7);
  for (const [e, y] of labels) {
    drawBadge(ctx, e, X(at) + 14, y, small ? 5.5 : 7, false, theme);
    write(ctx, theme, percent(now[e]), X(at) + 26, y + 4, "left", theme.text);
  }
  write(ctx, theme, `step ${steps[0]}`, 0, h - 4, "left");
  if (steps.length > 1) write(ctx, theme, steps.at(-1), right, h - 4, "right");
}
// Lines over the steps, [{values, words}, ...], with words where they end. The first is the message: after frame `at` it
// is pale. The others are dashed, and cut off where they leave its scale.
export function drawLines(canvas, steps, lines, low, high, at = steps.length - 1) {
  const theme = readTheme(canvas),
    [ctx, w, h] = fit(canvas),
    last = steps.length - 1;
  ctx.font = `600 11.5px ${theme.font}`;
  const right = w - 12 - Math.max(...lines.map(({ words }) => ctx.measureText(words).width));
  const X = (f) => 30 + ((right - 30) * (steps[f] - steps[0])) / (steps[last] - steps[0] || 1),
    Y = (v) => h - 20 - ((h - 30) * (Math.min(v, high) - low)) / (high - low);
  const line = (y, from, to) => (
    ctx.beginPath(),
    y.slice(from, to + 1).forEach((v, i) => ctx.lineTo(X(from + i), Y(v))),
    ctx.stroke()
  );
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.line;
  for (const v of [low, (low + high) / 2, high]) {
    (ctx.beginPath(), ctx.moveTo(30, Math.round(Y(v)) + 0.5), ctx.lineTo(right, Math.round(Y(v)) + 0.5), ctx.stroke());
    write(ctx, theme, +v.toPrecision(2), 0, Y(v) + 4, "left");
  }
  write(ctx, theme, `step ${steps[0]}`, 30, h - 4, "left");
  if (last) write(ctx, theme, steps[last], right, h - 4, "right");
  ctx.lineJoin = "round";
  ctx.lineWidth = 2;
  let above = -99;
  lines.forEach(({ values, words }, i) => {
    const [x, y] = [X(at), Y(values[at])],
      colour = i ? theme.muted : theme.text;
    ctx.setLineDash(i ? [5, 3] : []);
    if (!i) ((ctx.strokeStyle = theme.border), line(values, at, last));
    ((ctx.strokeStyle = colour), line(values, 0, at));
    if (!i) (ctx.beginPath(), ctx.arc(x, y, 4, 0, 7), (ctx.fillStyle = colour), ctx.fill());
    let place = y + (x > right - 12 ? 4 : -8);
    if (Math.abs(place - above) < 14) place = above + (place > above && above < h - 16 ? 14 : -14);
    write(ctx, theme, words, Math.min(right, x) + 8, (above = place), "left", colour, i ? 400 : 600);
  });
}
// The end of a scale: the next round number.
export function roundUp(v) {
  if (!(v > 0)) return v || 1;
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((m) => m * power >= v * 0.999) * power;
}
