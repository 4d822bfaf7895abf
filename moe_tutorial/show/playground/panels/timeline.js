// A slider over the steps of the run, with a mark for each change, to go back to any step.
import { el, field, renew, tell } from "../../web/dom.js";
import { figure } from "../../web/words.js";
import { changeWords } from "../words.js";

export function makeTimeline(seek) {
  const input = el("input", { type: "range", min: 0, step: 1, oninput: () => seek(+input.value) });
  const marks = el("div", { className: "pg-marks", ariaHidden: "true" });
  const node = el("div", { className: "pg-timeline" }, field("Go back to step", input));
  node.firstChild.append(marks);

  function draw({ run, step }) {
    const { reached } = run;
    input.max = reached;
    input.value = step;
    input.disabled = !reached;
    tell(input, `${figure(step)} of ${figure(reached)}`);
    const mark = (change) => {
      const style = `left:${((100 * change.at) / Math.max(1, reached)).toFixed(2)}%`;
      return el("i", { style, title: `Step ${figure(change.at)}: ${changeWords(change)}` });
    };
    renew(marks, ...run.changes().map(mark));
  }
  return { node, draw };
}
