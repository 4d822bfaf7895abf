// The text of a preset: its start, what to look for, a change to try, and the change's effect compared with the run
// without it; or a challenge and its progress.
import { el, quietly, renew } from "../../web/dom.js";
import { figure, percent } from "../../web/words.js";
import { set } from "./elements.js";
import { KINDS } from "../kinds.js";
import { fromPreset } from "../experiment/state.js";
import { settingsAfter } from "../experiment/run.js";
import { makeBaseline } from "../experiment/baseline.js";
import { changeWords } from "../words.js";

/** The changes of a run that its preset proposes; none unless the run has all of them. */
function proposed(run, { set: wanted }) {
  const made = Object.entries(wanted).map(([name, value]) =>
    run.changes().find((change) => change.name === name && change.value === value),
  );
  return made.includes(undefined) ? [] : made;
}
const whole = { dead: (v) => String(v), entropy: (v) => v.toFixed(2), accuracy: percent };
const goalNames = { dead: "Dead", entropy: "Usage entropy", accuracy: "Right, held out" };

// goOn(preset): called to make the change that it proposes. keepWon(id, result): called when a challenge is won.
export function makeStory(goOn, keepWon) {
  const sentence = el("p", { className: "pg-story" });
  const asked = el("span");
  const then = quietly("", { className: "moe-button moe-quiet pg-then", onclick: () => goOn(preset) });
  const next = el("p", { className: "pg-next" }, asked, then);
  const heads = el("tr");
  const rows = el("tbody");
  const table = el("table", { hidden: true }, el("caption"), el("thead", {}, heads), rows);
  const score = el("p", { className: "pg-score", role: "status" });
  const node = el("div", { className: "pg-told" }, sentence, next, score, table);
  const baseline = makeBaseline(compare);
  let preset;
  let frame;
  let wanted = ""; // key of the comparison to show

  function show(known) {
    preset = known;
    node.hidden = !preset;
    if (!preset) return;
    set(sentence, [preset.sentence, preset.ask].filter(Boolean).join(" "));
    next.hidden = !preset.then;
    score.hidden = !preset.goal;
    if (!preset.then) return;
    const changes = Object.entries(preset.then.set).map(([name, value]) => changeWords({ name, value }));
    set(asked, preset.then.ask);
    set(then, `Go on for ${preset.then.steps} steps with: ${changes.join(", ")}`);
    set(table.caption, changes.join(", "));
  }

  function draw(now) {
    frame = now;
    next.classList.toggle("pg-later", !frame.step || frame.knocked.includes(true)); // too early, or another experiment
    if (preset?.goal) judge();
    const made = preset?.then ? proposed(frame.run, preset.then) : [];
    const at = made[0]?.at ?? Infinity;
    if (frame.step <= at) {
      table.hidden = true;
      wanted = "";
    }
    if (!frame.settled || frame.step <= at) return;
    const { settings, knocked } = frame.run.begun;
    const changes = frame.run.changes().filter((change) => !made.includes(change) && change.at <= frame.step);
    const never = { settings, knocked, changes };
    const always = { settings: settingsAfter(settings, made), knocked, changes };
    wanted = JSON.stringify([never, always, frame.step]);
    if (wanted === table.dataset.key) table.hidden = false;
    else baseline.ask(wanted, [never, always], frame.data, frame.step);
  }

  // Compare the three runs at the same step by the kind's measures.
  function compare(key, runs) {
    if (key !== wanted) return; // another experiment has begun
    const { words } = KINDS[frame.settings.layer];
    const { at } = proposed(frame.run, preset.then)[0];
    const figures = (seen) => words.reads(seen).filter(([name]) => words.compared.includes(name));
    const seen = ({ model }) => ({ ...frame, now: model.evaluate(), recent: model.recent(), settings: model.settings });
    const lines = [
      [`changed at step ${figure(at)}`, frame],
      ["never changed", seen(runs[0])],
      ["so from the start", seen(runs[1])],
    ];
    const now = el("td", {}, `At step ${figure(frame.step)}`);
    renew(heads, now, ...figures(frame).map(([name]) => el("th", { scope: "col" }, name)));
    const cells = (of) => figures(of).map(([, value, unit]) => el("td", {}, `${value}${unit}`));
    renew(rows, ...lines.map(([name, of]) => el("tr", {}, el("th", { scope: "row" }, name), ...cells(of))));
    table.dataset.key = key;
    table.hidden = false;
  }

  function judge() {
    const { run, step, now } = frame;
    const { goal, from = 0, steps } = preset;
    const won = run.won();
    const asGiven = JSON.stringify(run.begun.settings) === JSON.stringify(fromPreset(preset).settings);
    if (step < from) return void set(score, `First it runs to step ${figure(from)}. Then it is your turn.`);
    const early = `You changed something before step ${figure(from)}. Choose this challenge anew in the menu.`;
    if (from && !(asGiven && run.changes().every(({ at }) => at >= from))) return void set(score, early);
    const [points, unit] = { steps: [won - from, "steps"], E: [frame.settings.E, "experts"] }[preset.score];
    const stands = Object.keys(goal).map((name) => `${goalNames[name]}: ${whole[name](now[name])}`);
    if (won && won <= steps) {
      if (frame.settled) keepWon(`${preset.lessons[0]}.${preset.id}`, { won, score: points });
      set(
        score,
        `✓ Reached at step ${figure(won)}. Your score: ${points} ${unit}; fewer is better. The link below replays it.`,
      );
    } else if (step >= steps)
      set(
        score,
        `✗ Not within ${figure(steps - from)} steps. ${stands.join(", ")}. Reset, and look at ${preset.look}.`,
      );
    else set(score, `${stands.join(", ")}. ${figure(steps - step)} steps are left.`);
  }
  return { node, show, draw, stop: baseline.stop };
}
