// Make elements that scroll sideways focusable when a fold opens or code is shown, and when fonts have come, which are
// wider than the fallback. The theme does so only when a page loads.
const WIDE = "pre, .cell_output > .output, .moe-scroll, .pst-scrollable-table-container";

function focusable() {
  for (const part of document.querySelectorAll(WIDE)) if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
}

for (const event of ["toggle", "change"]) addEventListener(event, focusable, true);
document.fonts.ready.then(focusable);
