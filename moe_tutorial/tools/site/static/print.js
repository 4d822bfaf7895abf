// On paper a page is light and whole: before it is printed, everything loads that otherwise waits for a reader.
(() => {
  const LATE = ".moe-late:not([data-mounted]), .moe-plotly:not([data-drawn=light])";
  const root = document.documentElement;
  let before = null; // the theme, and what was folded

  const shown = (picture) => picture.complete || !picture.checkVisibility();
  const ready = () => !document.querySelector(LATE) && [...document.images].every(shown);

  addEventListener("beforeprint", () => {
    root.toggleAttribute("data-waiting", !ready()); // the sheet then says what is missing
    before ??= { theme: root.dataset.theme, folded: [] };
    root.dataset.theme = "light";
    for (const part of document.querySelectorAll("article details:not([open])")) {
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

  // A browser does not wait for what a page begins to load when it is printed. The keys for it can.
  async function printWhole() {
    dispatchEvent(new Event("beforeprint"));
    const until = performance.now() + 15000;
    while (!ready() && performance.now() < until) await frame();
    dispatchEvent(new Event("beforeprint")); // what came meanwhile has folds of its own
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
