// The parts that do the work, experts or leaves: what each is used for, and what each would predict.
import { el, subtitle } from "../web/dom.js";
import { fairWords, percent } from "../web/words.js";
import { badge } from "../web/shares.js";
import { makeCanvas, set, square } from "./map.js";
import { drawExpert } from "./pictures.js";
import { usageTitle, useWords } from "./words.js";

const SIDE = 44; // places along the side of a part's picture
const makeNote = () => el("p", { className: "moe-note" });

// The bars.
export function makeUsage() {
  const title = subtitle();
  const note = makeNote();
  const fair = makeNote();
  const bars = el("ol", { className: "moe-shares" });
  const node = el("div", { className: "pg-usage", role: "group", ariaLabel: "Usage" }, title, note, bars, fair);
  const bar = (_, e) =>
    `<li>${badge(e)}<span class="moe-track"><i style="--c:var(--moe-e${e});--o:var(--moe-on${e})"></i><b></b></span><span class="moe-r"></span></li>`;

  function draw(frame, { words }, { dead, patterned }) {
    const { shares } = frame.now;
    const E = shares.length;
    const top = Math.max(...shares, 0.25);
    if (bars.children.length !== E) bars.innerHTML = Array.from(shares, bar).join("");
    shares.forEach((share, e) => {
      const [mark, track, said] = bars.children[e].children;
      const [filled, line] = track.children;
      mark.classList.toggle("moe-dead", dead[e]);
      filled.className = patterned ? `moe-p${e >> 2}` : "";
      filled.style.width = dead[e] ? "0" : `${((100 * share) / top).toFixed(1)}%`;
      line.style.left = `${(100 / E / top).toFixed(1)}%`;
      set(said, useWords(share, frame.knocked[e]));
      said.classList.toggle("moe-muted", dead[e]);
    });
    set(title, usageTitle(frame, words));
    set(note, words.usageNote(frame.settings));
    set(fair, fairWords(E));
  }
  return { node, draw };
}

// The small pictures; `above`: what kinds put over them.
export function makeSmalls(above) {
  const title = subtitle();
  const note = makeNote();
  const list = el("ul", { className: "pg-smalls" });
  const node = el("div", { className: "pg-experts", role: "group", ariaLabel: "Each by itself" });
  node.append(title, note, ...above, list);

  function makeRoom(E) {
    while (list.children.length > E) list.lastChild.remove();
    for (let e = list.children.length; e < E; e++) {
      const caption = el("div", { className: "pg-cap", innerHTML: `${badge(e)}<span></span>` });
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
        const says = frame.partPlane(e, SIDE);
        const how = { dead: dead[e], patterned };
        drawExpert(picture, e, says, Math.sqrt(says.length), plane, frame.data.classes, how);
      }
      const use = dead[e] ? "dead, nobody asks it" : `used for ${percent(share)}`;
      picture.ariaLabel = `What ${words.part} ${e} would predict; ${use}.`;
    });
    set(title, words.partsTitle(frame));
  }
  return { node, draw, show: ({ words }) => set(note, words.partsNote) };
}

// The measures, in figures.
export function makeReads() {
  const node = el("dl", { className: "pg-reads" });
  const row = ([name]) => `<div><dt>${name}</dt><dd><b></b><small></small></dd></div>`;
  function draw(frame, { words }) {
    words.reads(frame).forEach(([, value, unit], i) => {
      const [number, small] = node.children[i].lastChild.children;
      set(number, String(value));
      set(small, unit);
    });
  }
  let shown;
  function show(frame, kind) {
    if (shown !== kind) node.innerHTML = kind.words.reads(frame).map(row).join("");
    shown = kind;
  }
  return { node, draw: (frame, kind) => (show(frame, kind), draw(frame, kind)) };
}
