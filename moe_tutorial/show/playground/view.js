// The playground's face: controls, pictures and readouts. It knows engines by their interface alone (see engine.js).
import { el, field, freshId, mount, numbers, redrawOnChange, subtitle, tell } from "../web/dom.js";
import { DEAD, fairWords, percent, shareWords, sum } from "../web/words.js";
import { badge } from "../web/shares.js";
import { SHAPES } from "../web/pen.js";
import { pixels } from "../web/plane.js";
import { drawBands, drawLines, roundUp } from "../web/charts.js";
import { GATES } from "./model.js";
import { DATASETS } from "./data.js";
import { carried, checkExperiment, defaultsOf } from "./kinds.js";
import { PRESETS, layerOf } from "./presets.js";
import { CATCH_UP, RESTARTS, browserEngine } from "./engine.js";
import { kernelEngine } from "./kernel.js";
import { MOST_STEPS, fromHash, toHash } from "./url.js";
import { drawExpert, drawMixture, drawRegions } from "./charts.js";
import { drawFlow, letter } from "./flow.js";
import {
  expertsTitle,
  flowTitle,
  gradientWords,
  kickerWords,
  lossTitle,
  message,
  mixtureTitle,
  partOf,
  pointWords,
  regionsTitle,
  sharesTitle,
  softTitle,
  summary,
  usageTitleOf,
} from "./words.js";

const DRAWN = 300; // points that are drawn; all of them are learnt from
const SIDES = { scattered: 72, part: 44 }; // places along a side: of a hash, of one part
// And of the map, in motion and at rest: the more neurons are asked at a place, the fewer places, so that a slider stays quick. Patterns
// need all places at rest: their dots are two pixels wide.
function sidesOf({ layer, E, k, width, depth, leaf_width }, striped) {
  const few = Math.sqrt(16 / (layer === "tree" ? 2 ** depth * leaf_width : E + k * width)),
    side = (most, least) => Math.max(least, Math.min(most, Math.round(most * few)));
  return { quick: side(112, 56), sharp: striped ? 320 : side(320, 180) };
}
const GATE_NAMES = {
  softmax_topk: "softmax, then top-k",
  topk_softmax: "top-k, then softmax",
  sigmoid_topk: "sigmoid, then top-k",
  hash: "a fixed hash, no router",
};
const BALANCE_NAMES = {
  none: "nothing",
  switch: "Switch loss",
  importance: "importance loss",
  bias: "bias on the choice",
};
const LAYER_NAMES = { mixture: "Mixture", tree: "Tree" };
const MIXTURE_NOTE =
  "Shade: the class it would predict. Colour: only where the router asks it first. Grey: an opinion that nobody hears.";
const TREE_NOTE =
  "Width: the points, each on its way down; pale, how the soft mixture spreads them. Below: what each leaf would predict, in colour where it is asked.";
const same = (v) => v,
  power = (p) => +(10 ** p).toPrecision(2),
  short = (v) => String(+v.toPrecision(2));
