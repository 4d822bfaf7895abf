// What scrolls sideways is reached by keyboard: the theme sees to it when a page loads, this when a fold opens.
addEventListener(
  "toggle",
  ({ target }) => {
    for (const part of target.querySelectorAll("pre, .cell_output > .output"))
      if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  },
  true,
);
