// Make elements that scroll sideways focusable when a fold opens. The theme does so only when a page loads.
addEventListener(
  "toggle",
  ({ target }) => {
    for (const part of target.querySelectorAll("pre, .cell_output > .output"))
      if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  },
  true,
);
