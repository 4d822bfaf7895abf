// An optional tour of the page: a few words at a time, with the part that they explain highlighted.
import { button, el, quietly } from "../../web/dom.js";
import { set } from "./elements.js";

const STOPS = [
  [
    ".pg-map",
    "Each mark is a point to learn from, and its shape is its class. The colour behind it says which expert the " +
      "router asks there.",
  ],
  [
    ".pg-run",
    "Play trains, at a speed for eyes; the menu makes it slower or faster. The slider below goes back to any step.",
  ],
  [".pg-start", "Experiments to watch, and challenges to win. Each says what to look for, and asks what you expect."],
  [
    ".pg-controls",
    "Pull at any slider, also while it trains. What acts only in training, such as noise, shows once you press Play.",
  ],
  [
    ".pg-usage",
    "How much work each expert gets. Under one percent it counts as dead. Press a bar to knock its expert out.",
  ],
  [
    ".pg-point",
    "Tap a point on the map, or use this slider: who is asked for it, with what weight, and what the router hears.",
  ],
  [
    ".pg-foot",
    "The link holds all that you did, step by step: whoever opens it sees the same run. You can take it along as " +
      "PyTorch, too.",
  ],
];

export function makeTour(root) {
  const words = el("p");
  const count = el("span", { className: "moe-note" });
  const back = quietly("Back", { onclick: () => go(at - 1) });
  const next = button("Next", { onclick: () => (at + 1 < STOPS.length ? go(at + 1) : end()) });
  const close = quietly("End the tour", { onclick: end });
  const card = el("div", { className: "pg-tour", role: "dialog", ariaLabel: "A tour", hidden: true });
  card.append(words, count, back, next, close);
  const opener = quietly("Take a tour", { onclick: () => go(0) });
  let at = 0;

  function go(to) {
    at = to;
    const [of, said] = STOPS[at];
    mark(of);
    set(words, said);
    set(count, `${at + 1} of ${STOPS.length}`);
    close.hidden = at + 1 === STOPS.length;
    set(next, close.hidden ? "Done" : "Next");
    back.disabled = !at;
    card.hidden = false;
    root.querySelector(`${of} > details`)?.setAttribute("open", ""); // the controls, on a phone
    root.querySelector(of).scrollIntoView({ block: "nearest" });
    next.focus({ preventScroll: true });
  }
  function mark(of) {
    root.querySelector(".pg-lit")?.classList.remove("pg-lit");
    if (of) root.querySelector(of).classList.add("pg-lit");
  }
  function end() {
    card.hidden = true;
    mark("");
    opener.focus();
  }
  card.onkeydown = ({ key }) => {
    if (key === "Escape") end();
  };
  return { opener, card, end };
}
