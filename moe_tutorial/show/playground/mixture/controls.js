// A mixture's controls beside those of its settings: a panel to knock experts out, and the effects of settings on
// others.
import { el, field, quietly, subtitle } from "../../web/dom.js";
import { sum } from "../../web/words.js";
import { group, set } from "../panels/elements.js";

// The panel to knock an expert out, and to bring it back.
function stepIn({ knock: knockOut }) {
  const which = el("select", { onchange: () => draw(frame) });
  const act = () => knockOut(+which.value, !frame.knocked[+which.value]);
  const knock = quietly("", { ariaPressed: "false", onclick: act });
  let frame;
  const row = el("div", { className: "pg-row" }, field("Expert", which), knock);
  const node = group("pg-meddle", "Step in", subtitle("Step in"), row);
  function offer(E) {
    const before = +which.value;
    which.replaceChildren(...Array.from({ length: E }, (_, e) => new Option(e, e)));
    which.value = before < E ? before : 0;
  }
  function draw(next) {
    frame = next;
    const E = frame.now.shares.length;
    if (which.length !== E) offer(E);
    const gone = !!frame.knocked[+which.value];
    set(knock, gone ? "Bring it back" : "Knock it out");
    knock.ariaPressed = String(gone);
    knock.disabled = !gone && sum(frame.knocked.map(Number)) >= E - 1;
  }
  // Select an expert that a link has knocked out.
  function begin({ knocked }) {
    if (!knocked.includes(true)) return;
    offer(knocked.length);
    which.value = knocked.indexOf(true);
  }
  return { area: "side", node, draw, begin };
}

export const mixtureControls = {
  knocks: true, // links may have `out`
  panel: stepIn,
  // Settings without effect, given the others, and labels that depend on the settings.
  idle: ({ gate, balance }) => [gate === "hash" ? "noise" : "", balance === "none" ? "coefficient" : ""],
  labels: ({ balance }) => ({ coefficient: balance === "bias" ? "Rate of the bias" : "Coefficient" }),
};
