// Loads the widgets and the plotly pictures of a page when they come near the screen. There is no widget manager and no
// kernel: a widget's code runs on its state. Code and state are scripts in late/ beside this one (see lazy_assets.py).
(() => {
  const here = document.currentScript.src;
  const requests = new Map(); // name of a file -> promise

  // Loads a script or a style sheet once per page.
  function load(name) {
    if (!requests.has(name)) {
      const address = new URL(name, here).href;
      const node = name.endsWith(".css")
        ? Object.assign(document.createElement("link"), { rel: "stylesheet", href: address })
        : Object.assign(document.createElement("script"), { src: address });
      const loaded = new Promise((resolve, reject) => {
        node.onload = resolve;
        node.onerror = () => reject(new Error(`${name} could not be loaded`));
      });
      requests.set(name, loaded);
      document.head.append(node);
    }
    return requests.get(name);
  }

  // Calls show(element) when an element is closer to the screen than the distance, and before the page is printed.
  function showNear(selector, distance, show) {
    const observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (!isIntersecting) continue;
          observer.unobserve(target);
          show(target);
        }
      },
      { rootMargin: distance },
    );
    for (const element of document.querySelectorAll(selector)) observer.observe(element);
    addEventListener("beforeprint", () => {
      for (const element of document.querySelectorAll(selector)) if (element.checkVisibility()) show(element);
    });
  }

  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);

  // A model with the interface of anywidget's, without a kernel.
  function createModel({ state, buffers }) {
    const values = structuredClone(state);
    for (const [path, text] of buffers) {
      const last = path.at(-1);
      path.slice(0, -1).reduce((part, name) => part[name], values)[last] = bytes(text);
    }
    const events = new EventTarget();
    return {
      get: (name) => values[name],
      set(name, value) {
        values[name] = value;
        events.dispatchEvent(new Event(`change:${name}`));
      },
      on: (event, listener) => events.addEventListener(event, listener),
      off: (event, listener) => events.removeEventListener(event, listener),
      save_changes() {},
      send() {},
    };
  }

  const begun = new WeakSet(); // a page may be printed while its widgets load

  async function mount(place) {
    if (begun.has(place)) return;
    begun.add(place);
    const { code, state, style } = place.dataset;
    try {
      await Promise.all([`${code}.js`, `${state}.js`, style].map((name) => load(`late/${name}`)));
      const root = document.createElement("div");
      place.replaceChildren(root);
      window.moeWidgets[code].render({ model: createModel(window.moeStates[state]), el: root });
      place.dataset.mounted = "true";
    } catch (problem) {
      place.textContent = `This picture is missing: ${problem.message}. Load the page again.`;
      throw problem;
    }
  }

  // A link to an experiment scrolls to its playground, which may be far from the screen.
  if (location.hash.includes("=")) document.querySelectorAll(".moe-late[data-link]").forEach(mount);
  showNear(".moe-late", "600px", mount);

  const touch = matchMedia("(pointer: coarse)").matches; // a finger on a picture scrolls the page
  const drawn = new Map(); // box of a picture -> the theme that it is drawn in

  // Figures are made in the light theme. Each of their colours belongs to a role or an expert, which has one in each
  // theme.
  function recolour(figure, from, to) {
    const colours = new Map(Object.keys(from).map((role) => [from[role], to[role]]));
    const text = JSON.stringify(figure, (_, value) => (ArrayBuffer.isView(value) ? [...value] : value));
    return JSON.parse(text.replace(/#[0-9a-f]{6}/gi, (colour) => colours.get(colour.toLowerCase()) ?? colour));
  }

  // Draws a picture in the page's theme. A picture that is drawn again keeps its zoom, slider and hidden traces.
  async function draw(box) {
    await load("plotly-basic.min.js");
    const plot = box.querySelector(".moe-plot");
    const before = drawn.get(box);
    const now = document.documentElement.dataset.theme === "dark" ? "dark" : "light";
    if (before === now) return;
    drawn.set(box, now);
    const { data, layout } = recolour(
      before ? { data: plot.data, layout: plot.layout } : JSON.parse(box.querySelector("script").textContent),
      window.moeThemes[before ?? "light"],
      window.moeThemes[now],
    );
    if (touch) layout.dragmode = false;
    await Plotly.react(plot, data, layout, { responsive: true, displayModeBar: false, showTips: false });
    box.dataset.drawn = now;
  }

  showNear(".moe-plotly", "400px", draw);
  const redraw = () => [...drawn.keys()].forEach(draw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
