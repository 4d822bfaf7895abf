// Panels about the parts of a layer, experts or leaves: their usage, and their own predictions.
import { el, note, renew } from "../../web/dom.js";
import { bars, number } from "../../web/draw/shares.js";
import { fairWords, useWords } from "../../web/words.js";
import { group, heading, makeCanvas, set, square } from "../panels/elements.js";
import { drawExpert } from "./pictures.js";
import { usageTitle } from "../words.js";

const SIDE = 44; // grid points along the side of a part's picture

// The bars of the usage. Where experts can be knocked out, a bar is the button that does it: knock(expert, out).
export function makeUsage(knock) {
  const above = heading();
  const list = el("ol", { className: "moe-shares" });
  const fair = note();
  let frame;
  const isLast = (e) => !frame.knocked[e] && frame.knocked.filter((gone) => !gone).length === 1;
  list.onclick = ({ target }) => {
    const e = [...list.children].findIndex((bar) => bar.contains(target.closest("button")));
    if (e >= 0 && !isLast(e)) knock(e, !frame.knocked[e]);
  };
  function pressed(bar, e) {
    const title = frame.knocked[e] ? "Bring it back" : "Knock it out";
    const name = el("span", { className: "moe-sr" }, "Expert ");
    return el("li", {}, el("button", { type: "button", title, "aria-disabled": isLast(e) }, name, ...bar.childNodes));
  }

  function draw(next, { words, controls }, { patterned }) {
    frame = next;
    const shares = Array.from(frame.now.shares);
    const said = shares.map((share, e) => useWords(share, frame.knocked[e]));
    const rows = bars(shares, said, patterned);
    renew(list, ...(controls.knocks ? rows.map(pressed) : rows));
    above.title(usageTitle(frame, words));
    above.explain(words.usageNote(frame.settings));
    set(fair, fairWords(shares.length) + (controls.knocks ? " Press a bar to knock its expert out." : ""));
  }
  return { node: group("pg-usage", "Usage", above.node, list, fair), draw };
}

// The small pictures; `between`: nodes of the kinds above them.
export function makeSmalls(between) {
  const above = heading();
  const list = el("ul", { className: "pg-smalls" });

  // Items are hidden, not removed, because a slider that moves back needs them again.
  function makeRoom(E) {
    [...list.children].forEach((item, e) => (item.hidden = e >= E));
    for (let e = list.children.length; e < E; e++) {
      const caption = el("div", { className: "pg-cap" }, number(e), el("span"));
      list.append(el("li", {}, caption, square(makeCanvas(`expert-${e}`))));
    }
  }

  // In motion a quarter of the pictures is drawn per frame, and none while a slider moves.
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
      picture.ariaLabel = `What ${words.part} ${e} would predict; its share: ${useWords(share, frame.knocked[e])}.`;
    });
    above.title(words.partsTitle(frame));
  }
  const node = group("pg-experts", "Each by itself", above.node, ...between, list);
  return { node, draw, show: ({ words }) => above.explain(words.partsNote) };
}

// The measures as numbers.
export function makeReads() {
  const list = el("dl", { className: "pg-reads" });
  const above = heading("In figures");
  above.title("In figures");
  const node = group("pg-figures", "In figures", above.node, list);
  const row = ([name, value, unit]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, el("b", {}, String(value)), el("small", {}, unit)));
  const draw = (frame, { words }) => renew(list, ...words.reads(frame).map(row));
  return { node, draw, show: ({ words }) => above.explain(words.readsNote) };
}
