// The playground's page: it creates the panels, holds the experiment's state, and draws each frame of the engine. It uses
// kinds and engines only by their interfaces.
import { RUN_TO_MOVE, el, field, hasKernel, isRestored, mount, redrawOnChange } from "../web/dom.js";
import { DEAD } from "../web/words.js";
import { check, makeControls } from "./panels/controls.js";
import { group, set } from "./panels/elements.js";
import { browserEngine } from "./engines/browser.js";
import { CATCH_UP } from "./engines/frame.js";
import { kernelEngine } from "./engines/kernel.js";
import { PRESETS, SETTINGS, carried, fitted, isLive, reaches } from "./experiment/experiment.js";
import { makeFoot } from "./panels/foot.js";
import { makeHead } from "./panels/head.js";
import { MOST_STEPS, fromHash, isFixed } from "./experiment/hash.js";
import { KINDS, kindNames } from "./kinds.js";
import { makeMap } from "./pictures/map.js";
import { makeReads, makeSmalls, makeUsage } from "./pictures/parts.js";
import { makePoint } from "./pictures/point.js";
import { knockedAfter, settingsAfter } from "./experiment/run.js";
import { makeStart } from "./panels/start.js";
import { fromOptions, fromPreset, ownData, presetOf, stateOf } from "./experiment/state.js";
import { makeStory } from "./panels/story.js";
import { makeTime } from "./pictures/time.js";
import { makeTimeline } from "./panels/timeline.js";
import { makeTour } from "./panels/tour.js";
import { summary, trainerWords } from "./words.js";

const DRAWN = 300; // points that are drawn; training uses all
const SPEAK = 6000; // ms between two summaries for screen readers during training
const LIKE_YOURS = ["rate", "batch", "k", "noise", "balance", "coefficient"]; // settings that do not rebuild the layer

