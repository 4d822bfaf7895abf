// The pictures that only a tree has: the points' paths, and the questions as lines in the plane. Questions have
// letters, from A at the root, level by level, because numbers are leaves.
import { DEAD, percent } from "../../web/words.js";
import { SHAPES, circle, drawBadge, fill, fit, hatch, label, lineThrough, stroke, write } from "../../web/draw/pen.js";
import { mix, readTheme, rgb } from "../../web/draw/pen.js";
import { placeOf } from "../../web/draw/plane.js";
import { number } from "../../web/draw/shares.js";
import { pullWords } from "../words.js";
import { letter } from "./words.js";

const COLUMN_GAP = 8; // between the leaves' small pictures, which are below the leaves of the tree
const parentOf = (n) => (n - 1) >> 1;
const levelOf = (n) => Math.floor(Math.log2(n + 1));
const css = (colour) => `rgb(${colour.map(Math.round).join()})`;

/** Positions of nodes and leaves, and the width of a stream of all points. `widest(n)` is n's widest stream, as a share
 * of the points. */
function layOut(w, h, depth, widest) {
  const radius = w < 30 * 2 ** depth ? 8 : 10.5;
  const top = radius + 3;
  const gap = (h - top - radius - 4) / depth;
  const full = Math.min(150, 0.34 * w);
  const Y = (n) => top + gap * levelOf(n);
  // The middle of the leaves below, moved so that wide streams stay in the picture.
  function X(n) {
    const column = (w + COLUMN_GAP) / 2 ** levelOf(n);
    const middle = (n + 1.5 - 2 ** levelOf(n)) * column - COLUMN_GAP / 2;
    const half = Math.max(radius + 1, (full * widest(n)) / 2);
    return Math.max(half + 1, Math.min(w - half - 1, middle));
  }
  return { radius, gap, full, X, Y };
}

/** The stream from a node's parent to the node, as wide as its share in `amounts`. */
function streamOf(n, amounts, { full, X, Y }) {
  const parent = parentOf(n);
  const [from, to] = [Y(parent), Y(n)];
  const bend = (to - from) / 2;
  const width = full * amounts[n];
  const x = X(n) - width / 2;
  const both = full * (amounts[2 * parent + 1] + amounts[2 * parent + 2]);
  const start = X(parent) - both / 2 + (n % 2 ? 0 : full * amounts[n - 1]); // beside its left sibling
  const path = new Path2D();
  path.moveTo(start, from);
  path.bezierCurveTo(start, from + bend, x, to - bend, x, to);
  path.lineTo(x + width, to);
  path.bezierCurveTo(x + width, to - bend, start + width, from + bend, start + width, from);
  path.closePath();
  return path;
}

/** A curve through nodes. */
function lineOf(nodes, { gap, X, Y }) {
  const path = new Path2D();
  path.moveTo(X(nodes[0]), Y(nodes[0]));
  nodes.slice(1).forEach((n, i) => {
    const middle = Y(n) - gap / 2;
    path.bezierCurveTo(X(nodes[i]), middle, X(n), middle, X(n), Y(n));
  });
  return path;
}

// Draw the points' paths. The width of a stream is its share of the points: solid for hard decisions, pale for the soft
// mixture. The strong line is the inspected point's path.
export function drawFlow(canvas, { depth }, { shares, nodes, weights }, { path, leaf }, { dead, patterned }) {
  const theme = readTheme(canvas);
  const [ctx, w, h] = fit(canvas);
  const NODES = nodes.length;
  const all = [...nodes, ...shares];
  const parts = [...all.keys()].slice(1);
  const place = layOut(w, h, depth, (n) => Math.max(all[n], weights[n]));
  const { radius, full, X, Y } = place;
  const grey = (amount) => css(mix(rgb(theme.muted), rgb(theme.ground), amount));

  for (const n of parts) fill(ctx, streamOf(n, weights, place), grey(0.2));
  for (const n of parts) {
    if (all[n] < DEAD) {
      stroke(ctx, lineOf([parentOf(n), n], place), theme.border, 1, [3, 3]);
      continue;
    }
    const e = n - NODES;
    const stream = streamOf(n, all, place);
    fill(ctx, stream, e < 0 ? grey(0.6) : theme.experts[e]);
    if (patterned && e > 3) fill(ctx, stream, hatch(ctx, e, theme));
    stroke(ctx, stream, theme.ground, 1);
  }
  const way = lineOf([...path, NODES + leaf], place);
  stroke(ctx, way, theme.ground, 5);
  stroke(ctx, way, theme.accent, 2.2);

  for (let n = 0; n < NODES; n++) {
    drawLetter(ctx, n, X(n), Y(n), radius, theme, nodes[n] < DEAD, path.includes(n));
    const room = w / 2 ** levelOf(n) / 2 - radius;
    if (nodes[n] < DEAD || room < 40) continue;
    const words = `${percent(all[2 * n + 2] / nodes[n])} →`;
    const aside = Math.max(radius, (full * nodes[n]) / 2) + 5;
    const fits = X(n) + aside + 44 < w;
    write(ctx, theme, words, X(n) + (fits ? aside : -aside), Y(n) + 4, fits ? "left" : "right");
  }
  shares.forEach((_, e) => drawBadge(ctx, e, X(NODES + e), Y(NODES + e), radius, dead[e], theme));
}

function drawLetter(ctx, n, x, y, radius, theme, unasked = false, strong = false) {
  const line = unasked ? theme.border : theme.text;
  const disc = circle(x, y, radius);
  fill(ctx, disc, theme.ground);
  stroke(ctx, disc, strong ? theme.accent : line, strong ? 2 : 1.2, unasked ? [3, 2] : []);
  label(ctx, letter(n), x, y, radius * 1.2, unasked ? theme.muted : theme.text, theme);
}

// Draw each question's line in its part of the plane, thinner on lower levels. The returned function draws the letters
// of lines that are long enough, above the points.
function drawLines(ctx, { now, data }, width, theme) {
  const drawn = now.lines.filter((line) => line.ends);
  const ends = drawn.map((line) => line.ends.map((end) => placeOf(end, 0, data.extent, width)));
  ctx.lineCap = "round";
  for (let i = drawn.length - 1; i >= 0; i--) {
    const thin = [2.8, 2.1, 1.5, 1.1][drawn[i].level];
    const path = lineThrough(ends[i]);
    stroke(ctx, path, theme.ground, thin + 3);
    stroke(ctx, path, theme.text, thin);
  }
  ctx.lineCap = "butt";
  return () =>
    drawn.forEach(({ node }, i) => {
      const [[x, y], [u, v]] = ends[i];
      if (Math.hypot(x - u, y - v) > 40) drawLetter(ctx, node, (x + u) / 2, (y + v) / 2, 8, theme);
    });
}

// The inspected point's path: the questions, then the leaf.
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
  cost: ({ depth, leaf_width }) => 2 ** depth * leaf_width, // neurons to compute at a point
  scattered: () => false,
  overlay: drawLines,
  rows,
};
