// The playground's face: controls, pictures and readouts. It knows engines by their interface alone (see engine.js).
import { DEFAULTS, GATES, checkSettings } from "./model.js";
import { DATASETS } from "./data.js";
import { PRESETS } from "./presets.js";
import { RESTARTS, browserEngine } from "./engine.js";
import { kernelEngine } from "./kernel.js";
import { MOST_STEPS, fromHash, toHash } from "./url.js";
import { drawExpert, drawMixture, drawRegions } from "./charts.js";
import { expertsTitle, gradientWords, lossTitle, message, mixtureTitle, pointWords, regionsTitle, sharesTitle, summary, usageTitleOf } from "./words.js";

const DRAWN = 300; // points that are drawn; all of them are learnt from
const SIDES = { quick: 112, sharp: 320, scattered: 72, expert: 44 }; // places along a side: in motion, at rest, of a hash, of one expert
const GATE_NAMES = { softmax_topk: "softmax, then top-k", topk_softmax: "top-k, then softmax", sigmoid_topk: "sigmoid, then top-k", hash: "a fixed hash, no router" };
const BALANCE_NAMES = { none: "nothing", switch: "Switch loss", importance: "importance loss", bias: "bias on the choice" };
const same = (v) => v, power = (p) => +(10 ** p).toPrecision(2), short = (v) => String(+v.toPrecision(2));
const stops = (list) => [{ min: 0, max: list.length - 1, step: 1 }, (i) => list[i], (v) => list.reduce((a, b, i) => (Math.abs(b - v) < Math.abs(list[a] - v) ? i : a), 0)];
// name: [label, the slider's range, slider -> setting, setting -> slider, words]
const SLIDERS = {
  E: ["Experts, E", { min: 2, max: 16, step: 1 }, same, same, String],
  k: ["Chosen per point, k", { min: 1, max: 4, step: 1 }, same, same, (v) => String(v)],
  width: ["Neurons per expert", ...stops([1, 2, 3, 4, 6, 8, 12, 16, 24, 32]), String],
  noise: ["Noise on the logits", { min: 0, max: 3, step: 0.1 }, (v) => +v.toFixed(1), same, (v) => (v ? `σ = ${v.toFixed(1)}` : "off")],
  coefficient: ["Coefficient", { min: -3, max: 2, step: 0.25 }, power, Math.log10, short],
  rate: ["Learning rate", { min: -3.5, max: 0, step: 0.25 }, power, Math.log10, short],
  batch: ["Batch", ...stops([8, 16, 32, 64, 128, 256, 512]), String],
};

