// A mixture's controls beyond the table's: what a setting makes of the others, and who is knocked out.
import { button, el, field, subtitle } from "../../web/dom.js";
import { sum } from "../../web/words.js";
import { group, set } from "../elements.js";

// Out it goes, and back: the panel, for whoever acts on engine.knock.
function stepIn(act) {
  const which = el("select", {});
  const knock = button("", { className: "moe-button moe-quiet", ariaPressed: "false" });
  let frame;
  const row = el("div", { className: "pg-row" }, field("Expert", which), knock);
  const node = group("pg-meddle", "Step in", subtitle("Step in"), row);
  function offer(E) {
    const before = which.value;
    which.replaceChildren(...Array.from({ length: E }, (_, e) => el("option", { value: e }, String(e))));
    if (before && +before < E) which.value = before;
  }
  function draw(next) {
    frame = next;
    const E = frame.now.shares.length;
    if (which.length !== E) offer(E);
    const gone = !!frame.knocked[+which.value];
    set(knock, gone ? "Bring it back" : "Knock it out");
    knock.ariaPressed = String(gone);
    knock.disabled = (frame.can && !frame.can.includes("knock")) || (!gone && sum(frame.knocked.map(Number)) >= E - 1);
  }
  which.onchange = () => draw(frame);
  knock.onclick = () => act.knock(+which.value, !frame.knocked[+which.value]);
  // A link that knocks somebody out shows whom.
  const begin = (state) => {
    const gone = state.knocked.indexOf(true);
    if (gone < 0) return;
    if (gone >= which.length) offer(gone + 1);
    which.value = gone;
  };
  return { area: "side", node, draw, begin };
}

export const mixtureControls = {
  inKernel: true, // kernel.py trains it, too
  knocks: true, // links may say `out`
  panel: stepIn,
  // Settings that mean nothing beside these, and labels that they change.
  idle: ({ gate, balance }) => [gate === "hash" ? "noise" : "", balance === "none" ? "coefficient" : ""],
  labels: ({ balance }) => ({ coefficient: balance === "bias" ? "Rate of the bias" : "Coefficient" }),
};
