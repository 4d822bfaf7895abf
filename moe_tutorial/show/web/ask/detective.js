// @ts-check
// The widget behind detective(): probes are run on suspects at a price, and each suspect gets a verdict. On the site, a
// solved board has a link, which shows how it was solved.
import { RUN_TO_ANSWER, prose } from "./answers.js";
import { button, el, freshId, isRestored, mount, quietly } from "../dom.js";
import { unseal } from "./judge.js";
import { storedAnswer } from "./storage.js";
import { figure } from "../words.js";

/** A round: the runs that were paid for in their order, each "<letter> <probe>", letter -> verdict, those of the last
 * accusation, and how many there were. */
const BEGUN = { paid: [], said: {}, last: {}, accused: 0 };
const tokens = (/** @type {number} */ n) => `${figure(n)} tokens`;

/** The reply to a wrong verdict: a probe that contradicts it, if possible one that was run on this suspect.
 * @param {any} secrets of each round: letter -> bug, and letter -> probe -> why it fails, or "" if it passes
 * @param {number} round @param {string} letter @param {string} bug @param {string[]} paid */
export function replyTo({ truth, found }, round, letter, bug, paid) {
  const mine = found[round][letter];
  const alike = truth.flatMap((bugs, r) => Object.keys(bugs).flatMap((l) => (bugs[l] === bug ? [found[r][l]] : [])));
  const against = Object.keys(mine).filter((name) => alike.every((runs) => !runs[name] !== !mine[name]));
  const name = against.find((name) => paid.includes(`${letter} ${name}`));
  if (!against.length) return `\`${bug}\` fails what ${letter} fails: no probe here tells the two apart.`;
  if (!name) return `You have not run \`${against[0]}\` on ${letter}. It would tell.`;
  return mine[name]
    ? `With \`${bug}\` it would pass \`${name}\`, and ${letter} failed it.`
    : `\`${bug}\` would fail \`${name}\`, too, and ${letter} passed it.`;
}

