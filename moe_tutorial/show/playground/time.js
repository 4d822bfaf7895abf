// What happened in training: the shares as bands, the losses as lines.
import { el, subtitle } from "../web/dom.js";
import { shareWords } from "../web/words.js";
import { drawBands, drawLines, roundUp } from "../web/charts.js";
import { makeCanvas, set } from "./map.js";
import { lossTitle, sharesTitle } from "./words.js";

const LOSSES = ["hardening", "balance"]; // beside the task, where there are any

export function makeTime() {
  const bands = makeCanvas("shares");
  const curve = makeCanvas("loss");
  const sharesAbove = subtitle();
  const lossAbove = subtitle();
  const note = el("p", { className: "moe-note" });
  const lossNote = el("p", { className: "moe-note" }, "Loss per training step, averaged over twenty.");
  const boxes = [bands, curve].map((canvas) => el("div", { className: "pg-chart" }, canvas));
  const node = el(
    "div",
    { className: "pg-time", role: "group", ariaLabel: "Over time" },
    el("div", {}, sharesAbove, note, boxes[0]),
    el("div", {}, lossAbove, lossNote, boxes[1]),
  );

  function draw(frame, { words }, { patterned }) {
    const { history } = frame;
    const steps = history.map((row) => row.step);
    const last = history.at(-1);
    const shares = Array.from(last.shares);
    for (const box of boxes) box.classList.toggle("pg-tall", shares.length > 9);
    drawBands(
      bands,
      steps,
      history.map((row) => row.shares),
      shares,
      history.length - 1,
      patterned,
    );
    const lines = [{ values: history.map((row) => row.task), words: `task ${last.task.toFixed(2)}` }];
    for (const name of LOSSES) {
      const values = history.map((row) => row[name]);
      if (values.some(Boolean)) lines.push({ values, words: `${name} ${+last[name].toPrecision(2)}` });
    }
    drawLines(curve, steps, lines, 0, roundUp(Math.max(...lines[0].values)));
    set(sharesAbove, sharesTitle(frame, words));
    set(lossAbove, lossTitle(frame));
    const end = shareWords(shares, words.part);
    bands.ariaLabel = `Usage over ${last.step} steps. ${sharesAbove.textContent}. At the end: ${end}.`;
    curve.ariaLabel = `Loss over ${last.step} steps. ${lossAbove.textContent}.`;
  }
  return { node, draw, show: ({ words }) => set(note, words.sharesNote) };
}
