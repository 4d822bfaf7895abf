// Elements that the playground's panels have in common.
import { el } from "../web/dom.js";

/** Says other words, if they are others. */
export function set(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
export const group = (className, ariaLabel, ...nodes) => el("div", { className, role: "group", ariaLabel }, ...nodes);
export const makeCanvas = (name) => el("canvas", { role: "img", "data-picture": name });
export const square = (canvas) => el("div", { className: "pg-square" }, canvas);
