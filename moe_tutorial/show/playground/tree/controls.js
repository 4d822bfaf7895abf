// A tree has no controls beside those of its settings. Its panel is the picture of the points' paths.
import { el } from "../../web/dom.js";
import { DEAD, percent, shareWords } from "../../web/words.js";
import { makeCanvas } from "../panels/elements.js";
import { drawFlow } from "./draw.js";
import { letter, partsTitle } from "./words.js";

function descent() {
  const canvas = makeCanvas("flow");
  const node = el("div", { className: "pg-flow" }, canvas);
  let leaves = 0;
  function draw(frame, { dead, patterned }) {
    const { now, settings, inspected } = frame;
    if (dead.length !== leaves) {
      leaves = dead.length;
      node.style.height = `${30 + 50 * settings.depth}px`;
      node.closest(".moe-widget")?.style.setProperty("--leaves", leaves);
    }
    if (frame.hurried && !frame.settled) return; // while a slider moves, only the map is drawn
    drawFlow(canvas, settings, now, inspected, { dead, patterned });
    const questions = Array.from(now.nodes, (part, n) =>
      part < DEAD ? "" : `Question ${letter(n)} is put to ${percent(part)} of the points. `,
    );
    canvas.ariaLabel =
      `The tree. ${partsTitle(frame)}. ${questions.join("")}` +
      `Shares of the leaves: ${shareWords(Array.from(now.shares), "leaf")}. ` +
      `The inspected point goes down ${inspected.path.map(letter).join(", ")} to leaf ${inspected.leaf}.`;
  }
  return { node, draw };
}

export const treeControls = { panel: descent, idle: () => [], labels: () => ({}) };
