// Elements, native controls with their labels, and what a widget needs of the page it stands in.
export const stillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
export const subtitle = (words = "") => el("p", { className: "moe-subtitle" }, words);
// A native control with its label, and its value in words, which tell() sets for the eye and for a screen reader.
let fields = 0;
const page = Math.random().toString(36).slice(2);
export const freshId = () => `moe-${page}-${fields++}`;
export function field(name, input) {
  input.id = freshId();
  const value = el("span", { className: "moe-value", ariaHidden: "true" });
  return el("div", { className: "moe-field" }, el("label", { htmlFor: input.id }, name), value, input);
}
export function tell(input, words) {
  input.previousSibling.textContent = words;
  input.setAttribute("aria-valuetext", words);
}
// Puts the widget's parts in place. JupyterLab would take the arrow keys for itself: the attribute leaves them to us,
// and has to be on the focused element, where Lab looks first.
export function mount(root, ...parts) {
  root.classList.add("moe-root");
  root.replaceChildren(el("div", { className: "moe-widget" }, ...parts));
  root
    .querySelectorAll("input,select,button")
    .forEach((node) => node.setAttribute("data-lm-suppress-shortcuts", "true"));
}
// A bytes trait as numbers. The copy matters: a message's buffer need not start on a 4-byte boundary.
export function numbers(view, Type = Float32Array) {
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}
// Calls draw() when the theme or the width changes; returns what ends it. A call per animation frame is enough.
export function redrawOnChange(node, draw) {
  let waiting = 0;
  const soon = () => (waiting ||= requestAnimationFrame(() => ((waiting = 0), draw())));
  const theme = new MutationObserver(soon);
  theme.observe(document.documentElement, { attributeFilter: ["data-theme", "class", "style"] });
  theme.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  let width = 0;
  const size = new ResizeObserver(() => node.clientWidth !== width && ((width = node.clientWidth), soon()));
  size.observe(node);
  return () => (theme.disconnect(), size.disconnect(), cancelAnimationFrame(waiting));
}
