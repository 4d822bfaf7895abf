// The head: what it is about, the message, and the buttons of the training.
import { button, el, quietly } from "../web/dom.js";
import { set } from "./elements.js";

// act: toggle(), step(), reset().
export function makeHead(act) {
  const kicker = el("p", { className: "moe-kicker" });
  const message = el("p", { className: "pg-message" });
  const play = button("Play", { onclick: act.toggle });
  const step = quietly("Step", { title: "One training step", onclick: act.step });
  const reset = quietly("Reset", { title: "Back to the start, with these settings", onclick: act.reset });
  const count = el("span", { className: "pg-count" });

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
