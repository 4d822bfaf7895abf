// What happened in training: the shares as bands, the losses as lines.
import { el, note, subtitle } from "../web/dom.js";
import { shareWords } from "../web/words.js";
import { drawHistory } from "../web/charts.js";
import { group, makeCanvas, set } from "./elements.js";
import { lossTitle, sharesTitle } from "./words.js";

export function makeTime() {
  const bands = makeCanvas("shares");
  const curve = makeCanvas("loss");
  const sharesAbove = subtitle();
  const lossAbove = subtitle();
  const sharesNote = note();
  const lossNote = note("Loss per training step, averaged over twenty.");
  const part = (above, said, canvas) => el("div", {}, above, said, el("div", { className: "pg-chart" }, canvas));
  const node = group("pg-time", "Over time", part(sharesAbove, sharesNote, bands), part(lossAbove, lossNote, curve));

  function draw(frame, { words }, { patterned }) {
    const { history } = frame;
    const last = history.at(-1);
    const shares = Array.from(last.shares);
    node.classList.toggle("pg-tall", shares.length > 9);
    drawHistory(bands, curve, history, words.losses, patterned);
    set(sharesAbove, sharesTitle(frame, words));
    set(lossAbove, lossTitle(frame));
    const end = shareWords(shares, words.part);
    bands.ariaLabel = `Usage over ${last.step} steps. ${sharesAbove.textContent}. At the end: ${end}.`;
    curve.ariaLabel = `Loss over ${last.step} steps. ${lossAbove.textContent}.`;
  }
  return { node, draw, show: ({ words }) => set(sharesNote, words.sharesNote) };
}
