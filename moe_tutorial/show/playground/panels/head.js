// The head: the experiment, the message, the buttons of the training, its pace, and the timeline.
import { button, el, quietly } from "../../web/dom.js";
import { figure } from "../../web/words.js";
import { set } from "./elements.js";
import { PACES } from "../experiment/frame.js";

const paceWords = (pace) => (pace ? `${pace} steps a second` : "as fast as it can");

// act: callbacks toggle(), step(), reset(), and pace(steps per second).
export function makeHead(act, timeline) {
  const kicker = el("p", { className: "moe-kicker" });
  const message = el("p", { className: "pg-message" });
  const play = button("Play", { onclick: act.toggle });
  const step = quietly("Step", { title: "One training step", onclick: act.step });
  const reset = quietly("Reset", { title: "Back to the start, with all experts", onclick: act.reset });
  const pace = el("select", { className: "pg-pace", ariaLabel: "Pace", onchange: () => act.pace(+pace.value) });
  pace.append(...PACES.map((perSecond) => new Option(paceWords(perSecond), perSecond)));
  pace.value = PACES[1];
  const count = el("span", { className: "pg-count" });

  function draw(frame, about, words) {
    const speed = frame.busy && frame.speed ? ` · ${figure(Math.round(frame.speed))}/s` : "";
    set(message, words);
    set(kicker, about);
    set(play, frame.busy ? "Pause" : "Play");
    set(count, `step ${figure(frame.step)}${speed}`);
    step.disabled = frame.busy;
    timeline.draw(frame);
  }
  const transport = el("div", { className: "pg-transport" }, play, step, reset, pace, count);
  const right = el("div", { className: "pg-run" }, transport, timeline.node);
  return {
    node: el("div", { className: "pg-head" }, el("div", {}, kicker, message), right),
    draw,
    slow: () => act.pace((pace.value = PACES[1])),
  };
}
