// Draws each plotly picture of the page when it comes near the screen, in the colours of the page's theme. The figures
// are made in the light theme; each of their colours has a role or an expert, and in the dark theme that one's colour.
(() => {
  const NEAR = "400px";
  const address = new URL("plotly-basic.min.js", document.currentScript.src).href;
  const theme = () => (document.documentElement.dataset.theme === "dark" ? "dark" : "light");
  const fingers = matchMedia("(pointer: coarse)").matches; // a finger on a picture scrolls the page
  const byMouse = /(?:; d|\.? D)rag to look closer, and click twice to go back\./;
  const shown = new Map(); // box of a picture -> the theme that its figure is in
  let library = null;

  function load() {
    library ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.onload = resolve;
      script.onerror = reject;
      script.src = address;
      document.head.append(script);
    });
    return library;
  }

  function recoloured(figure, from, to) {
    const colours = new Map(Object.keys(from).map((role) => [from[role], to[role]]));
    const text = JSON.stringify(figure, (_, value) => (ArrayBuffer.isView(value) ? [...value] : value));
    return JSON.parse(text.replace(/#[0-9a-f]{6}/gi, (colour) => colours.get(colour.toLowerCase()) ?? colour));
  }

  // A picture that is drawn already keeps what its reader did: zoom, slider, and what the legend hides.
  async function draw(box) {
    await load();
    const plot = box.querySelector(".moe-plot");
    const before = shown.get(box);
    const now = theme();
    if (before === now) return;
    shown.set(box, now);
    const { data, layout } = recoloured(
      before ? { data: plot.data, layout: plot.layout } : JSON.parse(box.querySelector("script").textContent),
      window.moeThemes[before ?? "light"],
      window.moeThemes[now],
    );
    if (fingers) layout.dragmode = false;
    await Plotly.react(plot, data, layout, { responsive: true, displayModeBar: false, showTips: false });
    box.dataset.drawn = now;
  }

  const approach = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        approach.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: NEAR },
  );
  for (const box of document.querySelectorAll(".moe-plotly")) {
    const note = box.querySelector(".moe-note");
    if (fingers)
      note.textContent = note.textContent
        .replace(byMouse, ".")
        .replace(/\bpoint at/i, (words) => (words[0] === "P" ? "Tap" : "tap"));
    approach.observe(box);
  }
  const swap = () => [...shown.keys()].forEach(draw);
  addEventListener("beforeprint", () => document.querySelectorAll(".moe-plotly").forEach(draw));
  new MutationObserver(swap).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
