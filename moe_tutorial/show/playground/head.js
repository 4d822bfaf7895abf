// The head: what it is about, the message, and the buttons of the training.
import { button, el } from "../web/dom.js";
import { set } from "./elements.js";

const quiet = (words, title) => button(words, { className: "moe-button moe-quiet", title });

// act: toggle(), step(), reset().
export function makeHead(act) {
  const kicker = el("p", { className: "moe-kicker" });
  const message = el("p", { className: "pg-message" });
  const play = button("Play");
  const step = quiet("Step", "One training step");
  const reset = quiet("Reset", "Back to the start, with these settings");
  const count = el("span", { className: "pg-count" });
  play.onclick = act.toggle;
  step.onclick = act.step;
  reset.onclick = act.reset;

  function draw(frame, about, words) {
    const speed = frame.speed ? ` · ${Math.round(frame.speed / 10) * 10} a second` : "";
    set(message, words);
    set(kicker, about.filter(Boolean).join(" · "));
    set(play, frame.busy ? "Pause" : "Play");
    set(count, `step ${frame.step.toLocaleString("en")}${speed}`);
    step.disabled = frame.busy;
  }
  const transport = el("div", { className: "pg-transport" }, play, step, reset, count);
  return { node: el("div", { className: "pg-head" }, el("div", {}, kicker, message), transport), draw };
}
