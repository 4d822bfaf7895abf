// The history of the training: the shares as bands, and the losses as lines.
import { el } from "../../web/dom.js";
import { shareWords } from "../../web/words.js";
import { drawHistory } from "../../web/draw/charts.js";
import { group, heading, makeCanvas } from "../panels/elements.js";
import { lossTitle, sharesTitle } from "../words.js";

export function makeTime() {
  const bands = makeCanvas("shares");
  const curve = makeCanvas("loss");
  const sharesAbove = heading();
  const lossAbove = heading("Loss per training step, averaged over twenty.");
  const part = (above, canvas) => el("div", {}, above.node, el("div", { className: "pg-chart" }, canvas));
  const node = group("pg-time", "Over time", part(sharesAbove, bands), part(lossAbove, curve));

  function draw(frame, { words }, { patterned }) {
    const { history } = frame;
    const last = history.at(-1);
    const shares = Array.from(last.shares);
    node.classList.toggle("pg-tall", shares.length > 9);
    drawHistory(bands, curve, history, words.losses, patterned);
    sharesAbove.title(sharesTitle(frame, words));
    lossAbove.title(lossTitle(frame));
    const end = shareWords(shares, words.part);
    bands.ariaLabel = `Usage over ${last.step} steps. ${sharesAbove.words()}. At the end: ${end}.`;
    curve.ariaLabel = `Loss over ${last.step} steps. ${lossAbove.words()}.`;
  }
  return { node, draw, show: ({ words }) => sharesAbove.explain(words.sharesNote) };
}
