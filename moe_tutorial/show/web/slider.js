// @ts-check
// A slider of an experiment's setting: its places are stops, powers of ten, or even steps.
import { el, field, tell } from "./dom.js";

/** @typedef {{ stops?: number[], scale?: string, from?: number, to?: number, step?: number }} Scale */

/** @param {number} v */
export const short = (v) => String(Number.isInteger(v) ? v : +v.toPrecision(2));

/** The range of places, the value at a place, the place of a value, and a value in figures. @param {Scale} scale */
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

/** What a setting's values are called: `choices` names all, `words` some and "else" the others, with # for the figures.
 * @param {{ slider?: Scale, words?: Record<string, string>, choices?: Record<string, string> }} setting
 * @returns {(value: any) => string} */
export function sayOf({ slider, words = {}, choices }) {
  if (choices) return (value) => choices[value];
  const { write } = slider ? readScale(slider) : { write: short };
  return (value) => words[value] ?? (words.else ?? "#").replace("#", write(value));
}

/** The slider; `words` as above; `change` hears of moves. show(value, most) puts it there, and allows no more than that.
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