const stops = (list) => [
  { min: 0, max: list.length - 1, step: 1 },
  (i) => list[i],
  (v) => list.reduce((a, b, i) => (Math.abs(b - v) < Math.abs(list[a] - v) ? i : a), 0),
];
const WEIGHTS = [0, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
// name: [label, the slider's range, slider -> setting, setting -> slider, words]
const SLIDERS = {
  E: ["Experts, E", { min: 2, max: 16, step: 1 }, same, same, String],
  k: ["Chosen per point, k", { min: 1, max: 4, step: 1 }, same, same, (v) => String(v)],
  width: ["Neurons per expert", ...stops([1, 2, 3, 4, 6, 8, 12, 16, 24, 32]), String],
  noise: [
    "Noise on the logits",
    { min: 0, max: 3, step: 0.1 },
    (v) => +v.toFixed(1),
    same,
    (v) => (v ? `σ = ${v.toFixed(1)}` : "off"),
  ],
  coefficient: ["Coefficient", { min: -3, max: 2, step: 0.25 }, power, Math.log10, short],
  rate: ["Learning rate", { min: -3.5, max: 0, step: 0.25 }, power, Math.log10, short],
  batch: ["Batch", ...stops([8, 16, 32, 64, 128, 256, 512]), String],
  depth: ["Depth", { min: 1, max: 4, step: 1 }, same, same, (v) => `${v}, ${2 ** v} leaves`],
  leaf_width: ["Neurons per leaf", ...stops([1, 2, 3, 4, 6, 8, 12, 16, 24, 32]), String],
  hardening: ["Hardening loss", ...stops(WEIGHTS), (v) => (v ? short(v) : "off")],
  node_balance: ["Node-balance loss", ...stops(WEIGHTS), (v) => (v ? short(v) : "off")],
};

function render({ model, el: root }) {
  const options = model.get("options"),
    live = !!model.widget_manager?.kernel,
    own = ownData(options.own),
    owner = options.link && !live;
  const asked = owner ? fromHash(location.hash) : null;
  let state = asked ?? fromOptions(options),
    engine,
    frame,
    plane;

  // Parts.
  const button = (words, extra = {}) =>
    el("button", { type: "button", className: "moe-button moe-quiet", ...extra }, words);
  const kinds = Object.entries(LAYER_NAMES).map(([value, words]) =>
    el("button", { type: "button", className: "pg-chip", value, ariaPressed: "false" }, words),
  );
  const kicker = el("p", { className: "moe-kicker" }),
    title = el("p", { className: "pg-message" });
  const play = el("button", { type: "button", className: "moe-button" }, "Play"),
    step = button("Step", { title: "One training step" });
  const reset = button("Reset", { title: "Back to the start, with these settings" }),
    count = el("span", { className: "pg-count" });
  const notice = el("p", { className: "pg-notice", role: "status", hidden: true }),
    error = el("pre", { className: "moe-error", role: "alert", hidden: true });
  const spoken = el("p", { className: "moe-sr", role: "status" });
  const chips = PRESETS.map((p) =>
    el("button", { type: "button", className: "pg-chip", ariaPressed: "false" }, p.name),
  );
  const story = el("p", { className: "pg-story" }),
    then = button("", { className: "moe-button moe-quiet pg-then" });
  const canvas = (name) => el("canvas", { role: "img", "data-picture": name });
  const map = canvas("regions"),
    mixture = canvas("mixture"),
    soft = canvas("soft"),
    flow = canvas("flow"),
    bands = canvas("shares"),
    curve = canvas("loss");
  const titles = Object.fromEntries(
    ["map", "mixture", "soft", "experts", "shares", "loss", "usage", "point"].map((name) => [name, subtitle()]),
  );
  const note = (words) => el("p", { className: "moe-note" }, words);
  const mapNote = note(),
    partsNote = note(),
    sharesNote = note(),
    usageNote = note(),
    fair = note(),
    smalls = el("ul", { className: "pg-smalls" }),
    bars = el("ol", { className: "moe-shares" });
  const reads = el("dl", { className: "pg-reads" }),
    point = el("input", { type: "range", min: 0, step: 1 });
  const heads = el("tr"),
    rows = el("tbody"),
    verdict = el("p", { className: "pg-verdict" }),
    heard = note();
  const which = el("select", {}),
    knock = button("Knock it out", { ariaPressed: "false" }),
    force = el("input", { type: "range", min: -0.05, max: 1, step: 0.05 });
  const linked = el("input", { type: "text", readOnly: true }),
    patterns = el("input", { type: "checkbox" }),
    centred = el("input", { type: "checkbox" });
  const seed = el("input", { type: "number", min: 0, max: 999999, step: 1 }),
    dice = button("Another", { title: "The next seed" });
  const engines = el(
    "select",
    {},
    el("option", { value: "browser" }, "this page"),
    el("option", { value: "kernel" }, options.layer ? "the kernel: your layer" : "the kernel, with torch"),
  );

  const inputs = {};
  const select = (name, words, choices) => {
    const input = (inputs[name] = el(
      "select",
      {},
      ...Object.entries(choices).map(([value, text]) => el("option", { value }, text)),
    ));
    input.onchange = () => change({ [name]: input.value });
    return field(words, input);
  };
  const slider = (name) => {
    const [words, range, setting] = SLIDERS[name],
      input = (inputs[name] = el("input", { type: "range", ...range }));
    input.oninput = () => change({ [name]: setting(+input.value) });
    return field(words, input);
  };
  const check = (input, words, more) => {
    input.id = freshId();
    return el(
      "div",
      { className: "pg-check" },
      input,
      el("label", { htmlFor: input.id }, words, el("small", {}, more)),
    );
  };
  const group = (words, ...parts) => el("fieldset", {}, el("legend", {}, words), ...parts);
  // What only a mixture, or only a tree, has.
  const only = { mixture: [], tree: [] };
  const ofLayer = (layer, node) => (only[layer].push(node), node);
  const part = (area, label, ...parts) =>
    el("div", { className: `pg-${area}`, role: "group", ariaLabel: label }, ...parts);
  const square = (node) => el("div", { className: "pg-square" }, node);
  const controls = el(
    "details",
    { open: true },
    el("summary", {}, "Change the experiment"),
    el(
      "div",
      { className: "pg-fields" },
      group(
        "Data",
        select("data", "Points", own ? { [state.settings.data]: "your own" } : DATASETS),
        check(centred, "Centred input", "subtract the mean first"),
        el("div", { className: "pg-seed" }, field("Seed", seed), dice),
      ),
      ofLayer("tree", group("Tree", slider("depth"), slider("leaf_width"))),
      ofLayer("tree", group("Decisions", slider("hardening"), slider("node_balance"))),
      ofLayer(
        "mixture",
        group(
          "Router",
          slider("E"),
          slider("k"),
          select("gate", "Gate", Object.fromEntries(GATES.map((g) => [g, GATE_NAMES[g]]))),
          slider("noise"),
        ),
      ),
      ofLayer("mixture", group("Balance", select("balance", "Balanced by", BALANCE_NAMES), slider("coefficient"))),
      group(
        "Training",
        slider("rate"),
        slider("batch"),
        ofLayer("mixture", slider("width")),
        ...(live && options.kernel ? [ofLayer("mixture", field("Train in", engines))] : []),
        check(patterns, "Patterns", "as well as colours"),
      ),
    ),
  );
  const key =
    [
      [
        "<circle cx='5' cy='8' r='3.6' fill='var(--moe-text)'/><path d='M16 3.5l4.3 7.5h-8.6z' fill='var(--moe-text)'/><rect x='24.5' y='4.5' width='7' height='7' fill='none' stroke='var(--moe-text)' stroke-width='1.5'/>",
        "a class, as its shape",
        34,
      ],
      [
        "<circle cx='8' cy='8' r='3' fill='var(--moe-text)'/><circle cx='8' cy='8' r='6.2' fill='none' stroke='var(--moe-fails)' stroke-width='1.7'/>",
        "predicted wrongly",
      ],
      [
        "<circle cx='8' cy='8' r='3' fill='var(--moe-text)'/><circle cx='8' cy='8' r='6.6' fill='none' stroke='var(--moe-accent)' stroke-width='2'/>",
        "the inspected point",
      ],
    ]
      .map(
        ([drawing, words, width = 16]) =>
          `<li><svg width="${width}" height="16" viewBox="0 0 ${width} 16" aria-hidden="true">${drawing}</svg><span>${words}</span></li>`,
      )
      .join("") +
    `<li><span>${badge(2)}</span><span></span></li><li><span>${badge(5, true)}</span><span>dead: under 1 % of the points</span></li>`;
  const keys = el("ul", { className: "pg-key", innerHTML: key }),
    keyOfPart = keys.children[3].lastChild;
  const softPart = ofLayer("tree", el("div", { className: "pg-soft" }, titles.soft, square(soft)));
  const mixturePart = el(
    "div",
    { className: "pg-mixture" },
    titles.mixture,
    ofLayer("mixture", note("Shade of grey: the predicted class.")),
    square(mixture),
  );
  const mainPart = part("main", "The plane", el("div", {}, titles.map, mapNote, square(map)), mixturePart, softPart);

  mount(
    root,
    el(
      "div",
      { className: "pg-head" },
      el("div", {}, kicker, title),
      el("div", { className: "pg-transport" }, play, step, reset, count),
    ),
    el(
      "div",
      { className: "pg-top" },
      el(
        "div",
        { className: "pg-start" },
        part("kinds", "What is trained", ...kinds),
        part("try", "Experiments to start from", el("span", { className: "moe-note" }, "Try"), ...chips),
      ),
      el("div", { className: "pg-told" }, story, then),
      notice,
      error,
      spoken,
    ),
    part("controls", "Controls", controls),
    mainPart,
    part(
      "experts",
      "Each by itself",
      titles.experts,
      partsNote,
      ofLayer("tree", el("div", { className: "pg-flow" }, flow)),
      smalls,
    ),
    part(
      "time",
      "Over time",
      el("div", {}, titles.shares, sharesNote, el("div", { className: "pg-chart" }, bands)),
      el(
        "div",
        {},
        titles.loss,
        note("Loss per training step, averaged over twenty."),
        el("div", { className: "pg-chart" }, curve),
      ),
    ),
    el(
      "div",
      { className: "pg-side" },
      reads,
      part("usage", "Usage", titles.usage, usageNote, bars, fair),
      part(
        "point",
        "Inspect a point",
        titles.point,
        field("Point", point),
        el("table", {}, el("thead", {}, heads), rows),
        verdict,
        heard,
      ),
      ofLayer(
        "mixture",
        part(
          "meddle",
          "Step in",
          subtitle("Step in"),
          el("div", { className: "pg-row" }, field("Expert", which), knock),
          field("Force its share", force),
        ),
      ),
    ),
    el(
      "div",
      { className: "pg-foot" },
      field(live ? "This experiment in Python" : "A link to this experiment", linked),
    ),
  );
  const widget = root.firstChild;
  widget.classList.add("moe-pg");
  root.querySelector("summary").setAttribute("data-lm-suppress-shortcuts", "true");
  titles.point.textContent = "Inspect a point";

  // Engines.
  function use(kind) {
    engine?.dispose();
    frame = undefined;
    widget.inert = true; // until there is something to act on: a kernel may be busy
    engine = kind === "kernel" ? kernelEngine(model, state.settings, own) : browserEngine(state.settings, own);
    engine.begin(state.settings, state.steps, state);
    engine.subscribe(draw);
    engine.show(visible);
    engines.value = kind;
    showSettings();
  }
  function change(partial) {
    state.preset = null;
    const settings = { ...state.settings, ...partial },
      fewer = settings.k > settings.E;
    if (fewer) settings.k = settings.E;
    state.settings = settings;
    notice.hidden = true;
    engine.change(fewer ? { ...partial, k: settings.k } : partial);
    showSettings();
  }
  function begin(next) {
    state = next;
    notice.hidden = !next.notices?.length;
    notice.textContent = notice.hidden
      ? ""
      : `Not everything in this link could be used: ${next.notices.join("; ")}. The rest stands.`;
    engine?.begin(state.settings, state.steps, state);
    showSettings();
    const meddled = state.forced?.expert ?? state.knocked.indexOf(true);
    if (meddled >= 0) which.value = meddled;
  }
  // The other kind: its first experiment in place of an experiment, else the same points, trained as long.
  function turnTo(layer) {
    if (layer === state.settings.layer) return;
    const known = !own && state.preset && PRESETS.find((p) => layerOf(p) === layer);
    const next = known
      ? fromPreset(known)
      : {
          preset: null,
          settings: carried(state.settings, layer),
          steps: Math.min(frame.step, CATCH_UP),
          point: frame.point,
          knocked: [],
          forced: null,
        };
    if (engines.value === "browser" || layer === "mixture") return begin(next);
    state = next;
    use("browser"); // the kernel has no tree to show
  }
  // What is there for this kind, and how it is called.
  function showLayer(shown) {
    const tree = shown === "tree";
    widget.dataset.layer = shown;
    for (const [layer, nodes] of Object.entries(only)) nodes.forEach((node) => (node.hidden = layer !== shown));
    kinds.forEach((button) => (button.ariaPressed = String(button.value === shown)));
    widget.classList.toggle("pg-tree", tree);
    (tree ? mainPart : mixturePart).append(keys); // under all three pictures, or beside the one
    set(keyOfPart, `${tree ? "a leaf" : "an expert"}, always this number and colour`);
    set(partsNote, tree ? TREE_NOTE : MIXTURE_NOTE);
    set(
      sharesNote,
      tree
        ? "Share of the points that hard decisions send there."
        : "Share of the choices in training, noise included.",
    );
    heads.innerHTML = (
      tree ? ["Asked", "Right", "Goes", "Weight", "Pull"] : ["Expert", "Router", "Says", "Weight", "Pull"]
    )
      .map((word, i) => `<th scope="col"${i > 2 ? ' class="moe-r"' : ""}>${word}</th>`)
      .join("");
  }
  function showSettings() {
    const s = state.settings,
      tree = s.layer === "tree",
      preset = PRESETS.find((p) => p.id === state.preset);
    if (widget.dataset.layer !== s.layer) showLayer(s.layer);
    for (const [name, input] of Object.entries(inputs)) {
      if (!Object.hasOwn(s, name)) continue;
      if (!SLIDERS[name]) input.value = s[name];
      else ((input.value = SLIDERS[name][3](s[name])), tell(input, SLIDERS[name][4](s[name])));
    }
    inputs.k.max = Math.min(4, s.E);
    inputs.coefficient.disabled = s.balance === "none";
    inputs.coefficient.previousSibling.previousSibling.textContent =
      s.balance === "bias" ? "Rate of the bias" : "Coefficient";
    for (const name of ["noise", "balance"]) inputs[name].disabled = s.gate === "hash" && name === "noise";
    centred.checked = s.centred;
    seed.value = s.seed;
    PRESETS.forEach(
      (p, i) => ((chips[i].ariaPressed = String(p === preset)), (chips[i].hidden = layerOf(p) !== s.layer)),
    );
    const pressed = chips[PRESETS.indexOf(preset)],
      strip = chips[0].parentNode; // on a phone the chips are a strip to push along
    if (pressed) strip.scrollLeft += pressed.getBoundingClientRect().left - strip.getBoundingClientRect().left - 12;
    story.textContent = preset?.sentence ?? "";
    then.hidden = !preset?.then;
    then.textContent = preset?.then?.words ?? "";
    story.parentNode.hidden = !preset;
    if (!tree && which.length !== s.E)
      which.replaceChildren(...Array.from({ length: s.E }, (_, e) => el("option", { value: e }, String(e))));
    for (const [input, off] of [
      [inputs.data, own],
      [centred, own],
      [dice, false],
    ])
      input.disabled = !!off;
    allow();
  }
  // What this engine's layer lets be changed; the page's own lets everything.
  function allow() {
    const can = frame?.can;
    chips.forEach((chip) => (chip.disabled = !!can && !can.includes("build")));
    if (!can) return;
    for (const [name, input] of [...Object.entries(inputs), ["seed", seed], ["centred", centred], ["seed", dice]]) {
      const restart = RESTARTS.includes(name) || name === "gate";
      if (!(can.includes(name) || (can.includes("build") && restart))) input.disabled = true;
    }
  }

  // What a reader does.
  play.onclick = () => (frame.busy ? engine.pause() : engine.play());
  step.onclick = () => engine.step();
  reset.onclick = () => ((state.knocked = []), (state.forced = null), engine.reset());
  kinds.forEach((button) => (button.onclick = () => turnTo(button.value)));
  chips.forEach((chip, i) => (chip.onclick = () => begin(fromPreset(PRESETS[i]))));
  then.onclick = () => {
    const { set, steps } = PRESETS.find((p) => p.id === state.preset).then;
    change(set);
    engine.run(frame.step + steps);
  };
  const setSeed = (value) => Number.isInteger(value) && value >= 0 && value <= 999999 && change({ seed: value });
  seed.onchange = () => setSeed(+seed.value) || (seed.value = state.settings.seed);
  dice.onclick = () => setSeed((state.settings.seed + 1) % 1000000);
  centred.onchange = () => change({ centred: centred.checked });
  patterns.onchange = () => draw(frame);
  point.oninput = () => engine.look((state.point = +point.value));
  map.onclick = (event) => {
    const box = map.getBoundingClientRect(),
      [l, r, b, t] = frame.data.extent,
      { x } = frame.data;
    const u = l + ((event.clientX - box.left) / box.width) * (r - l),
      v = t - ((event.clientY - box.top) / box.height) * (t - b);
    let best = 0;
    const far = (i) => (x[2 * i] - u) ** 2 + (x[2 * i + 1] - v) ** 2;
    for (let i = 1; i < frame.data.drawn; i++) if (far(i) < far(best)) best = i;
    engine.look((state.point = best));
  };
  which.onchange = () => draw(frame);
  knock.onclick = () => engine.knock(+which.value, !frame.knocked[+which.value]);
  force.oninput = () =>
    engine.force(+which.value, +force.value < 0 ? null : Math.min(+force.value, 1 / frame.settings.k));
  engines.onchange = () => ((state = { ...now(), steps: 0 }), use(engines.value));
  linked.onfocus = () => linked.select();

  // The state, as a link and as a dict.
  const now = () => ({
    preset: state.preset,
    settings: { ...frame.settings },
    steps: Math.min(frame.step, MOST_STEPS),
    point: frame.point,
    knocked: frame.knocked ?? [],
    forced: frame.forced ?? null,
  });
  const here = location.href.replace(/#.*/, ""),
    folder = location.protocol === "about:" ? "" : here.replace(/[^/]*$/, "");
  let written = "";
  function remember() {
    const s = now(),
      text = toHash(s),
      flat = flatten(s);
    if (text === written) return;
    written = text;
    if (owner && !frame.busy && text !== location.hash.slice(1))
      history.replaceState(history.state, "", text ? `#${text}` : location.pathname + location.search);
    linked.value = live ? inPython(flat) : `${owner ? here : folder + options.page}#${text || "steps=0"}`;
    if (live) (model.set("state", flat), model.save_changes());
  }

  // Drawing: what must keep up with a slider first, the rest in turns while it trains.
  let turn = 0,
    spokenAt = 0;
  function draw(next) {
    frame = next;
    if (!frame || !root.clientWidth) return;
    widget.inert = false;
    const { settings: s, now: seen, busy, settled, data } = frame,
      tree = s.layer === "tree",
      E = seen.shares.length,
      dead = Array.from(seen.shares, (v) => v < DEAD),
      striped = E > 8 || patterns.checked,
      scattered = s.gate === "hash";
    if (
      frame.can &&
      !frame.can.includes("build") &&
      ["E", "k", "noise"].some((name) => state.settings[name] !== s[name])
    ) {
      state.settings = { ...state.settings, E, k: s.k, noise: s.noise ?? 0 }; // a layer brought along says what it is
      showSettings();
    }
    data.drawn ??= Math.min(DRAWN, data.y.length);
    turn += 1;
    const { quick, sharp } = sidesOf(s, striped);
    plane = frame.plane(scattered ? SIDES.scattered : !settled ? quick : Math.min(sharp, pixels(map)));
    drawRegions(map, plane, data, {
      E,
      dead,
      picked: Math.min(frame.point, data.drawn - 1),
      patterned: striped,
      scattered,
      cuts: frame.cuts,
    });
    if (settled || turn % 2 === 0) drawMixture(mixture, plane, data, seen.predicted);
    if (tree && (settled || turn % 2 === 1))
      drawMixture(soft, { n: plane.n, predicted: plane.soft }, data, seen.soft.predicted);
    if (tree) drawDescent(dead, striped);
    else drawMeddling();
    drawUsage(dead, striped);
    drawInspected(dead);
    const idle = busy && !frame.hurried; // a slider that moves has the page for the map, the bars and the numbers
    if (settled || (idle && turn % 3 === 0)) drawTime(striped);
    drawSmalls(dead, striped, settled ? -1 : idle ? turn % 4 : 4);

    set(title, message(frame));
    set(
      kicker,
      [options.title, `${own ? "your own points" : DATASETS[s.data].toLowerCase()} · ${kickerWords(s)}`]
        .filter(Boolean)
        .join(" · "),
    );
    set(titles.map, regionsTitle(frame, plane));
    set(
      mapNote,
      tree
        ? "Colour: the leaf at the end, deeper the more weight it has in the soft mixture. Lines: the questions. Shape: the class."
        : `Colour: the ${s.k > 1 ? "first of the chosen experts" : "chosen expert"}, deeper where the router is surer. Shape: the class.`,
    );
    set(titles.mixture, mixtureTitle(frame));
    set(titles.experts, tree ? flowTitle(frame) : expertsTitle(frame));
    if (tree) set(titles.soft, softTitle(frame));
    set(titles.usage, usageTitleOf(frame));
    set(play, busy ? "Pause" : "Play");
    set(
      count,
      `step ${frame.step.toLocaleString("en")}${frame.speed ? ` · ${Math.round(frame.speed / 10) * 10} a second` : ""}`,
    );
    step.disabled = busy;
    error.hidden = !frame.error;
    set(error, frame.error);
    map.ariaLabel = `Map of the plane. ${titles.map.textContent}. Shares of the points: ${shareWords(Array.from(seen.shares), partOf(s))}.`;
    mixture.ariaLabel = `What ${tree ? "one leaf for each place" : "the mixture"} predicts. ${titles.mixture.textContent}.`;
    soft.ariaLabel = `What all leaves mixed predict. ${titles.soft.textContent}.`;
    drawReads();
    if (settled || performance.now() - spokenAt > 6000) (set(spoken, summary(frame)), (spokenAt = performance.now()));
    Object.assign(root.dataset, {
      step: frame.step,
      serial: frame.serial,
      running: frame.running,
      settled,
      engine: frame.kind,
      paints: +(root.dataset.paints ?? 0) + 1,
    });
    if (settled || !written) remember();
    allow();
  }
  const set = (node, words) => node.textContent !== words && (node.textContent = words);

  function drawReads() {
    const { now: n, recent: r, settings: s, step: at } = frame,
      hashed = s.gate === "hash",
      trained = !hashed && at > 0 && r.steps > 0 && r.routerGradient !== null;
    const tree = s.layer === "tree",
      list = tree
        ? [
            ["Dead leaves", n.dead, ` of ${n.shares.length}`],
            ["Undecided", (n.undecided / Math.log(2)).toFixed(2), " of 1"],
            ["Right, one leaf", (100 * n.hard.accuracy).toFixed(0), " %"],
            ["Right, all mixed", (100 * n.soft.accuracy).toFixed(0), " %"],
            ["Usage entropy", n.entropy.toFixed(2), " of 1"],
            ["Specialisation", n.nmi.toFixed(2), " NMI"],
          ]
        : [
            ["Dead experts", n.dead, ` of ${s.E}`],
            ["Right, held out", (100 * n.accuracy).toFixed(0), " %"],
            ["Usage entropy", n.entropy.toFixed(2), " of 1"],
            ["Specialisation", n.nmi.toFixed(2), " NMI"],
            ["Largest share", Math.round(100 * n.largest), " %"],
            [
              "Router gradient",
              trained ? gradientWords(r.routerGradient).replace("exactly ", "") : "–",
              hashed ? " no router" : trained && r.routerGradient === 0 ? " exactly" : "",
            ],
          ];
    if (reads.dataset.layer !== s.layer)
      ((reads.dataset.layer = s.layer),
        (reads.innerHTML = list
          .map(([name]) => `<div><dt>${name}</dt><dd><b></b><small></small></dd></div>`)
          .join("")));
    list.forEach(
      ([, value, unit], i) => (
        set(reads.children[i].lastChild.firstChild, String(value)),
        set(reads.children[i].lastChild.lastChild, unit)
      ),
    );
  }

  function drawUsage(dead, striped) {
    const shares = frame.now.shares,
      E = shares.length,
      top = Math.max(...shares, 0.25);
    if (bars.children.length !== E)
      bars.innerHTML = Array.from(
        shares,
        (_, e) =>
          `<li>${badge(e)}<span class="moe-track"><i style="--c:var(--moe-e${e});--o:var(--moe-on${e})"></i><b></b></span><span class="moe-r"></span></li>`,
      ).join("");
    shares.forEach((v, e) => {
      const [mark, track, words] = bars.children[e].children,
        [bar, line] = track.children;
      mark.classList.toggle("moe-dead", dead[e]);
      bar.className = striped ? `moe-p${e >> 2}` : "";
      bar.style.width = dead[e] ? "0" : `${((100 * v) / top).toFixed(1)}%`;
      line.style.left = `${(100 / E / top).toFixed(1)}%`;
      set(words, frame.knocked?.[e] ? "out" : dead[e] ? "dead" : percent(v));
      words.classList.toggle("moe-muted", dead[e]);
    });
    set(
      usageNote,
      frame.settings.layer === "tree"
        ? "Share of the points, one leaf each."
        : `Share of the ${frame.settings.k > 1 ? "choices" : "points"}, without noise.`,
    );
    set(fair, fairWords(E));
  }

  function drawMeddling() {
    const E = frame.now.shares.length,
      e = +which.value,
      forced = frame.forced?.expert === e ? frame.forced.share : null;
    knock.ariaPressed = String(!!frame.knocked[e]);
    set(knock, frame.knocked[e] ? "Bring it back" : "Knock it out");
    const can = frame.can?.includes("knock") ?? true,
      alone = sum(frame.knocked.map(Number)) >= E - 1;
    knock.disabled = !can || (!frame.knocked[e] && alone);
    force.disabled = !(frame.can?.includes("force") ?? true) || frame.knocked[e] || frame.settings.gate === "hash";
    force.max = Math.floor(20 / frame.settings.k) / 20;
    if (document.activeElement !== force) force.value = forced ?? -0.05;
    tell(force, forced === null ? "off" : percent(forced));
    if (E !== which.length) showSettings();
  }

  function drawDescent(dead, striped) {
    const { now: seen, settings: s, inspected: p } = frame;
    flow.parentNode.style.height = `${30 + 50 * s.depth}px`;
    widget.style.setProperty("--leaves", dead.length);
    drawFlow(flow, s, seen, p, { dead, patterned: striped });
    flow.ariaLabel =
      `The tree. ${flowTitle(frame)}. ${Array.from(seen.nodes, (part, n) => (part < DEAD ? "" : `Question ${letter(n)} is put to ${percent(part)} of the points. `)).join("")}` +
      `Shares of the leaves: ${shareWords(Array.from(seen.shares), "leaf")}. The inspected point goes down ${p.path.map(letter).join(", ")} to leaf ${p.leaf}.`;
  }

  // The inspected point: its number, and what is said of it below the table.
  function drawInspected(dead) {
    const words = pointWords(frame),
      result = words.right ? '<b class="pg-right">✓ right</b>' : '<b class="pg-wrong">✗ wrong</b>',
      html = `${words.verdict}${result}`;
    point.max = frame.data.drawn - 1;
    point.value = frame.point;
    tell(point, `${frame.point + 1} of ${frame.data.drawn}`);
    if (verdict.dataset.now !== html) ((verdict.innerHTML = html), (verdict.dataset.now = html));
    set(heard, words.heard);
    if (frame.settings.layer === "tree") drawWay(dead);
    else drawChoice(dead);
  }

  function makeRows(count) {
    const row =
      '<tr><th scope="row"><span></span></th><td><span class="moe-bar"><i></i><span></span></span></td><td><span aria-hidden="true"></span><span class="moe-sr"></span></td><td class="moe-r"></td><td class="moe-r"></td></tr>';
    if (rows.children.length !== count) rows.innerHTML = row.repeat(count);
  }

  // Its way down: the questions, then the leaf.
  function drawWay(dead) {
    const { right, weights, gradient, path, leaf, says } = frame.inspected;
    makeRows(path.length + 1);
    let arriving = 1;
    [...path, -1].forEach((n, i) => {
      const [name, prob, goes, weight, pull] = rows.children[i].children,
        [bar, number] = prob.firstChild.children,
        next = path[i + 1] ?? leaf + right.length,
        rightwards = next === 2 * n + 2;
      rows.children[i].className = "moe-on";
      arriving = n < 0 ? weights[leaf] : arriving * (rightwards ? right[n] : 1 - right[n]);
      const shown = n < 0 ? badge(leaf, dead[leaf]) : letter(n);
      if (name.dataset.now !== shown) ((name.innerHTML = shown), (name.dataset.now = shown));
      bar.style.cssText = n < 0 ? "display:none" : `--c:var(--moe-muted);width:${(16 * right[n]).toFixed(1)}px`;
      set(number, n < 0 ? "" : right[n].toFixed(2));
      set(goes.firstChild, n < 0 ? SHAPES[says[leaf]].sign : rightwards ? "→" : "←");
      set(goes.lastChild, n < 0 ? SHAPES[says[leaf]].name : rightwards ? "right" : "left");
      set(weight, arriving.toFixed(2));
      set(pull, n < 0 ? "" : pullWords(-gradient[n]));
    });
  }

  function drawChoice(dead) {
    const p = frame.inspected,
      { E, k } = frame.settings,
      count = Math.min(E, Math.max(k + 2, 4));
    const order = Array.from(p.probs, (_, e) => e)
      .sort((a, b) => p.chosen.includes(b) - p.chosen.includes(a) || p.probs[b] - p.probs[a])
      .slice(0, count);
    makeRows(count);
    order.forEach((e, i) => {
      const row = rows.children[i],
        [name, prob, says, weight, pull] = row.children,
        at = p.chosen.indexOf(e),
        [bar, number] = prob.firstChild.children;
      row.className = at < 0 ? "moe-off" : "moe-on";
      if (name.dataset.now !== `${e} ${dead[e]}`)
        ((name.innerHTML = badge(e, dead[e])), (name.dataset.now = `${e} ${dead[e]}`));
      bar.style.cssText = `--c:var(--moe-${dead[e] ? "border" : `e${e}`});width:${(36 * Math.min(1, p.probs[e])).toFixed(1)}px`;
      set(number, p.probs[e].toFixed(2));
      set(says.firstChild, p.says ? SHAPES[p.says[e]].sign : "");
      set(says.lastChild, p.says ? SHAPES[p.says[e]].name : "");
      set(weight, at < 0 ? "–" : (p.weights[at]?.toFixed(2) ?? "asked"));
      set(pull, p.gradient === null ? "" : pullWords(-p.gradient[e]));
    });
  }

  function drawTime(striped) {
    const { history, settings: s } = frame,
      steps = history.map((row) => row.step),
      last = history.at(-1);
    bands.parentNode.classList.toggle("pg-tall", last.shares.length > 9);
    curve.parentNode.classList.toggle("pg-tall", last.shares.length > 9);
    drawBands(
      bands,
      steps,
      history.map((row) => row.shares),
      Array.from(last.shares),
      history.length - 1,
      striped,
    );
    const lines = [{ values: history.map((row) => row.task), words: `task ${last.task.toFixed(2)}` }];
    for (const name of ["hardening", "balance"])
      if (history.some((row) => row[name]))
        lines.push({ values: history.map((row) => row[name]), words: `${name} ${short(last[name])}` });
    drawLines(curve, steps, lines, 0, roundUp(Math.max(...lines[0].values)));
    set(titles.shares, sharesTitle(frame));
    set(titles.loss, lossTitle(frame));
    bands.ariaLabel = `Usage over ${last.step} steps. ${titles.shares.textContent}. At the end: ${shareWords(Array.from(last.shares), partOf(s))}.`;
    curve.ariaLabel = `Loss over ${last.step} steps. ${titles.loss.textContent}.`;
  }

  function drawSmalls(dead, striped, only) {
    const { shares } = frame.now,
      E = shares.length;
    while (smalls.children.length > E) smalls.lastChild.remove();
    for (let e = smalls.children.length; e < E; e++)
      smalls.append(
        el(
          "li",
          {},
          el("div", { className: "pg-cap", innerHTML: `${badge(e)}<span></span>` }),
          square(canvas(`expert-${e}`)),
        ),
      );
    shares.forEach((v, e) => {
      const item = smalls.children[e],
        [mark, words] = item.firstChild.children,
        picture = item.querySelector("canvas");
      item.classList.toggle("pg-dead", dead[e]);
      mark.classList.toggle("moe-dead", dead[e]);
      set(words, frame.knocked?.[e] ? "out" : dead[e] ? "dead" : percent(v));
      const says = only < 0 || e % 4 === only ? frame.partPlane(e, SIDES.part) : null;
      if (says && picture.clientWidth)
        drawExpert(picture, e, says, Math.sqrt(says.length), plane, frame.data.classes, {
          dead: dead[e],
          patterned: striped,
        });
      picture.ariaLabel = `What ${partOf(frame.settings)} ${e} would predict; ${dead[e] ? "dead, nobody asks it" : `used for ${percent(v)}`}.`;
    });
  }

  // Off-screen it stands still.
  let visible = true;
  const sight = new IntersectionObserver(([entry]) => ((visible = entry.isIntersecting), engine.show(visible)), {
    rootMargin: "100px",
  });
  const onHash = () => {
    const next = fromHash(location.hash);
    if (!next || location.hash.slice(1) === written) return;
    begin(next);
    if (root.getBoundingClientRect().bottom < 100 || root.getBoundingClientRect().top > innerHeight - 100)
      root.scrollIntoView(); // a link further down asked for it
  };
  if (owner) addEventListener("hashchange", onHash);
  if (root.clientWidth && root.clientWidth < 560) controls.open = false;
  begin(state);
  use(live && options.layer ? "kernel" : "browser");
  sight.observe(root);
  const stop = redrawOnChange(root, () => draw(frame));
  return () => (stop(), sight.disconnect(), removeEventListener("hashchange", onHash), engine.dispose());
}

const fromPreset = (p) => ({
  preset: p.id,
  settings: { ...defaultsOf(layerOf(p)), ...p.settings },
  steps: p.steps,
  point: 0,
  knocked: [],
  forced: null,
});
function fromOptions({ preset, settings, steps, point, out, forced }) {
  const base = PRESETS.find((p) => p.id === preset),
    layer = base ? layerOf(base) : (settings.layer ?? "mixture"),
    chosen = { ...defaultsOf(layer), ...base?.settings, ...settings };
  if (layer === "mixture") chosen.k = Math.min(chosen.k, chosen.E);
  const knocked = Array.from({ length: chosen.E }, (_, e) => !!out?.includes(e)),
    touched = Object.keys(settings).some((name) => name !== "layer");
  return {
    preset: base && !touched ? preset : null,
    settings: checkExperiment(chosen),
    steps: steps ?? base?.steps ?? 0,
    point: point ?? 0,
    knocked,
    forced: forced ? { expert: forced[0], share: forced[1] } : null,
  };
}
// As playground() takes it: plain names and values, only what differs.
function flatten({ settings, steps, point, knocked, forced }) {
  const usual = { ...defaultsOf(settings.layer), layer: "mixture" },
    flat = Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== usual[name]));
  if (steps) flat.steps = steps;
  if (point) flat.point = point;
  if (knocked.includes(true)) flat.out = knocked.flatMap((gone, e) => (gone ? [e] : []));
  if (forced) flat.forced = [forced.expert, forced.share];
  return flat;
}
const pullWords = (v) =>
  v === 0 ? "0" : Math.abs(v) < 0.005 ? "≈ 0" : `${v > 0 ? "+" : "−"}${Math.abs(v).toFixed(2)}`;
const python = (value) => (value === true ? "True" : value === false ? "False" : JSON.stringify(value));
const inPython = (flat) =>
  `playground(${Object.entries(flat)
    .map(([name, value]) => `${name}=${python(value)}`)
    .join(", ")})`;
function ownData(own) {
  if (!own) return undefined;
  const { x, y, regime, xTest, yTest, regimeTest, classes, extent } = own,
    bytes = (view) => numbers(view, Uint8Array),
    floats = (view) => numbers(view, Float64Array);
  return {
    x: floats(x),
    y: bytes(y),
    regime: bytes(regime),
    xTest: floats(xTest),
    yTest: bytes(yTest),
    regimeTest: bytes(regimeTest),
    classes,
    extent,
  };
}
export default { render };
