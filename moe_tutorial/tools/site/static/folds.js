// Make elements that scroll sideways focusable when a fold opens, and when fonts have come, which are wider than the
// fallback. The theme does so only when a page loads.
const WIDE = "pre, .cell_output > .output, .pst-scrollable-table-container";

/** @param {Document | Element} root */
function focusable(root) {
  for (const part of root.querySelectorAll(WIDE)) if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
}

addEventListener("toggle", ({ target }) => focusable(target), true);
document.fonts.ready.then(() => focusable(document));
