// @ts-check
// Elements that show experts' numbers and shares.
import { el, note, renew, subtitle } from "../dom.js";
import { DEAD, fairWords, useWords } from "../words.js";

/** An inline style with an expert's colours: its own, that of text on it, and its tint. @param {number} e */
export const dye = (e) => `--c:var(--moe-e${e});--o:var(--moe-on${e});--t:var(--moe-t${e})`;
/** Index of an expert's pattern, 0 to 3; only colours of more than eight experts have patterns.
 * @param {number} e @param {number} E */
export const pattern = (e, E) => (E > 8 ? e >> 2 : 0);

/** An expert's number on its colour. @param {number} e @param {boolean} dead */
export const number = (e, dead = false) =>
  el("span", { className: `moe-badge${dead ? " moe-dead" : ""}`, style: dye(e) }, String(e));

/** A list item: an expert's number, a bar that fills `part` of its track, with a line at `fair`, and a text.
 * @param {number} e @param {boolean} patterned
 * @param {{ dead: boolean, part: number, fair?: number, words: Node | string }} bar */
function barRow(e, patterned, { dead, part, fair, words }) {
  const colour = dead ? "--c:var(--moe-border);" : "";
  const style = `${dye(e)};${colour}width:${(100 * part).toFixed(1)}%`;
  const track = el("span", { className: "moe-track" }, el("i", { className: `moe-p${patterned ? e >> 2 : 0}`, style }));
  if (fair) track.append(el("b", { style: `left:${(100 * fair).toFixed(1)}%` }));
  return el("li", {}, number(e, dead), track, el("span", { className: "moe-r" }, words));
}

/** Header cells of the table about one point; the columns from index `figures` on hold numbers.
 * @param {string[]} words */
export const pointHead = (words, figures = 2) =>
  words.map((word, i) => el("th", { scope: "col", className: i < figures ? "" : "moe-r" }, word));
/** A row of that table: a name, a bar with its number, and further cells; pale unless `on`.
 * @param {boolean} on @param {Node | string} name @param {string} bar style @param {string} figure
 * @param {...Node} cells */
export function pointRow(on, name, bar, figure, ...cells) {
  const track = el("span", { className: "moe-bar" }, el("i", { style: bar }), figure);
  return el(
    "tr",
    { className: on ? "moe-on" : "moe-off" },
    el("th", { scope: "row" }, name),
    el("td", {}, track),
    ...cells,
  );
}
/** @param {...(Node | string)} words */
export const figureCell = (...words) => el("td", { className: "moe-r" }, ...words);

/** One bar per expert, as long as its share of the row, with a line at the fair share.
 * @param {number[]} now @param {string[]} said */
export function bars(now, said = now.map((share) => useWords(share)), patterned = now.length > 8) {
  return now.map((share, e) => {
    const dead = share < DEAD;
    const words = dead ? el("span", { className: "moe-muted" }, said[e]) : said[e];
    return barRow(e, patterned, { dead, part: dead ? 0 : share, fair: 1 / now.length, words });
  });
}

/** A panel with the shares at one step of a training.
 * @param {number} E @param {...Node} remarks between the title and the bars */
export function sharePanel(E, ...remarks) {
  const title = subtitle();
  const list = el("ol", { className: "moe-shares" });
  return {
    nodes: [title, ...remarks, list, note(fairWords(E))],
    /** @param {number} step @param {number[]} now */
    draw(step, now) {
      title.textContent = `Shares at step ${step}`;
      renew(list, ...bars(now));
    },
  };
}
