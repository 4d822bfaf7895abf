// Puts the page's widgets to work when they come near the screen: no widget manager, and nothing before it is needed.
// A widget's code and its state are scripts (see ../lazy_assets.py), which lie in late/ beside this one.
(() => {
  const NEAR = "600px";
  const folder = new URL("late/", document.currentScript.src);
  const asked = new Map();

  // Adds an element that loads something, once a page.
  function load(name, make) {
    if (!asked.has(name)) {
      asked.set(
        name,
        new Promise((resolve, reject) => {
          const node = make(new URL(name, folder).href);
          node.onload = resolve;
          node.onerror = () => reject(new Error(`${name} could not be loaded`));
          document.head.append(node);
        }),
      );
    }
    return asked.get(name);
  }
  const script = (name) => load(`${name}.js`, (src) => Object.assign(document.createElement("script"), { src }));
  const style = (name) =>
    load(name, (href) => Object.assign(document.createElement("link"), { rel: "stylesheet", href }));

  function bytes(text) {
    const letters = atob(text);
    return new DataView(Uint8Array.from(letters, (letter) => letter.charCodeAt(0)).buffer);
  }

  // What a widget's code asks of its model. There is no kernel to hear it.
  function createModel({ state, buffers }) {
    const values = structuredClone(state);
    for (const [path, text] of buffers) {
      const last = path.at(-1);
      path.slice(0, -1).reduce((part, name) => part[name], values)[last] = bytes(text);
    }
    const listeners = new Map();
    return {
      get: (name) => values[name],
      set(name, value) {
        values[name] = value;
        listeners.get(`change:${name}`)?.forEach((listener) => listener());
      },
      on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
      off: (event, listener) =>
        listeners.set(
          event,
          (listeners.get(event) ?? []).filter((other) => other !== listener),
        ),
      save_changes() {},
      send() {},
    };
  }

  const begun = new WeakSet(); // a place may come near while paper is asked for

  async function mount(place) {
    if (begun.has(place)) return;
    begun.add(place);
    const { code, state, style: css } = place.dataset;
    approach.unobserve(place);
    try {
      await Promise.all([script(code), script(state), style(css)]);
      const root = document.createElement("div");
      place.replaceChildren(root);
      window.moeWidgets[code].render({ model: createModel(window.moeStates[state]), el: root });
      place.dataset.mounted = "true";
    } catch (problem) {
      place.textContent = `This picture is missing: ${problem.message}. Load the page again.`;
      throw problem;
    }
  }

  const approach = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => mount(entry.target)),
    { rootMargin: NEAR },
  );
  const shared = location.hash.includes("="); // an address with an experiment, which scrolls to its playground
  for (const place of document.querySelectorAll(".moe-late")) {
    if (shared && "link" in place.dataset) mount(place);
    else approach.observe(place);
  }
  addEventListener("beforeprint", () => document.querySelectorAll(".moe-late:not([data-mounted])").forEach(mount));
})();