function render({ model, el: root }) {
  const options = model.get("options");
  const live = hasKernel(model, root);
  const restored = isRestored(root);
  const own = ownData(options.own);
  const mine = options.layer; // the learner's own layer
  const mapped = !own || !!own.x;
  const owner = options.link && !live && !restored;
  const inKernel = mine && (live || restored || !options.page);
  if (inKernel && !live && !model.get("frame").now)
    return mount(root, restored ? RUN_TO_MOVE : trainerWords("kernel", live));
  let state = (owner && fromHash(location.hash)) || fromOptions(options); // the initial state
  let settings; // the present ones
  let end = 0; // the last step of a preset's experiment, or of the change that it proposes
  let engine;
  let engineName = inKernel ? "kernel" : "browser";
  let frame;
  let shown; // the kind that the panels show
  let turn = 0;
  let spokenAt = 0;

  // Panels.
  const patterns = el("input", { type: "checkbox", onchange: () => draw(frame) });
  const kernelWords = mine ? "the kernel: your layer" : "the kernel, with torch";
  const engines = el("select", { onchange: () => move(engines.value) });
  engines.append(new Option("this page", "browser"), new Option(kernelWords, "kernel"));
  const training = [{ node: check(patterns, "Patterns", "as well as colours") }];
  if (live && options.page) training.unshift({ node: field("Train in", engines), needs: "inKernel" });
  const controls = makeControls(change, { own, loss: options.loss, more: { Training: training } });
  const act = { knock: (e, out) => engine.knock(e, out) };
  const panels = Object.fromEntries(kindNames.map((name) => [name, KINDS[name].controls.panel(act)]));
  const panelsOf = (area) => Object.values(panels).flatMap((panel) => (panel.area === area ? [panel.node] : []));
  const inspect = (i) => engine.inspect((state.point = i));
  const play = () => engine.run(end > frame.step ? end : Infinity);
  const toggle = () => (frame.busy ? engine.pause() : play());
  const timeline = makeTimeline((step) => engine.seek(step));
  const head = makeHead(
    { toggle, step: () => engine.step(), reset, pace: (perSecond) => engine.pace(perSecond) },
    timeline,
  );
  const tour = makeTour(root);
  const start = makeStart({ turnTo, begin: playPreset }, tour.opener);
  const story = makeStory(goOn);
  const map = makeMap(KINDS, inspect);
  const smalls = makeSmalls(panelsOf("parts"));
  const time = makeTime();
  const reads = makeReads();
  const usage = makeUsage();
  const point = makePoint(inspect);
  const notice = el("p", { className: "pg-notice", role: "status", hidden: true });
  const trainer = el("p", { className: "pg-notice", hidden: true }); // says what trains, the page or the kernel
  const error = el("pre", { className: "moe-error", role: "alert", hidden: true });
  const spoken = el("p", { className: "moe-sr", role: "status" });
  const foot = makeFoot(model, { live: live || restored, owner, own });
  const opening = mine ? [trainer] : [start.node, story.node, tour.card];
  const top = el("div", { className: "pg-top" }, ...opening, notice, error, spoken);
  const left = group("pg-controls", "Controls", controls.node);
  controls.fields.append(...panelsOf("side"));
  const side = el("div", { className: "pg-side" }, usage.node, reads.node);
  const main = mapped ? map.node : time.node;
  const bench = el("div", { className: "pg-bench" }, main, top, left, side); // one screen
  let below = [map.predictions, smalls.node, point.node, time.node, foot.node];
  const short = !!(mine || options.short);
  if (short) below = mapped ? [time.node, closer(map.predictions, smalls.node, point.node, foot.node)] : [foot.node];
  mount(root, head.node, bench, ...below);
  const widget = root.firstChild;
  widget.classList.add("moe-pg");
  widget.classList.toggle("pg-mine", mine);
  widget.classList.toggle("pg-short", short);
  widget.classList.toggle("pg-flat", !mapped);
  widget.classList.toggle("pg-recorded", engineName === "kernel" && !live);

  // In a lesson most pictures are folded.
  function closer(...nodes) {
    const title = el("summary", {}, "Look closer: each expert, what is predicted, one point");
    const ontoggle = () => frame && draw(frame);
    return el("details", { className: "pg-closer", ontoggle }, title, el("div", { className: "pg-below" }, ...nodes));
  }

  // Actions of the reader.
  function move(name) {
    state = { ...standing(), steps: 0, changes: [] };
    use(name);
  }
  function use(name) {
    if (frame?.running) engine.pause();
    engine?.dispose();
    frame = undefined;
    engineName = engines.value = name;
    widget.inert = true; // until the first frame, because a kernel may be busy
    const makeEngine = name === "kernel" ? kernelEngine : browserEngine;
    engine = makeEngine(draw, state, own, model, live);
    engine.pace(head.pace());
    open();
    engine.show(visible);
    showSettings();
  }
  // Bring the engine to the present state.
  function open() {
    const goal = presetOf(state.preset)?.goal;
    settings = settingsAfter(state.settings, state.changes, state.steps);
    end = presetOf(state.preset)?.steps ?? 0;
    engine?.begin(state, state.steps, { point: state.point, goal: goal && reaches(goal) });
  }
  function change(partial) {
    const next = fitted({ ...settings, ...partial });
    const changed = Object.keys(next).filter((name) => next[name] !== settings[name]);
    const anew = !frame?.step || changed.some((name) => !isLive(name, engineName)); // whether it starts again
    const kept = presetOf(state.preset)?.goal && !changed.some((name) => isFixed(state.preset, name));
    const preset = anew && !kept ? null : state.preset;
    if (anew || engineName === "kernel") state = { ...state, settings: next, preset, changes: [] };
    if (!preset) end = 0;
    settings = next;
    notice.hidden = true;
    engine.change(Object.fromEntries(changed.map((name) => [name, next[name]])));
    showSettings();
  }
  function begin(next) {
    state = next;
    const unused = next.notices ?? [];
    notice.hidden = !unused.length;
    notice.textContent = `Not everything in this link could be used: ${unused.join("; ")}. The rest stands.`;
    open();
    showSettings();
    panels[state.settings.layer].begin({ knocked: knockedAfter(state.knocked, state.changes, state.steps) });
  }
  // Start a preset's experiment. A challenge waits for a change.
  function playPreset(preset) {
    begin(fromPreset(preset));
    if (!preset.goal) engine.run(preset.steps);
  }
  function reset() {
    const preset = presetOf(state.preset);
    if (preset?.goal) return begin({ ...state, steps: preset.from ?? 0, changes: [] });
    if (frame.run?.changes().length) state = { ...state, preset: null };
    state = { ...state, settings, knocked: frame.knocked, changes: [], steps: 0 };
    engine.reset();
    showSettings();
  }
  // Switch to another kind: a preset is replaced by the kind's first one, other experiments keep points and steps.
  function turnTo(kind) {
    if (kind === state.settings.layer) return;
    const known = !own && state.preset && PRESETS.find((preset) => preset.kind === kind);
    const steps = Math.min(frame.step, CATCH_UP);
    const { point } = frame;
    const next = known ? fromPreset(known) : stateOf(carried(settings, kind), { steps, point });
    if (engineName === "browser") return begin(next);
    state = next;
    use("browser"); // the kernel does not train every kind
  }
  // Make the change that a preset proposes.
  function goOn({ then }) {
    change(then.set);
    end = frame.step + then.steps;
    engine.run(end);
  }

  function showSettings() {
    const kind = KINDS[state.settings.layer];
    if (shown !== kind) {
      shown = kind;
      widget.dataset.kind = state.settings.layer;
      for (const [name, panel] of Object.entries(panels)) panel.node.hidden = name !== state.settings.layer;
      for (const part of [map, smalls, time, reads, point]) part.show(kind);
    }
    const can = frame?.can ?? (mine ? LIKE_YOURS : null);
    controls.show(settings, kind, { can, still: frame?.still }, presetOf(state.preset)?.fixed);
    story.show(state);
    set(trainer, mine ? (restored ? RUN_TO_MOVE : trainerWords(engineName, live, frame)) : "");
    trainer.hidden = !trainer.textContent;
  }

  // The present state of the experiment.
  function standing() {
    const { run, step, point } = frame;
    const begun = run?.begun ?? { settings: { ...frame.settings }, knocked: frame.knocked };
    const changes = run ? run.changes().filter(({ at }) => at <= step) : [];
    const { settings, knocked } = begun;
    return stateOf(settings, { preset: state.preset, steps: Math.min(step, MOST_STEPS), point, knocked, changes });
  }

  // Draw first what must follow a slider at once; during training the rest is drawn in turn.
  function draw(next) {
    const first = !frame;
    frame = next;
    if (!frame || !root.clientWidth) return;
    widget.inert = false;
    const { now, busy, settled, data } = frame;
    const kind = KINDS[frame.settings.layer];
    const broughtAlong = !!frame.can; // its frames have the settings
    const other = frame.run && Object.keys(settings).some((name) => settings[name] !== frame.settings[name]); // the reader went back
    if (broughtAlong || other) settings = { ...settings, ...frame.settings };
    if (first || broughtAlong || other || frame.still) showSettings();
    if (mapped) data.drawn ??= Math.min(DRAWN, data.y.length);
    turn += 1;
    const calm = busy && !frame.hurried; // while a slider moves, only map, bars and numbers are drawn
    const dead = Array.from(now.shares, (share) => share < DEAD);
    const how = { dead, patterned: dead.length > 8 || patterns.checked, turn, calm };
    const plane = mapped && map.draw(frame, kind, how);
    panels[frame.settings.layer].draw(frame, how);
    usage.draw(frame, kind, how);
    if (mapped) point.draw(frame, kind, how);
    if (settled || (calm && turn % 3 === 0)) time.draw(frame, kind, how);
    if (mapped) smalls.draw(frame, kind, { ...how, plane });
    reads.draw(frame, kind);
    start.show(state, settings, frame.knocked);
    story.draw(frame);
    const points = own ? "your own points" : SETTINGS.data.choices[frame.settings.data].toLowerCase();
    const message = kind.words.message(frame);
    head.draw(frame, [options.title, `${points} · ${kind.words.kicker(frame.settings)}`], message);
    error.hidden = !frame.error;
    set(error, frame.error);
    if (settled || performance.now() - spokenAt > SPEAK) {
      set(spoken, summary(frame, kind.words));
      spokenAt = performance.now();
    }
    const { step, serial, running, engine } = frame;
    Object.assign(root.dataset, { step, serial, running, settled, engine, paints: +(root.dataset.paints ?? 0) + 1 });
    if (settled || !foot.written()) foot.remember(standing(), busy, { frame, message, map: mapped && map.canvas });
  }

  // It does not train while it is not visible.
  let visible = true;
  const see = ([{ isIntersecting }]) => engine.show((visible = isIntersecting));
  const sight = new IntersectionObserver(see, { rootMargin: "100px" });
  const onHash = () => {
    const next = fromHash(location.hash);
    if (!next || location.hash.slice(1) === foot.written()) return;
    follow(next, location.hash.slice(1));
  };
  function follow(next, words) {
    if (words === `preset=${next.preset}`)
      playPreset(presetOf(next.preset)); // as the menu does
    else begin(next);
    const { top, bottom } = root.getBoundingClientRect();
    if (bottom < 100 || top > innerHeight - 100) root.scrollIntoView(); // the link is elsewhere on the page
  }
  // In JupyterLab a link to an experiment opens a notebook without its fragment. So the playground in the same notebook as
  // the link starts the experiment, and so does the open notebook of the playground.
  const onLink = (event) => {
    const link = event.target.closest?.("a[href]");
    const [, asked] = /playground\.ipynb[^#]*#(.+)$/.exec(link?.href ?? "") ?? [];
    const next = asked && fromHash(decodeURIComponent(asked));
    const beside = root.closest(".jp-NotebookPanel")?.contains(link);
    if (!next || !(beside || options.link)) return;
    if (beside) event.preventDefault();
    if (beside) event.stopImmediatePropagation(); // only one playground starts it
    follow(next, asked);
  };
  if (live && !mine) document.addEventListener("click", onLink, true);
  if (owner) addEventListener("hashchange", onHash);
  if (root.clientWidth && root.clientWidth < 560) controls.node.open = false;
  begin(state);
  use(engineName);
  sight.observe(root);
  const stop = redrawOnChange(root, () => draw(frame));
  return () => {
    stop();
    sight.disconnect();
    removeEventListener("hashchange", onHash);
    document.removeEventListener("click", onLink, true);
    story.stop();
    engine.dispose();
  };
}

export default { render };
