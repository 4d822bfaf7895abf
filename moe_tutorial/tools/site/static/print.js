// Print a page in the light theme: before printing, all lazy content is loaded and all claims are opened. What is
// folded is not printed (site.css).
(() => {
  const LATE = ".moe-late:not([data-mounted]), .moe-plotly:not([data-drawn=light])";
  const FOLDED = "article details:not([open], .moe-fold:not(#recap *, .moe-solution))";
  const root = document.documentElement;
  let before = null; // the theme, and the closed folds

  const shown = (picture) => picture.complete || !picture.checkVisibility();
  const isMissing = (part) => part.checkVisibility();
  const ready = () => ![...document.querySelectorAll(LATE)].some(isMissing) && [...document.images].every(shown);

  addEventListener("beforeprint", () => {
    root.toggleAttribute("data-waiting", !ready()); // the printed page then has a note that something is missing
    before ??= { theme: root.dataset.theme, folded: [] };
    root.dataset.theme = "light";
    for (const part of document.querySelectorAll(FOLDED)) {
      part.open = true;
      before.folded.push(part);
    }
    for (const picture of document.querySelectorAll("img[loading=lazy]")) picture.loading = "eager";
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    root.dataset.theme = before.theme;
    for (const part of before.folded) part.open = false;
    before = null;
  });

  const frame = () => new Promise((done) => requestAnimationFrame(done));

  // A browser does not wait for content that starts to load in "beforeprint", so the keys for printing wait instead.
  async function printWhole() {
    dispatchEvent(new Event("beforeprint"));
    const until = performance.now() + 15000;
    while (!ready() && performance.now() < until) await frame();
    dispatchEvent(new Event("beforeprint")); // newly loaded content may have such, too
    await frame();
    await frame(); // widgets draw in the next frame
    print();
  }
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "p" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    printWhole();
  });
})();