/** @param {{model: any, el: HTMLElement}} widget */
function render({ model, el: root }) {
  const { probes, rounds, bugs, sealed, digest } = model.get("settings");
  const secrets = unseal(sealed);
  const names = probes.map(({ name }) => name);
  const stored = storedAnswer(model);
  const isSite = !model.widget_manager; // JupyterLab opens a notebook without its fragment
  let chosen = 0; // the probe that is run next

  /** The solved board in the page's link, or null. */
  function inLink() {
    const asked = new URLSearchParams(location.hash.slice(1)).get("suspects") ?? "";
    const [mark, round, accused, runs = ""] = asked.split(".");
    const truth = secrets.truth[+round];
    if (!isSite || mark !== digest || !truth) return null;
    const paid = [...runs.matchAll(/([A-Z])(\d+)/g)].map(([, letter, p]) => `${letter} ${names[+p]}`);
    return { round: +round, board: { paid, said: truth, last: truth, accused: +accused || 1 } };
  }

  function show() {
    const kept = stored.get() ?? { of: rounds.length, round: 0, boards: {} };
    const replayed = inLink();
    const round = replayed?.round ?? kept.round % rounds.length;
    const [found, truth] = [secrets.found[round], secrets.truth[round]];
    let board = { ...BEGUN, ...(replayed?.board ?? kept.boards[round]) };
    board.paid = board.paid.filter((run) => names.includes(run.slice(2))); // a learner may rename a probe

    const bill = el("output", { className: "moe-bill" });
    const asks = el("p", { className: "moe-asks" });
    const told = el("p", { className: "moe-told", tabIndex: -1 });
    const cards = [...rounds[round]].map(card);
    const group = freshId();
    const picks = probes.map(({ name, price }, /** @type {number} */ p) => {
      const input = el("input", { type: "radio", name: group, checked: p === chosen });
      input.onchange = () => {
        chosen = p;
        draw();
      };
      return el("label", {}, input, el("code", {}, name), el("span", {}, figure(price)));
    });
    const accusing = button("Accuse", { onclick: accuse });
    const others = quietly(replayed ? "Play it yourself" : "Other suspects", { onclick: goOn });

    function keep(/** @type {Partial<typeof BEGUN>} */ change) {
      board = { ...board, ...change };
      const [solved, paid] = draw();
      kept.boards[round] = { ...board, solved, bill: paid };
      stored.put({ ...kept, round });
    }
    function accuse() {
      keep({ accused: board.accused + 1, last: board.said });
      told.focus();
    }
    function goOn() {
      if (replayed) history.replaceState(history.state, "", location.pathname + location.search);
      else stored.put({ ...kept, round: (round + 1) % rounds.length });
      show();
      root.querySelector("input").focus();
    }
    function card(/** @type {string} */ letter) {
      const run = quietly("", { onclick: () => keep({ paid: [...board.paid, `${letter} ${names[chosen]}`] }) });
      const select = el("select", { ariaLabel: `Verdict on ${letter}` }, new Option("verdict …", ""));
      select.append(...bugs.map((bug) => new Option(bug)));
      select.value = bugs.includes(board.said[letter]) ? board.said[letter] : "";
      select.onchange = () => keep({ said: { ...board.said, [letter]: select.value } });
      const [stamps, answer] = [el("ul", { ariaLive: "polite" }), el("p")];
      const node = el("li", {}, el("b", {}, letter), run, stamps, select, answer);
      return { letter, run, select, stamps, answer, node };
    }
    function stamp(/** @type {string} */ run) {
      const says = found[run[0]][run.slice(2)];
      const mark = el("b", { className: says ? "moe-wrong" : "moe-right" }, says ? "✗ FAILS" : "✓ pass");
      if (replayed) mark.style.animationDelay = `${0.15 * board.paid.indexOf(run)}s`;
      return el("li", {}, el("code", {}, run.slice(2)), mark, el("i", {}, says === "FAILS" ? "" : says));
    }
    function draw() {
      const { name, price, asks: text } = probes[chosen];
      const due = board.paid.reduce((sum, run) => sum + probes[names.indexOf(run.slice(2))].price, 0);
      bill.value = `Bill: ${tokens(due)}`;
      asks.replaceChildren(...prose(`${text} ${tokens(price)} a run.`));
      for (const { letter, run, select, stamps, answer, node } of cards) {
        const own = board.paid.filter((each) => each[0] === letter);
        stamps.append(...own.slice(stamps.childElementCount).map(stamp));
        run.textContent = `run ${name}`;
        run.ariaLabel = `run ${name} on ${letter}`;
        run.disabled = own.includes(`${letter} ${name}`);
        const verdict = board.last[letter];
        const how = verdict === truth[letter] ? "right" : verdict && verdict === board.said[letter] ? "wrong" : "open";
        select.disabled = how === "right";
        node.className = `moe-is-${how}`;
        const said = how === "wrong" ? replyTo(secrets, round, letter, verdict, board.paid) : "";
        answer.replaceChildren(el("b", {}, { right: "✓ Right.", wrong: "✗ No. ", open: "" }[how]), ...prose(said));
      }
      const right = cards.filter(({ select }) => select.disabled).length;
      const solved = right === cards.length;
      const runs = board.paid.map((run) => `${run[0]}${names.indexOf(run.slice(2))}`).join("");
      const href = `#suspects=${[digest, round, board.accused, runs].join(".")}`;
      const link = solved && isSite && !replayed ? [el("a", { href }, "A link to how you did it"), ". "] : [];
      const head = el(
        "b",
        { className: solved ? "moe-right" : "" },
        solved ? "✓ Solved" : `${right} of ${cards.length} right`,
      );
      const times = `${board.accused} accusation${board.accused > 1 ? "s" : ""}`;
      told.replaceChildren(
        ...(board.accused ? [head, `: ${tokens(due)}, ${times}. `, ...link, replayed ? "" : stored.where()] : []),
      );
      accusing.disabled = !Object.values(board.said).some(Boolean);
      accusing.hidden = solved;
      return [solved, due];
    }
    const fields = el(
      "fieldset",
      { disabled: !!replayed || isRestored(root) },
      el("legend", { className: "moe-question" }, model.get("question")),
      el("div", { className: "moe-probes" }, ...picks),
      el("div", { className: "moe-price" }, asks, bill),
      el("ol", {}, ...cards.map(({ node }) => node)),
      accusing,
    );
    const label = `${model.get("label")}, suspects ${round + 1} of ${rounds.length}${replayed ? ", replayed" : ""}`;
    mount(
      root,
      el(
        "section",
        { className: "moe-ask moe-detective" },
        el("p", { className: "moe-label" }, label),
        fields,
        told,
        others,
      ),
    );
    draw();
    if (isRestored(root)) told.textContent = RUN_TO_ANSWER;
    if (replayed) root.scrollIntoView();
  }
  show();
  addEventListener("hashchange", show);
  return () => {
    removeEventListener("hashchange", show);
    stored.stop();
  };
}
export default { render };
