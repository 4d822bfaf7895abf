// Draws every plotly picture of the page and gives it the colours of the page's theme. The figures are made in the
// light theme; in the dark one each colour becomes the dark colour of the same role or expert.
(() => {
  const { light, dark } = window.moeThemes;
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const hex = (parts) => "#" + parts.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("");

  // Two roles may share a light colour (white is the ground, and the text on some experts): the ground comes first.
  const swap = new Map();
  for (const name of Object.keys(light)) if (!swap.has(light[name])) swap.set(light[name], dark[name]);
  const experts = Object.keys(light).filter((name) => /^e\d+$/.test(name));

  // A colour between the ground and an expert (a region, drawn paler where the router is less sure) stays between them.
  function mixed(colour) {
    const c = rgb(colour),
      ground = rgb(light.ground);
    let best = null;
    for (const name of experts) {
      const way = rgb(light[name]).map((v, i) => v - ground[i]);
      const length = way.reduce((sum, v) => sum + v * v, 0);
      const amount = way.reduce((sum, v, i) => sum + v * (c[i] - ground[i]), 0) / length;
      const miss = Math.max(...way.map((v, i) => Math.abs(ground[i] + amount * v - c[i])));
      if (amount > 0.05 && amount < 1 && miss < 2 && (!best || miss < best.miss)) best = { name, amount, miss };
    }
    if (!best) return colour;
    const to = rgb(dark[best.name]),
      from = rgb(dark.ground);
    return hex(to.map((v, i) => from[i] + best.amount * (v - from[i])));
  }

  function darken(value) {
    if (typeof value === "string") {
      const key = value.toLowerCase();
      if (/^#[0-9a-f]{6}$/.test(key)) {
        if (!swap.has(key)) swap.set(key, mixed(key));
        return swap.get(key);
      }
      const parts = key.match(/^rgba?\((\d+), ?(\d+), ?(\d+)(, ?[\d.]+)?\)$/);
      if (!parts) return value;
      const [r, g, b] = rgb(darken(hex(parts.slice(1, 4).map(Number))));
      return parts[4] ? `rgba(${r},${g},${b}${parts[4]})` : `rgb(${r},${g},${b})`;
    }
    if (Array.isArray(value)) return value.map(darken);
    if (value && typeof value === "object" && !ArrayBuffer.isView(value))
      return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, darken(part)]));
    return value;
  }

  const theme = () => (document.documentElement.dataset.theme === "dark" ? "dark" : "light");

  // What a figure leaves open falls to the page: its ground, its text, its lines.
  function settle(figure, colours) {
    const layout = figure.layout ?? (figure.layout = {});
    delete layout.width; // the page's width rules
    layout.autosize = true;
    layout.paper_bgcolor = "rgba(0,0,0,0)";
    layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = {
      family: getComputedStyle(document.body).fontFamily,
      ...layout.font,
      color: layout.font?.color ?? colours.text,
    };
    const axis = { gridcolor: colours.line, zerolinecolor: colours.line, linecolor: colours.line };
    const template = layout.template?.layout ?? {};
    layout.template = {
      ...layout.template,
      layout: { ...template, xaxis: { ...template.xaxis, ...axis }, yaxis: { ...template.yaxis, ...axis } },
    };
    for (const slider of layout.sliders ?? []) {
      slider.bgcolor ??= colours.sunken;
      slider.bordercolor ??= colours.border;
      slider.activebgcolor ??= colours.accent;
      slider.tickcolor ??= colours.border;
    }
    for (const menu of layout.updatemenus ?? []) {
      menu.bgcolor ??= colours.panel;
      menu.bordercolor ??= colours.border;
    }
    return figure;
  }

  async function draw(box) {
    const source = JSON.parse(box.querySelector("script").textContent);
    const colours = window.moeThemes[theme()];
    const figure = settle(theme() === "dark" ? darken(source) : source, colours);
    let plot = box.querySelector(".js-plotly-plot");
    const active = plot?.layout?.sliders?.map((slider) => slider.active ?? 0);
    if (!plot) {
      plot = document.createElement("div");
      box.append(plot);
    }
    active?.forEach((place, i) => (figure.layout.sliders[i].active = place));
    await Plotly.newPlot(plot, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    if (figure.frames) await Plotly.addFrames(plot, figure.frames);
    for (const slider of figure.layout.sliders ?? []) {
      // a new theme keeps the place of the slider
      const step = slider.steps?.[slider.active];
      if (active && step?.method) await Plotly[step.method](plot, ...step.args);
    }
    box.dataset.drawn = theme();
  }

  const boxes = [...document.querySelectorAll(".moe-plotly")];
  const drawAll = () => boxes.forEach((box) => box.dataset.drawn !== theme() && draw(box));
  new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  drawAll();
})();
