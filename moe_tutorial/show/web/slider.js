// @ts-check
// A slider for a setting of an experiment. Its positions are given values, powers of ten, or equal steps.
import { el, field, tell } from "./dom.js";

/** @typedef {{ stops?: number[], scale?: string, from?: number, to?: number, step?: number }} Scale */

/** @param {number} v */
export const short = (v) => String(Number.isInteger(v) ? v : +v.toPrecision(2));

/** The input's range, and functions from position to value, from value to position, and from value to text.
 * @param {Scale} scale */
function readScale({ stops, scale, from, to, step }) {
  if (stops) {
    const nearest = (v) => stops.reduce((a, b, i) => (Math.abs(b - v) < Math.abs(stops[a] - v) ? i : a), 0);
    return { range: { min: 0, max: stops.length - 1, step: 1 }, value: (i) => stops[i], place: nearest, write: short };
  }
  const range = { min: from, max: to, step };
  if (scale) return { range, value: (p) => +(10 ** p).toPrecision(2), place: Math.log10, write: short };
  const decimals = String(step).split(".")[1]?.length ?? 0;
  const write = (v) => v.toFixed(decimals);
  return { range, value: (v) => +write(v), place: (v) => v, write };
}

/** A function from a setting's value to text: `choices` has all values, `words` has some, and the others are numbers.
 * @param {{ slider?: Scale, words?: Record<string, string>, choices?: Record<string, string> }} setting
 * @returns {(value: any) => string} */
export function sayOf({ slider, words = {}, choices }) {
  if (choices) return (value) => choices[value];
  const { write } = slider ? readScale(slider) : { write: short };
  return (value) => words[value] ?? write(value);
}

/** A slider that calls `change` when it moves. show(value, most) sets its value and its maximum; `words` as above.
 * @param {{ label: string, slider: Scale, words?: Record<string, string> }} setting
 * @param {(value: number) => void} change */
export function makeSlider(setting, change) {
  const { label, slider } = setting;
  const { range, value, place } = readScale(slider);
  const input = el("input", { type: "range", ...range });
  const node = field(label, input);
  const say = sayOf(setting);
  function show(now, most = range.max) {
    input.max = Math.min(range.max, most);
    input.value = place(now);
    tell(input, say(now));
  }
  input.oninput = () => {
    const now = value(+input.value);
    tell(input, say(now));
    change(now);
  };
  return { node, inputs: [input], show, say };
}
