// The parts that do the work, experts or leaves: what each is used for, and what each would predict.
import { el, note, renew, subtitle } from "../web/dom.js";
import { drawBars, number } from "../web/shares.js";
import { fairWords, percent, useWords } from "../web/words.js";
import { group, makeCanvas, set, square } from "./elements.js";
import { drawExpert } from "./pictures.js";
import { usageTitle } from "./words.js";

const SIDE = 44; // places along the side of a part's picture

// The bars.
export function makeUsage() {
  const title = subtitle();
  const remark = note();
  const bars = el("ol", { className: "moe-shares" });
  const fair = note();

  function draw(frame, { words }, { patterned }) {
    const shares = Array.from(frame.now.shares);
    const said = shares.map((share, e) => useWords(share, frame.knocked[e]));
    drawBars(bars, shares, said, patterned);
    set(title, usageTitle(frame, words));
    set(remark, words.usageNote(frame.settings));
    set(fair, fairWords(shares.length));
  }
  return { node: group("pg-usage", "Usage", title, remark, bars, fair), draw };
}

// The small pictures; `above`: what kinds put over them.
export function makeSmalls(above) {
  const title = subtitle();
  const remark = note();
  const list = el("ul", { className: "pg-smalls" });

  function makeRoom(E) {
    while (list.children.length > E) list.lastChild.remove();
    for (let e = list.children.length; e < E; e++) {
      const caption = el("div", { className: "pg-cap" }, number(e), el("span"));
      list.append(el("li", {}, caption, square(makeCanvas(`expert-${e}`))));
    }
  }

  // In motion a quarter of them is drawn each time, and none while a slider moves.
  function draw(frame, { words }, { dead, patterned, turn, plane, calm }) {
    const { shares } = frame.now;
    makeRoom(shares.length);
    shares.forEach((share, e) => {
      const item = list.children[e];
      const [mark, said] = item.firstChild.children;
      const picture = item.querySelector("canvas");
      item.classList.toggle("pg-dead", dead[e]);
      mark.classList.toggle("moe-dead", dead[e]);
      set(said, useWords(share, frame.knocked[e]));
      if ((frame.settled || (calm && turn % 4 === e % 4)) && picture.clientWidth) {
        const how = { dead: dead[e], patterned };
        drawExpert(picture, e, frame.partPlane(e, SIDE), plane, frame.data.classes, how);
      }
      const use = dead[e] ? "dead, nobody asks it" : `used for ${percent(share)}`;
      picture.ariaLabel = `What ${words.part} ${e} would predict; ${use}.`;
    });
    set(title, words.partsTitle(frame));
  }
  const node = group("pg-experts", "Each by itself", title, remark, ...above, list);
  return { node, draw, show: ({ words }) => set(remark, words.partsNote) };
}

// The measures, in figures.
export function makeReads() {
  const node = el("dl", { className: "pg-reads" });
  const row = ([name, value, unit]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, el("b", {}, String(value)), el("small", {}, unit)));
  return { node, draw: (frame, { words }) => renew(node, ...words.reads(frame).map(row)) };
}
