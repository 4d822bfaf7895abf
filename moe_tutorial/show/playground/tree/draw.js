// A tree's own pictures: the points on their way down, and the questions as lines in the plane. Questions are letters,
// from A at the root, level by level, since numbers are leaves.
import { DEAD, percent } from "../../web/words.js";
import { SHAPES, circle, drawBadge, fit, hatch, mix, readTheme, rgb, write } from "../../web/pen.js";
import { number } from "../../web/shares.js";
import { pullWords } from "../words.js";
import { letter } from "./words.js";

const columnGap = 8; // between the leaves' small pictures, which stand under the leaves of the tree

// Widths are points: solid as hard decisions lead them, pale as the soft mixture spreads them. A strong line is the
// inspected point's way.
export function drawFlow(canvas, { depth }, { shares, nodes, weights }, { path, leaf }, { dead, patterned }) {
  const theme = readTheme(canvas),
    [ctx, w, h] = fit(canvas),
    L = 2 ** depth,
    NODES = L - 1,
    all = [...nodes, ...shares];
  const small = w / L < 30,
    radius = small ? 8 : 10.5,
    top = radius + 3,
    gap = (h - top - radius - 4) / depth,
    full = Math.min(150, 0.34 * w);
  const level = (n) => Math.floor(Math.log2(n + 1)),
    Y = (n) => top + gap * level(n);
  // The middle of the leaves below; wide streams keep inside the picture.
  const X = (n) => {
    const below = 2 ** (depth - level(n)),
      middle = ((n + 1 - 2 ** level(n) + 0.5) * below * (w + columnGap)) / L - columnGap / 2,
      half = Math.max(radius + 1, (full * Math.max(all[n], weights[n])) / 2);
    return Math.max(half + 1, Math.min(w - half - 1, middle));
  };
  const stream = (n, amounts, from, to) => {
    const x = X(n) - (full * amounts[n]) / 2,
      width = full * amounts[n],
      path = new Path2D(),
      bend = (to - from) / 2;
    const parent = (n - 1) >> 1,
      sibling = n % 2 ? 0 : full * amounts[n - 1],
      start = X(parent) - (full * (amounts[2 * parent + 1] + amounts[2 * parent + 2])) / 2 + sibling;
    path.moveTo(start, from);
    path.bezierCurveTo(start, from + bend, x, to - bend, x, to);
    path.lineTo(x + width, to);
    path.bezierCurveTo(x + width, to - bend, start + width, from + bend, start + width, from);
    path.closePath();
    return path;
  };
  const parts = all.map((_, n) => n).slice(1),
    pale = mix(rgb(theme.muted), rgb(theme.ground), 0.2),
    solid = mix(rgb(theme.muted), rgb(theme.ground), 0.6);
  const css = (colour) => `rgb(${colour.map(Math.round).join()})`;
  for (const n of parts) ((ctx.fillStyle = css(pale)), ctx.fill(stream(n, weights, Y((n - 1) >> 1), Y(n))));
  for (const n of parts) {
    const from = Y((n - 1) >> 1),
      e = n - NODES;
    if (all[n] < DEAD) {
      ctx.setLineDash([3, 3]);
      ctx.lineWidth = 1;
      ctx.strokeStyle = theme.border;
      ctx.beginPath();
      ctx.moveTo(X((n - 1) >> 1), from);
      ctx.bezierCurveTo(X((n - 1) >> 1), from + gap / 2, X(n), from + gap / 2, X(n), from + gap);
      ctx.stroke();
      ctx.setLineDash([]);
      continue;
    }
    const shape = stream(n, all, from, Y(n));
    ctx.fillStyle = e < 0 ? css(solid) : theme.experts[e];
    ctx.fill(shape);
    if (patterned && e > 3) ((ctx.fillStyle = hatch(ctx, e, theme)), ctx.fill(shape));
    ctx.strokeStyle = theme.ground;
    ctx.lineWidth = 1;
    ctx.stroke(shape);
  }
  const way = [...path, NODES + leaf];
  for (const [colour, width] of [
    [theme.ground, 5],
    [theme.accent, 2.2],
  ]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.beginPath();
    ctx.moveTo(X(0), Y(0));
    way.slice(1).forEach((n, i) => ctx.bezierCurveTo(X(way[i]), Y(n) - gap / 2, X(n), Y(n) - gap / 2, X(n), Y(n)));
    ctx.stroke();
  }
  for (let n = 0; n < NODES; n++) {
    drawLetter(ctx, n, X(n), Y(n), radius, theme, nodes[n] < DEAD, path.includes(n));
    const room = w / 2 ** level(n) / 2 - radius;
    if (nodes[n] < DEAD || room < 40) continue;
    const words = `${percent(all[2 * n + 2] / nodes[n])} →`,
      aside = Math.max(radius, (full * nodes[n]) / 2) + 5,
      fits = X(n) + aside + 44 < w;
    write(ctx, theme, words, X(n) + (fits ? aside : -aside), Y(n) + 4, fits ? "left" : "right");
  }
  shares.forEach((_, e) => drawBadge(ctx, e, X(NODES + e), Y(NODES + e), radius, dead[e], theme));
}

