// @ts-check
// Elements, native controls with their labels, and what a widget needs of the page it stands in.

/** Whether the reader asked for less motion. */
export const stillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** An element with its properties or attributes, and its children.
 * @param {string} tag @param {Record<string, any>} attributes @param {...(Node | string)} children
 * @returns {any} */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
/** Makes a node hold what these elements are, and touches only what differs: in motion, little is laid out anew. An element
 * of the same tag is kept, so it has to have the same attributes each time.
 * @param {any} node @param {...any} next */
export function renew(node, ...next) {
  while (node.childNodes.length > next.length) node.lastChild.remove();
  next.forEach((fresh, i) => {
    const old = node.childNodes[i];
    if (old?.nodeName !== fresh.nodeName) return old ? old.replaceWith(fresh) : node.appendChild(fresh);
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    for (const { name, value } of fresh.attributes ?? [])
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    renew(old, ...fresh.childNodes);
  });
}
export const subtitle = (words = "") => el("p", { className: "moe-subtitle" }, words);
export const note = (words = "") => el("p", { className: "moe-note" }, words);
/** @param {string} words @param {Record<string, any>} attributes */
export const button = (words, attributes = {}) =>
  el("button", { type: "button", className: "moe-button", ...attributes }, words);
/** One that asks for less attention. @param {string} words @param {Record<string, any>} attributes */
export const quietly = (words, attributes) => button(words, { className: "moe-button moe-quiet", ...attributes });
/** A canvas that a screen reader is told of, see describe(). */
export const picture = (className = "") => el("canvas", { className, role: "img" });
/** @param {Element} node @param {string} words */
export const describe = (node, words) => node.setAttribute("aria-label", words);

let fields = 0;
const page = Math.random().toString(36).slice(2);
export const freshId = () => `moe-${page}-${fields++}`;

/** A native control with its label, and its value in words, which tell() sets for the eye and for a screen reader.
 * @param {string} name @param {any} input */
export function field(name, input) {
  input.id = freshId();
  const value = el("span", { className: "moe-value", ariaHidden: "true" });
  return el("div", { className: "moe-field" }, el("label", { htmlFor: input.id }, name), value, input);
}
/** @param {any} input @param {string | number} words */
export function tell(input, words) {
  input.previousSibling.textContent = words;
  input.setAttribute("aria-valuetext", words);
}

/** Puts the widget's parts in place. JupyterLab would take the arrow keys for itself: the attribute leaves them to us,
 * and has to be on the focused element, where Lab looks first.
 * @param {HTMLElement} root @param {...(Node | string)} parts */
export function mount(root, ...parts) {
  root.classList.add("moe-root");
  root.replaceChildren(el("div", { className: "moe-widget" }, ...parts));
  for (const node of root.querySelectorAll("input,select,button,summary"))
    node.setAttribute("data-lm-suppress-shortcuts", "true");
}

/** An action that, however often it is asked for, happens once in an animation frame.
 * @param {() => void} action */
export function perFrame(action) {
  let handle = 0;
  const act = () => {
    handle = 0;
    action();
  };
  return { ask: () => (handle ||= requestAnimationFrame(act)), cancel: () => cancelAnimationFrame(handle) };
}

/** Calls draw() when the theme or the width changes; returns what ends it.
 * @param {HTMLElement} node @param {() => void} draw */
export function redrawOnChange(node, draw) {
  const drawing = perFrame(draw);
  const theme = new MutationObserver(drawing.ask);
  theme.observe(document.documentElement, { attributeFilter: ["data-theme", "class", "style"] });
  theme.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  let width = 0;
  const size = new ResizeObserver(() => {
    if (node.clientWidth === width) return;
    width = node.clientWidth;
    drawing.ask();
  });
  size.observe(node);
  return () => {
    theme.disconnect();
    size.disconnect();
    drawing.cancel();
  };
}
