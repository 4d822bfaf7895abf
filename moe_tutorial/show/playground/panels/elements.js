// Elements that several panels of the playground use.
import { el, note, subtitle } from "../../web/dom.js";

/** Set an element's text, unless it is the same. */
export function set(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
export const group = (className, ariaLabel, ...nodes) => el("div", { className, role: "group", ariaLabel }, ...nodes);
export const makeCanvas = (name) => el("canvas", { role: "img", "data-picture": name });
export const square = (canvas, ...more) => el("div", { className: "pg-square" }, canvas, ...more);
/** A picture's title, with an explanation behind a question mark. Both texts are set later. */
export function heading(words = "") {
  const title = subtitle();
  const said = note(words);
  const asked = el("summary", { ariaLabel: "What am I looking at?", title: "What am I looking at?" }, "?");
  const bubble = el("details", { className: "pg-what", name: "pg-what" }, asked, said); // one is open at a time
  const node = el("div", { className: "pg-above" }, title, bubble);
  asked.onblur = () => (bubble.open = false);
  return { node, title: (now) => set(title, now), explain: (now) => set(said, now), words: () => title.textContent };
}