function drawLetter(ctx, n, x, y, radius, theme, unasked, strong) {
  circle(ctx, x, y, radius);
  ctx.fillStyle = theme.ground;
  ctx.fill();
  ctx.setLineDash(unasked ? [3, 2] : []);
  ctx.lineWidth = strong ? 2 : 1.2;
  ctx.strokeStyle = strong ? theme.accent : unasked ? theme.border : theme.text;
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.fillStyle = unasked ? theme.muted : theme.text;
  ctx.font = `600 ${Math.round(radius * 1.2)}px ${theme.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(letter(n), x, y + 0.5);
}

// Each question's line where it is asked, thinner from level to level, with its letter where there is room.
// They are drawn below the points; what is returned draws the letters, above them.
function drawLines(ctx, { now, data }, width, theme) {
  const [left, right, bottom, top] = data.extent;
  const place = ([u, v]) => [((u - left) / (right - left)) * width, ((top - v) / (top - bottom)) * width];
  const drawn = now.lines.filter((line) => line.ends).map((line) => ({ ...line, ends: line.ends.map(place) }));
  ctx.lineCap = "round";
  for (const {
    ends: [a, b],
    level,
  } of drawn.reverse()) {
    for (const [colour, wide] of [
      [theme.ground, 3],
      [theme.text, 0],
    ]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = wide + [2.8, 2.1, 1.5, 1.1][level];
      ctx.beginPath();
      ctx.moveTo(...a);
      ctx.lineTo(...b);
      ctx.stroke();
    }
  }
  ctx.lineCap = "butt";
  return () => {
    for (const { node, ends } of drawn) {
      const [a, b] = ends;
      if (Math.hypot(a[0] - b[0], a[1] - b[1]) > 40)
        drawLetter(ctx, node, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2, 8, theme);
    }
  };
}

// The inspected point's way down: the questions, then the leaf.
function rows({ inspected: { right, weights, gradient, path, leaf, says } }, dead) {
  let arriving = 1;
  const questions = path.map((n, i) => {
    const next = path[i + 1] ?? leaf + right.length;
    const rightwards = next === 2 * n + 2;
    arriving *= rightwards ? right[n] : 1 - right[n];
    return {
      on: true,
      name: letter(n),
      bar: `--c:var(--moe-muted);width:${(16 * right[n]).toFixed(1)}px`,
      number: right[n].toFixed(2),
      sign: rightwards ? "→" : "←",
      said: rightwards ? "right" : "left",
      weight: arriving.toFixed(2),
      pull: pullWords(-gradient[n]),
    };
  });
  const { sign, name } = SHAPES[says[leaf]];
  const end = { on: true, name: number(leaf, dead[leaf]), bar: "display:none", number: "", sign, said: name };
  return [...questions, { ...end, weight: weights[leaf].toFixed(2), pull: "" }];
}

export const treePictures = {
  cost: ({ depth, leaf_width }) => 2 ** depth * leaf_width, // neurons that are asked at a place
  scattered: () => false,
  overlay: drawLines,
  rows,
};
