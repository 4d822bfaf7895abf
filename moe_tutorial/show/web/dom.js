// @ts-check
// Helpers for elements, labelled form controls, and the page around a widget.

/** Whether the reader prefers reduced motion. */
export const stillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Create an element. A name that is not one of its properties is set as an attribute.
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
/** Replace a node's children, and change only what differs, so that an animation causes little layout. An element of
 * the same tag is reused, so it must have the same attribute names each time.
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
/** A button in a less prominent style. @param {string} words @param {Record<string, any>} attributes */
export const quietly = (words, attributes) => button(words, { className: "moe-button moe-quiet", ...attributes });
/** A canvas with the role of an image; describe() sets its text alternative. */
export const picture = (className = "") => el("canvas", { className, role: "img" });
/** @param {Element} node @param {string} words */
export const describe = (node, words) => node.setAttribute("aria-label", words);

/** What a restored widget says that cannot move by itself. */
export const RUN_TO_MOVE = "Run this cell to make it move.";
/** Whether JupyterLab has made the widget from what the notebook's file stores, so that no kernel knows it. It marks
 * its element. @param {HTMLElement} root */
export const isRestored = (root) => !!root.closest(".jupyter-widgets-disconnected");
/** Whether a kernel answers the widget. @param {any} model @param {HTMLElement} root */
export const hasKernel = (model, root) => !!model.widget_manager?.kernel && !isRestored(root);

let fields = 0;
const page = Math.random().toString(36).slice(2);
export const freshId = () => `moe-${page}-${fields++}`;

/** A form control with its label and its value as text; tell() sets the text on screen and for screen readers.
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

/** Put the widget's parts into its root. The attribute keeps JupyterLab from handling the arrow keys; it must be on the
 * focused element.
 * @param {HTMLElement} root @param {...(Node | string)} parts */
export function mount(root, ...parts) {
  root.classList.add("moe-root");
  root.replaceChildren(el("div", { className: "moe-widget" }, ...parts));
  for (const node of root.querySelectorAll("input,select,button,summary"))
    node.setAttribute("data-lm-suppress-shortcuts", "true");
}

/** Run an action at most once per animation frame, however often it is requested.
 * @param {() => void} action */
function perFrame(action) {
  let handle = 0;
  const act = () => {
    handle = 0;
    action();
  };
  return { ask: () => (handle ||= requestAnimationFrame(act)), cancel: () => cancelAnimationFrame(handle) };
}

/** Call draw() when the theme or the width changes. Returns a function that stops this.
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
