// The parts of the pictures that only a mixture has, such as the rows of an inspected point.
import { SHAPES } from "../../web/draw/pen.js";
import { number } from "../../web/draw/shares.js";
import { pullWords } from "../words.js";

// The chosen experts, and the next most probable ones.
function rows({ inspected: p, settings: { E, k } }, dead) {
  const asked = (e) => +p.chosen.includes(e);
  const order = Array.from(p.probs, (_, e) => e).sort((a, b) => asked(b) - asked(a) || p.probs[b] - p.probs[a]);
  return order.slice(0, Math.min(E, Math.max(k + 2, 4))).map((e) => {
    const at = p.chosen.indexOf(e);
    return {
      on: at >= 0,
      name: number(e, dead[e]),
      bar: `--c:var(--moe-${dead[e] ? "border" : `e${e}`});width:${(36 * Math.min(1, p.probs[e])).toFixed(1)}px`,
      number: p.probs[e].toFixed(2),
      sign: SHAPES[p.says[e]].sign,
      said: SHAPES[p.says[e]].name,
      weight: at < 0 ? "–" : p.weights[at].toFixed(2),
      pull: pullWords(-p.gradient[e]),
    };
  });
}

export const mixturePictures = {
  cost: ({ E, k, width }) => E + k * width, // neurons to compute at a point
  scattered: ({ gate }) => gate === "hash",
  overlay: () => null,
  rows,
};
