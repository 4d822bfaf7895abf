// The playground's page: it creates the panels, passes what the reader does to the engine, and draws its frames.
// It uses kinds only by their interface.
import { el, hasKernel, isRestored, mount, note, redrawOnChange } from "../web/dom.js";
import { keep } from "../web/ask/storage.js";
import { DEAD } from "../web/words.js";
import { check, makeControls } from "./panels/controls.js";
import { group, set } from "./panels/elements.js";
import { makeEngine } from "./experiment/engine.js";
import { CATCH_UP } from "./experiment/frame.js";
import { PRESETS, SETTINGS, carried, reaches } from "./experiment/experiment.js";
import { makeFoot } from "./panels/foot.js";
import { makeHead } from "./panels/head.js";
import { MOST_STEPS, fromHash, isFixed } from "./experiment/hash.js";
import { KINDS, kindNames } from "./kinds.js";
import { makeMap } from "./pictures/map.js";
import { makeReads, makeSmalls, makeUsage } from "./pictures/parts.js";
import { makePoint } from "./pictures/point.js";
import { makeStart } from "./panels/start.js";
import { fromOptions, fromPreset, ownData, presetOf, stateOf } from "./experiment/state.js";
import { makeStory } from "./panels/story.js";
import { makeTime } from "./pictures/time.js";
import { makeTimeline } from "./panels/timeline.js";
import { makeTour } from "./panels/tour.js";
import { summary } from "./words.js";

const DRAWN = 300; // points that are drawn; training uses all
const SPEAK = 6000; // ms between two summaries for screen readers during training