function render({ model, el: root }) {
  const options = model.get("options"), live = !!model.widget_manager?.kernel, own = ownData(options.own), owner = options.link && !live;
  const asked = owner ? fromHash(location.hash) : null;
  let state = asked ?? fromOptions(options), engine, frame, plane;

  // Parts.
  const button = (words, extra = {}) => el("button", { type: "button", className: "moe-button moe-quiet", ...extra }, words);
  const kicker = el("p", { className: "moe-kicker" }), title = el("p", { className: "pg-message" });
  const play = el("button", { type: "button", className: "moe-button" }, "Play"), step = button("Step", { title: "One training step" });
  const reset = button("Reset", { title: "Back to the start, with these settings" }), count = el("span", { className: "pg-count" });
  const notice = el("p", { className: "pg-notice", role: "status", hidden: true }), error = el("pre", { className: "moe-error", role: "alert", hidden: true });
  const spoken = el("p", { className: "moe-sr", role: "status" });
  const chips = PRESETS.map((p) => el("button", { type: "button", className: "pg-chip", ariaPressed: "false" }, p.name));
  const story = el("p", { className: "pg-story" }), then = button("", { className: "moe-button moe-quiet pg-then" });
  const canvas = (name) => el("canvas", { role: "img", "data-picture": name });
  const map = canvas("regions"), mixture = canvas("mixture"), bands = canvas("shares"), curve = canvas("loss");
  const titles = Object.fromEntries(["map", "mixture", "experts", "shares", "loss", "usage", "point"].map((name) => [name, subtitle()]));
  const note = (words) => el("p", { className: "moe-note" }, words);
  const mapNote = note(), usageNote = note(), fair = note(), smalls = el("ul", { className: "pg-smalls" }), bars = el("ol", { className: "moe-shares" });
  const reads = el("dl", { className: "pg-reads" }), point = el("input", { type: "range", min: 0, step: 1 });
  const rows = el("tbody"), verdict = el("p", { className: "pg-verdict" }), heard = note();
  const which = el("select", {}), knock = button("Knock it out", { ariaPressed: "false" }), force = el("input", { type: "range", min: -0.05, max: 1, step: 0.05 });
  const linked = el("input", { type: "text", readOnly: true }), patterns = el("input", { type: "checkbox" }), centred = el("input", { type: "checkbox" });
  const seed = el("input", { type: "number", min: 0, max: 999999, step: 1 }), dice = button("Another", { title: "The next seed" });
  const engines = el("select", {}, el("option", { value: "browser" }, "this page"), el("option", { value: "kernel" }, options.layer ? "the kernel: your layer" : "the kernel, with torch"));

  const inputs = {};
  const select = (name, words, choices) => {
    const input = (inputs[name] = el("select", {}, ...Object.entries(choices).map(([value, text]) => el("option", { value }, text))));
    input.onchange = () => change({ [name]: input.value });
    return field(words, input);
  };
  const slider = (name) => {
    const [words, range, setting] = SLIDERS[name], input = (inputs[name] = el("input", { type: "range", ...range }));
    input.oninput = () => change({ [name]: setting(+input.value) });
    return field(words, input);
  };
  const check = (input, words, more) => {
    input.id = `moe-${page}-${fields++}`;
    return el("div", { className: "pg-check" }, input, el("label", { htmlFor: input.id }, words, el("small", {}, more)));
  };
  const group = (words, ...parts) => el("fieldset", {}, el("legend", {}, words), ...parts);
  const part = (area, label, ...parts) => el("div", { className: `pg-${area}`, role: "group", ariaLabel: label }, ...parts);
  const square = (node) => el("div", { className: "pg-square" }, node);
  const controls = el("details", { open: true }, el("summary", {}, "Change the experiment"), el("div", { className: "pg-fields" },
    group("Data", select("data", "Points", own ? { [state.settings.data]: "your own" } : DATASETS), check(centred, "Centred input", "subtract the mean first"), el("div", { className: "pg-seed" }, field("Seed", seed), dice)),
    group("Router", slider("E"), slider("k"), select("gate", "Gate", Object.fromEntries(GATES.map((g) => [g, GATE_NAMES[g]]))), slider("noise")),
    group("Balance", select("balance", "Balanced by", BALANCE_NAMES), slider("coefficient")),
    group("Training", slider("rate"), slider("batch"), slider("width"), ...(live && options.kernel ? [field("Train in", engines)] : []), check(patterns, "Patterns", "as well as colours"))));
  const key = [
    ["<circle cx='5' cy='8' r='3.6' fill='var(--moe-text)'/><path d='M16 3.5l4.3 7.5h-8.6z' fill='var(--moe-text)'/><rect x='24.5' y='4.5' width='7' height='7' fill='none' stroke='var(--moe-text)' stroke-width='1.5'/>", "a class, as its shape"],
    ["<circle cx='8' cy='8' r='3' fill='var(--moe-text)'/><circle cx='8' cy='8' r='6.2' fill='none' stroke='var(--moe-fails)' stroke-width='1.7'/>", "predicted wrongly"],
    ["<circle cx='8' cy='8' r='3' fill='var(--moe-text)'/><circle cx='8' cy='8' r='6.6' fill='none' stroke='var(--moe-accent)' stroke-width='2'/>", "the inspected point"],
  ].map(([drawing, words]) => `<li><svg width="34" height="16" viewBox="0 0 34 16" aria-hidden="true">${drawing}</svg><span>${words}</span></li>`).join("") +
    `<li><span>${badge(2)}</span><span>an expert, always this number and colour</span></li><li><span>${badge(5, true)}</span><span>dead: under 1 % of the points</span></li>`;

  mount(root,
    el("div", { className: "pg-head" }, el("div", {}, kicker, title), el("div", { className: "pg-transport" }, play, step, reset, count)),
    el("div", { className: "pg-top" }, part("try", "Experiments to start from", el("span", { className: "moe-note" }, "Try"), ...chips), el("div", { className: "pg-told" }, story, then), notice, error, spoken),
    part("controls", "Controls", controls),
    part("main", "The plane", el("div", {}, titles.map, mapNote, square(map)),
      el("div", { className: "pg-mixture" }, titles.mixture, note("Shade of grey: the predicted class."), square(mixture), el("ul", { className: "pg-key", innerHTML: key }))),
    part("experts", "Each expert by itself", titles.experts, note("Shade: the class it would predict. Colour: only where the router asks it first. Grey: an opinion that nobody hears."), smalls),
    part("time", "Over time", el("div", {}, titles.shares, note("Share of the choices in training, noise included."), el("div", { className: "pg-chart" }, bands)),
      el("div", {}, titles.loss, note("Loss per training step, averaged over twenty."), el("div", { className: "pg-chart" }, curve))),
    el("div", { className: "pg-side" }, reads, part("usage", "Usage", titles.usage, usageNote, bars, fair),
      part("point", "Inspect a point", titles.point, field("Point", point), el("table", {}, el("thead", { innerHTML: '<tr><th scope="col">Expert</th><th scope="col">Router</th><th scope="col">Says</th><th scope="col" class="moe-r">Weight</th><th scope="col" class="moe-r">Pull</th></tr>' }), rows), verdict, heard),
      part("meddle", "Step in", subtitle("Step in"), el("div", { className: "pg-row" }, field("Expert", which), knock), field("Force its share", force))),
    el("div", { className: "pg-foot" }, field(live ? "This experiment in Python" : "A link to this experiment", linked)),
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
    if (!Object.hasOwn(partial, "seed") || state.preset !== null) state.preset = null;
    const settings = { ...state.settings, ...partial };
    settings.k = Math.min(settings.k, settings.E);
    state.settings = settings;
    notice.hidden = true;
    engine.change(settings.k === frame?.settings.k ? partial : { ...partial, k: settings.k });
    showSettings();
  }
  function begin(next) {
    state = next;
    notice.hidden = !next.notices?.length;
    notice.textContent = notice.hidden ? "" : `Not everything in this link could be used: ${next.notices.join("; ")}. The rest stands.`;
    engine?.begin(state.settings, state.steps, state);
    showSettings();
    const meddled = state.forced?.expert ?? state.knocked.indexOf(true);
    if (meddled >= 0) which.value = meddled;
  }
  function showSettings() {
    const s = state.settings, preset = PRESETS.find((p) => p.id === state.preset);
    for (const [name, input] of Object.entries(inputs)) {
      if (!SLIDERS[name]) input.value = s[name];
      else (input.value = SLIDERS[name][3](s[name])), tell(input, SLIDERS[name][4](s[name]));
    }
    inputs.k.max = Math.min(4, s.E);
    inputs.coefficient.disabled = s.balance === "none";
    inputs.coefficient.previousSibling.previousSibling.textContent = s.balance === "bias" ? "Rate of the bias" : "Coefficient";
    for (const name of ["noise", "balance"]) inputs[name].disabled = s.gate === "hash" && name === "noise";
    centred.checked = s.centred;
    seed.value = s.seed;
    PRESETS.forEach((p, i) => (chips[i].ariaPressed = String(p === preset)));
    const pressed = chips[PRESETS.indexOf(preset)], strip = chips[0].parentNode; // on a phone the chips are a strip to push along
    if (pressed) strip.scrollLeft += pressed.getBoundingClientRect().left - strip.getBoundingClientRect().left - 12;
    story.textContent = preset?.sentence ?? "";
    then.hidden = !preset?.then;
    then.textContent = preset?.then?.words ?? "";
    story.parentNode.hidden = !preset;
    if (which.length !== s.E) which.replaceChildren(...Array.from({ length: s.E }, (_, e) => el("option", { value: e }, String(e))));
    for (const [input, off] of [[inputs.data, own], [centred, own], [dice, false]]) input.disabled = !!off;
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
    const box = map.getBoundingClientRect(), [l, r, b, t] = frame.data.extent, { x } = frame.data;
    const u = l + ((event.clientX - box.left) / box.width) * (r - l), v = t - ((event.clientY - box.top) / box.height) * (t - b);
    let best = 0;
    const far = (i) => (x[2 * i] - u) ** 2 + (x[2 * i + 1] - v) ** 2;
    for (let i = 1; i < frame.data.drawn; i++) if (far(i) < far(best)) best = i;
    engine.look((state.point = best));
  };
  which.onchange = () => draw(frame);
  knock.onclick = () => engine.knock(+which.value, !frame.knocked[+which.value]);
  force.oninput = () => engine.force(+which.value, +force.value < 0 ? null : Math.min(+force.value, 1 / frame.settings.k));
  engines.onchange = () => ((state = { ...now(), steps: 0 }), use(engines.value));
  linked.onfocus = () => linked.select();

  // The state, as a link and as a dict.
  const now = () => ({ preset: state.preset, settings: { ...frame.settings }, steps: Math.min(frame.step, MOST_STEPS), point: frame.point, knocked: frame.knocked, forced: frame.forced });
  const here = location.href.replace(/#.*/, ""), folder = location.protocol === "about:" ? "" : here.replace(/[^/]*$/, "");
  let written = "";
  function remember() {
    const s = now(), text = toHash(s), flat = flatten(s);
    if (text === written) return;
    written = text;
    if (owner && !frame.busy && text !== location.hash.slice(1)) history.replaceState(history.state, "", text ? `#${text}` : location.pathname + location.search);
    linked.value = live ? inPython(flat) : `${owner ? here : folder + options.page}#${text || "steps=0"}`;
    if (live) (model.set("state", flat), model.save_changes());
  }

  // Drawing: what must keep up with a slider first, the rest in turns while it trains.
  let turn = 0, spokenAt = 0, pointerDown = false;
  function draw(next) {
    frame = next;
    if (!frame || !root.clientWidth) return;
    widget.inert = false;
    const { settings: s, now: seen, busy, settled, data } = frame, E = s.E, dead = Array.from(seen.shares, (v) => v < DEAD), striped = E > 8 || patterns.checked, scattered = s.gate === "hash";
    if (frame.can && !frame.can.includes("build") && ["E", "k", "noise"].some((name) => state.settings[name] !== s[name])) {
      state.settings = { ...state.settings, E, k: s.k, noise: s.noise ?? 0 }; // a layer brought along says what it is
      showSettings();
    }
    data.drawn ??= Math.min(DRAWN, data.y.length);
    turn += 1;
    plane = frame.plane(scattered ? SIDES.scattered : !settled ? SIDES.quick : Math.min(SIDES.sharp, pixels(map)));
    drawRegions(map, plane, data, { E, dead, picked: Math.min(frame.point, data.drawn - 1), patterned: striped, scattered });
    if (settled || turn % 2 === 0) drawMixture(mixture, plane, data, seen.predicted);
    drawUsage(dead, striped);
    drawInspected(dead);
    const idle = busy && !frame.hurried; // a slider that moves has the page for the map, the bars and the numbers
    if (settled || (idle && turn % 3 === 0)) drawTime(striped);
    drawSmalls(dead, striped, settled ? -1 : idle ? turn % 4 : 4);

    set(title, message(frame));
    set(kicker, [options.title, `${own ? "your own points" : DATASETS[s.data].toLowerCase()} · ${E} experts, ${s.k} per point`].filter(Boolean).join(" · "));
    set(titles.map, regionsTitle(frame, plane));
    set(mapNote, `Colour: the ${s.k > 1 ? "first of the chosen experts" : "chosen expert"}, deeper where the router is surer. Shape: the class.`);
    set(titles.mixture, mixtureTitle(frame));
    set(titles.experts, expertsTitle(frame));
    set(titles.usage, usageTitleOf(frame));
    set(play, busy ? "Pause" : "Play");
    set(count, `step ${frame.step.toLocaleString("en")}${frame.speed ? ` · ${Math.round(frame.speed / 10) * 10} a second` : ""}`);
    step.disabled = busy;
    error.hidden = !frame.error;
    set(error, frame.error);
    map.ariaLabel = `Map of the plane. ${titles.map.textContent}. Shares of the points: ${shareWords(Array.from(seen.shares))}.`;
    mixture.ariaLabel = `What the mixture predicts. ${titles.mixture.textContent}.`;
    drawReads();
    if (settled || performance.now() - spokenAt > 6000) (set(spoken, summary(frame)), (spokenAt = performance.now()));
    Object.assign(root.dataset, { step: frame.step, serial: frame.serial, running: frame.running, settled, engine: frame.kind, paints: +(root.dataset.paints ?? 0) + 1 });
    if (settled || !written) remember();
    allow();
  }
  const set = (node, words) => node.textContent !== words && (node.textContent = words);

  function drawReads() {
    const { now: n, recent: r, settings: s, step: at } = frame, hashed = s.gate === "hash", trained = !hashed && at > 0 && r.steps > 0 && r.routerGradient !== null;
    const list = [["Dead experts", n.dead, ` of ${s.E}`], ["Right, held out", (100 * n.accuracy).toFixed(0), " %"], ["Usage entropy", n.entropy.toFixed(2), " of 1"], ["Specialisation", n.nmi.toFixed(2), " NMI"],
      ["Largest share", Math.round(100 * n.largest), " %"], ["Router gradient", trained ? gradientWords(r.routerGradient).replace("exactly ", "") : "–", hashed ? " no router" : trained && r.routerGradient === 0 ? " exactly" : ""]];
    if (!reads.children.length) reads.innerHTML = list.map(([name]) => `<div><dt>${name}</dt><dd><b></b><small></small></dd></div>`).join("");
    list.forEach(([, value, unit], i) => (set(reads.children[i].lastChild.firstChild, String(value)), set(reads.children[i].lastChild.lastChild, unit)));
  }

  function drawUsage(dead, striped) {
    const shares = frame.now.shares, E = shares.length, top = Math.max(...shares, 0.25);
    if (bars.children.length !== E) bars.innerHTML = Array.from(shares, (_, e) => `<li>${badge(e)}<span class="moe-track"><i style="--c:var(--moe-e${e});--o:var(--moe-on${e})"></i><b></b></span><span class="moe-r"></span></li>`).join("");
    shares.forEach((v, e) => {
      const [mark, track, words] = bars.children[e].children, [bar, line] = track.children;
      mark.classList.toggle("moe-dead", dead[e]);
      bar.className = striped ? `moe-p${e >> 2}` : "";
      bar.style.width = dead[e] ? "0" : `${((100 * v) / top).toFixed(1)}%`;
      line.style.left = `${(100 / E / top).toFixed(1)}%`;
      set(words, frame.knocked[e] ? "out" : dead[e] ? "dead" : percent(v));
      words.classList.toggle("moe-muted", dead[e]);
    });
    set(usageNote, `Share of the ${frame.settings.k > 1 ? "choices" : "points"}, without noise.`);
    set(fair, fairWords(E));
    const e = +which.value, forced = frame.forced?.expert === e ? frame.forced.share : null;
    knock.ariaPressed = String(!!frame.knocked[e]);
    set(knock, frame.knocked[e] ? "Bring it back" : "Knock it out");
    const can = frame.can?.includes("knock") ?? true, alone = sum(frame.knocked.map(Number)) >= E - 1;
    knock.disabled = !can || (!frame.knocked[e] && alone);
    force.disabled = !(frame.can?.includes("force") ?? true) || frame.knocked[e] || frame.settings.gate === "hash";
    force.max = Math.floor(20 / frame.settings.k) / 20;
    if (document.activeElement !== force) force.value = forced ?? -0.05;
    tell(force, forced === null ? "off" : percent(forced));
    if (E !== which.length) showSettings();
  }

  function drawInspected(dead) {
    const p = frame.inspected, { E, k } = frame.settings, words = pointWords(frame), count = Math.min(E, Math.max(k + 2, 4));
    point.max = frame.data.drawn - 1;
    point.value = frame.point;
    tell(point, `${frame.point + 1} of ${frame.data.drawn}`);
    const order = Array.from(p.probs, (_, e) => e).sort((a, b) => p.chosen.includes(b) - p.chosen.includes(a) || p.probs[b] - p.probs[a]).slice(0, count);
    if (rows.children.length !== count) rows.innerHTML = order.map(() => '<tr><th scope="row"><span></span></th><td><span class="moe-bar"><i></i><span></span></span></td><td><span aria-hidden="true"></span><span class="moe-sr"></span></td><td class="moe-r"></td><td class="moe-r"></td></tr>').join("");
    order.forEach((e, i) => {
      const row = rows.children[i], [name, prob, says, weight, pull] = row.children, at = p.chosen.indexOf(e), [bar, number] = prob.firstChild.children;
      row.className = at < 0 ? "moe-off" : "moe-on";
      if (name.dataset.now !== `${e} ${dead[e]}`) (name.innerHTML = badge(e, dead[e])), (name.dataset.now = `${e} ${dead[e]}`);
      bar.style.cssText = `--c:var(--moe-${dead[e] ? "border" : `e${e}`});width:${(36 * Math.min(1, p.probs[e])).toFixed(1)}px`;
      set(number, p.probs[e].toFixed(2));
      set(says.firstChild, p.says ? SHAPES[p.says[e]].sign : "");
      set(says.lastChild, p.says ? SHAPES[p.says[e]].name : "");
      set(weight, at < 0 ? "–" : p.weights[at]?.toFixed(2) ?? "asked");
      set(pull, p.gradient === null ? "" : pullWords(-p.gradient[e]));
    });
    const result = words.right ? '<b class="pg-right">✓ right</b>' : '<b class="pg-wrong">✗ wrong</b>', html = `${words.verdict}${result}`;
    if (verdict.dataset.now !== html) (verdict.innerHTML = html), (verdict.dataset.now = html);
    set(heard, words.heard);
  }

  function drawTime(striped) {
    const { history, settings: s } = frame, steps = history.map((row) => row.step), last = history.at(-1);
    bands.parentNode.classList.toggle("pg-tall", s.E > 9);
    curve.parentNode.classList.toggle("pg-tall", s.E > 9);
    drawBands(bands, steps, history.map((row) => row.shares), Array.from(last.shares), history.length - 1, striped);
    const lines = [{ values: history.map((row) => row.task), words: `task ${last.task.toFixed(2)}` }];
    if (history.some((row) => row.balance)) lines.push({ values: history.map((row) => row.balance), words: `balance ${short(last.balance)}` });
    drawLines(curve, steps, lines, 0, roundUp(Math.max(...lines[0].values)));
    set(titles.shares, sharesTitle(frame));
    set(titles.loss, lossTitle(frame));
    bands.ariaLabel = `Usage over ${last.step} steps. ${titles.shares.textContent}. At the end: ${shareWords(Array.from(last.shares))}.`;
    curve.ariaLabel = `Loss over ${last.step} steps. ${titles.loss.textContent}.`;
  }

  function drawSmalls(dead, striped, only) {
    const { shares } = frame.now, E = shares.length;
    while (smalls.children.length > E) smalls.lastChild.remove();
    for (let e = smalls.children.length; e < E; e++) smalls.append(el("li", {}, el("div", { className: "pg-cap", innerHTML: `${badge(e)}<span></span>` }), square(canvas(`expert-${e}`))));
    shares.forEach((v, e) => {
      const item = smalls.children[e], [mark, words] = item.firstChild.children, picture = item.querySelector("canvas");
      item.classList.toggle("pg-dead", dead[e]);
      mark.classList.toggle("moe-dead", dead[e]);
      set(words, frame.knocked[e] ? "out" : dead[e] ? "dead" : percent(v));
      const says = only < 0 || e % 4 === only ? frame.expertPlane(e, SIDES.expert) : null;
      if (says && picture.clientWidth) drawExpert(picture, e, says, Math.sqrt(says.length), plane, frame.data.classes, { dead: dead[e], patterned: striped });
      picture.ariaLabel = `What expert ${e} would predict; ${dead[e] ? "dead, nobody asks it" : `used for ${percent(v)}`}.`;
    });
  }

  // Off-screen it stands still.
  let visible = true;
  const sight = new IntersectionObserver(([entry]) => ((visible = entry.isIntersecting), engine.show(visible)), { rootMargin: "100px" });
  const onHash = () => {
    const next = fromHash(location.hash);
    if (!next || location.hash.slice(1) === written) return;
    begin(next);
    if (root.getBoundingClientRect().bottom < 100 || root.getBoundingClientRect().top > innerHeight - 100) root.scrollIntoView(); // a link further down asked for it
  };
  if (owner) addEventListener("hashchange", onHash);
  if (root.clientWidth && root.clientWidth < 560) controls.open = false;
  begin(state);
  use(live && options.layer ? "kernel" : "browser");
  sight.observe(root);
  const stop = redrawOnChange(root, () => draw(frame));
  return () => (stop(), sight.disconnect(), removeEventListener("hashchange", onHash), engine.dispose());
}

const fromPreset = (p) => ({ preset: p.id, settings: { ...DEFAULTS, ...p.settings }, steps: p.steps, point: 0, knocked: [], forced: null });
function fromOptions({ preset, settings, steps, point, out, forced }) {
  const base = PRESETS.find((p) => p.id === preset), chosen = { ...DEFAULTS, ...base?.settings, ...settings };
  const knocked = Array.from({ length: chosen.E }, (_, e) => !!out?.includes(e)), touched = settings && Object.keys(settings).length;
  return { preset: base && !touched ? preset : null, settings: checkSettings({ ...chosen, k: Math.min(chosen.k, chosen.E) }), steps: steps ?? base?.steps ?? 0, point: point ?? 0, knocked, forced: forced ? { expert: forced[0], share: forced[1] } : null };
}
// As playground() takes it: plain names and values, only what differs.
function flatten({ settings, steps, point, knocked, forced }) {
  const flat = Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== DEFAULTS[name]));
  if (steps) flat.steps = steps;
  if (point) flat.point = point;
  if (knocked.includes(true)) flat.out = knocked.flatMap((gone, e) => (gone ? [e] : []));
  if (forced) flat.forced = [forced.expert, forced.share];
  return flat;
}
const pullWords = (v) => (v === 0 ? "0" : Math.abs(v) < 0.005 ? "≈ 0" : `${v > 0 ? "+" : "−"}${Math.abs(v).toFixed(2)}`);
const python = (value) => (value === true ? "True" : value === false ? "False" : JSON.stringify(value));
const inPython = (flat) => `playground(${Object.entries(flat).map(([name, value]) => `${name}=${python(value)}`).join(", ")})`;
function ownData(own) {
  if (!own) return undefined;
  const { x, y, regime, xTest, yTest, regimeTest, classes, extent } = own, bytes = (view) => numbers(view, Uint8Array), floats = (view) => numbers(view, Float64Array);
  return { x: floats(x), y: bytes(y), regime: bytes(regime), xTest: floats(xTest), yTest: bytes(yTest), regimeTest: bytes(regimeTest), classes, extent };
}
export default { render };