function render({ model, el: root }) {
  const options = model.get("options");
  const live = hasKernel(model, root);
  const restored = isRestored(root);
  const own = ownData(options.own);
  const owner = options.link && !live && !restored;
  const engine = makeEngine(draw, own);
  let preset; // the one that the experiment began with, if there is one
  let end = 0; // the last step of its experiment, or of the change that it proposes
  let frame;
  let shown; // the settings that the controls show
  let linked; // serial of the last change that the link has
  let turn = 0;
  let spokenAt = 0;
  let replayed = false; // from a link, without a change since

  // Panels.
  const patterns = el("input", { type: "checkbox", onchange: () => draw(frame) });
  const rare = note();
  const controls = makeControls(change, own, { More: [check(patterns, "Patterns", "as well as colours"), rare] });
  const panelled = kindNames.filter((name) => KINDS[name].controls.panel);
  const panels = Object.fromEntries(panelled.map((name) => [name, KINDS[name].controls.panel()]));
  const play = () => engine.run(end > frame.step ? end : Infinity);
  const toggle = () => (frame.busy ? engine.pause() : play());
  const timeline = makeTimeline(engine.seek);
  const head = makeHead({ toggle, step: engine.step, reset, pace: engine.pace }, timeline);
  const tour = makeTour(root);
  const start = makeStart({ turnTo, begin: (known) => begin(fromPreset(known)) }, tour.opener);
  const story = makeStory(goOn, keepWon);
  const map = makeMap(KINDS, engine.inspect);
  const smalls = makeSmalls(Object.values(panels).map(({ node }) => node));
  const time = makeTime();
  const reads = makeReads();
  const usage = makeUsage(engine.knock);
  const point = makePoint(engine.inspect);
  const notice = el("p", { className: "pg-notice", role: "status", hidden: true });
  const error = el("pre", { className: "moe-error", role: "alert", hidden: true });
  const spoken = el("p", { className: "moe-sr", role: "status" });
  const foot = makeFoot(model, { live: live || restored, owner, own, standing });
  const top = el("div", { className: "pg-top" }, start.node, story.node, notice, error, spoken);
  const left = group("pg-controls", "Controls", controls.node);
  const side = el("div", { className: "pg-side" }, usage.node, reads.node);
  const bench = el("div", { className: "pg-bench" }, top, map.node, left, side); // one screen
  let below = [map.predictions, smalls.node, point.node, time.node, foot.node];
  if (options.short) below = [time.node, closer(map.predictions, smalls.node, point.node, foot.node)];
  mount(root, head.node, bench, ...below, tour.card); // it sticks to the bottom of what is in sight
  const widget = root.firstChild;
  widget.classList.add("moe-pg");
  widget.classList.toggle("pg-short", options.short);

  // In a lesson most pictures are folded.
  function closer(...nodes) {
    const title = el("summary", {}, "Look closer: each expert, what is predicted, one point");
    const ontoggle = () => frame && draw(frame);
    return el("details", { className: "pg-closer", ontoggle }, title, el("div", { className: "pg-below" }, ...nodes));
  }

  // Actions of the reader.
  function change(partial) {
    const settings = engine.settings();
    const changed = Object.entries(partial).filter(([name, value]) => settings[name] !== value);
    const anew = engine.change(Object.fromEntries(changed));
    replayed = false;
    const kept = preset?.goal && !changed.some(([name]) => isFixed(preset.id, name));
    if (anew && !kept) preset = undefined;
    if (!preset) end = 0;
    notice.hidden = !(anew && (frame.step || !notice.hidden)); // also while a slider moves on
    notice.textContent = "A new run, trained from the start: a run that has begun cannot take this change.";
    showSettings();
  }
  function begin(state) {
    preset = presetOf(state.preset);
    end = preset?.steps ?? 0;
    if (preset?.goal) head.slow(); // or its steps are gone before it is seen
    replayed = state.changes.length > 0 || state.steps > (preset?.from ?? 0);
    const unused = state.notices ?? [];
    notice.hidden = !unused.length;
    notice.textContent = `Not everything in this link could be used: ${unused.join("; ")}. The rest stands.`;
    engine.begin(state, state.steps, { point: state.point, goal: preset?.goal && reaches(preset.goal) });
    showSettings();
  }
  function reset() {
    const settings = preset ? frame.run.begun.settings : engine.settings(); // an experiment's own, or the present ones
    begin({ ...standing(), settings, steps: preset?.from ?? 0, knocked: [], changes: [] });
  }
  // Switch to another kind: a preset is replaced by the kind's first one, other experiments keep points and steps.
  function turnTo(kind) {
    const settings = engine.settings();
    if (kind === settings.layer) return;
    if (!tour.card.hidden) tour.end(); // its words are of the other kind
    const known = !own && preset && PRESETS.find((other) => other.kind === kind);
    const steps = Math.min(frame.step, CATCH_UP);
    begin(known ? fromPreset(known) : stateOf(carried(settings, kind), { steps, point: frame.point }));
  }
  // Make the change that a preset proposes.
  function goOn({ then }) {
    change(then.set);
    end = frame.step + then.steps;
    engine.run(end);
  }

  // A challenge that is won counts if it was won here. A kernel keeps it in the workspace.
  function keepWon(id, result) {
    if (replayed || restored) return;
    if (!live) keep("challenge", id, result);
    else if (model.get("won").id !== id || model.get("won").won !== result.won) {
      model.set("won", { id, ...result });
      model.save_changes();
    }
  }

  function showSettings() {
    const settings = engine.settings();
    const kind = KINDS[settings.layer];
    if (shown?.layer !== settings.layer) {
      widget.dataset.kind = settings.layer;
      for (const [name, panel] of Object.entries(panels)) panel.node.hidden = name !== settings.layer;
      for (const part of [map, smalls, time, reads, point]) part.show(kind);
    }
    shown = settings;
    controls.show(settings, kind, preset?.fixed);
    story.show(preset);
  }

  // The present state of the experiment.
  function standing() {
    const { run, step, point } = frame;
    const { settings, knocked } = run.begun;
    const changes = run.changes().filter(({ at }) => at <= step);
    const steps = Math.min(step, MOST_STEPS);
    return stateOf(settings, { preset: preset?.id ?? null, steps, point, knocked, changes });
  }

  // Draw first what must follow a slider at once; during training the rest is drawn in turn.
  function draw(next) {
    frame = next;
    if (!frame || !root.clientWidth) return;
    const { now, busy, settled, data } = frame;
    const kind = KINDS[frame.settings.layer];
    if (frame.settings !== shown) showSettings(); // the reader went back
    data.drawn ??= Math.min(DRAWN, data.y.length);
    turn += 1;
    const calm = busy && !frame.hurried; // while a slider moves, only map, bars and numbers are drawn
    const dead = Array.from(now.shares, (share) => share < DEAD);
    const how = { dead, patterned: dead.length > 8 || patterns.checked, turn, calm };
    const plane = map.draw(frame, kind, how);
    panels[frame.settings.layer]?.draw(frame, how);
    usage.draw(frame, kind, how);
    point.draw(frame, kind, how);
    if (settled || (calm && turn % 3 === 0)) time.draw(frame, kind, how);
    smalls.draw(frame, kind, { ...how, plane });
    reads.draw(frame, kind);
    start.show(preset, frame.settings, frame.knocked);
    story.draw(frame);
    left.inert = side.inert = frame.step < (preset?.from ?? 0); // a challenge begins later
    set(rare, kind.words.more(frame).trim());
    const points = own ? "your own points" : SETTINGS.data.choices[frame.settings.data].toLowerCase();
    const message = kind.words.message(frame).replaceAll(" %", "\u00a0%");
    head.draw(frame, `${points} · ${kind.words.kicker(frame.settings)}`, message);
    error.hidden = !frame.error;
    set(error, frame.error);
    if (settled || performance.now() - spokenAt > SPEAK) {
      set(spoken, summary(frame, kind.words));
      spokenAt = performance.now();
    }
    const { step, serial } = frame;
    Object.assign(root.dataset, { step, serial, settled, paints: +(root.dataset.paints ?? 0) + 1 });
    if (!settled && (frame.hurried || serial === linked)) return; // it would change with each frame
    foot.remember(standing(), message);
    linked = serial;
  }

  // It does not train while it is not visible. Of several changes at once, the last one counts.
  const see = (changes) => engine.show(changes.at(-1).isIntersecting);
  const sight = new IntersectionObserver(see, { rootMargin: "100px" });
  const onHash = () => {
    const next = fromHash(location.hash);
    if (!next || location.hash.slice(1) === foot.written()) return;
    follow(next);
  };
  function follow(next) {
    begin(next);
    const { top, bottom } = root.getBoundingClientRect();
    if (bottom < 100 || top > innerHeight - 100) root.scrollIntoView(); // the link is elsewhere on the page
  }
  // In JupyterLab a link to an experiment opens a notebook without its fragment. So the playground in the same notebook
  // as the link starts the experiment, and so does the open notebook of the playground.
  const onLink = (event) => {
    const link = event.target.closest?.("a[href]");
    const [, asked] = /playground\.ipynb[^#]*#(.+)$/.exec(link?.href ?? "") ?? [];
    const next = asked && fromHash(decodeURIComponent(asked));
    const beside = root.closest(".jp-NotebookPanel")?.contains(link);
    if (!next || !(beside || options.link)) return;
    if (beside) event.preventDefault();
    if (beside) event.stopImmediatePropagation(); // only one playground starts it
    follow(next);
  };
  if (live) document.addEventListener("click", onLink, true);
  if (owner) addEventListener("hashchange", onHash);
  if (root.clientWidth && root.clientWidth < 560) controls.node.open = false;
  begin((owner && fromHash(location.hash)) || fromOptions(options));
  sight.observe(root);
  const stop = redrawOnChange(root, () => frame?.settings === shown && draw(frame)); // else another frame follows
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
