// @ts-check
// The widget behind detective(): probes are run on suspects at a price, and each suspect gets a verdict. On the site, a
// solved board has a link, which shows it.
import { RUN_TO_ANSWER, prose } from "./answers.js";
import { button, el, isRestored, mount, quietly } from "../dom.js";
import { replyTo, unseal } from "./judge.js";
import { storedAnswer } from "./storage.js";
import { figure } from "../words.js";

/** A round: the runs that were paid for in their order, each "<letter> <probe>", letter -> verdict, those of the last
 * accusation, and how many wrong verdicts there were. */
const BEGUN = { paid: [], said: {}, last: {}, wrong: 0 };
const tokens = (/** @type {number} */ n) => `${figure(n)} tokens`;

/** @param {{model: any, el: HTMLElement}} widget */
function render({ model, el: root }) {
  const { probes, rounds, bugs, does, sealed, digest, ours } = model.get("settings");
  const secrets = unseal(sealed);
  const names = probes.map(({ name }) => name);
  const fine = probes.reduce((sum, { price }) => sum + price, 0); // of a wrong verdict
  const stored = storedAnswer(model);
  const isSite = !model.widget_manager; // JupyterLab opens a notebook without its fragment
  const kept = () => stored.get() ?? { of: rounds.length, round: 0, boards: {} };
  let chosen = 0; // the probe that is run next

  /** The solved board in the page's link, or null. */
  function inLink() {
    const asked = new URLSearchParams(location.hash.slice(1)).get("suspects") ?? "";
    const [mark, round, wrong, runs = ""] = asked.split(".");
    const truth = secrets.truth[+round];
    if (!isSite || mark !== digest || !truth) return null;
    const paid = [...runs.matchAll(/([A-Z])(\d+)/g)].map(([, letter, p]) => `${letter} ${names[+p]}`);
    return { round: +round, board: { paid, said: truth, last: truth, wrong: +wrong || 0 } };
  }

  function show() {
    const replayed = inLink();
    const round = replayed?.round ?? kept().round % rounds.length;
    const [found, truth] = [secrets.found[round], secrets.truth[round]];
    let board = { ...BEGUN, ...(replayed?.board ?? kept().boards[round]) };
    board.paid = board.paid.filter((run) => names.includes(run.slice(2))); // a learner may rename a probe

    const bill = el("output", { className: "moe-bill" });
    const asks = el("p", { className: "moe-asks" });
    const told = el("p", { className: "moe-told", role: "status", tabIndex: -1 });
    const cards = [...rounds[round]].map(card);
    const picks = probes.map(({ name, price }, /** @type {number} */ p) => {
      const priced = [`${name} `, el("span", {}, figure(price))];
      return el("button", { type: "button", className: "moe-button moe-quiet", onclick: () => draw(p) }, ...priced);
    });
    const everywhere = quietly("", { onclick: () => pay(cards.filter(isNext)) });
    const accusing = button("Accuse", { onclick: accuse });
    const others = quietly(replayed ? "Play it yourself" : "Other suspects", { onclick: goOn });

    function keep(/** @type {Partial<typeof BEGUN>} */ change) {
      board = { ...board, ...change };
      const now = { ...board, ...draw() };
      stored.put({ ...kept(), round, boards: { ...kept().boards, [round]: now } });
    }
    function accuse() {
      const isReady = board.paid.length && Object.values(board.said).some(Boolean);
      if (!isReady) return void (told.textContent = "Run a probe and choose a verdict first.");
      const isNew = ([letter, bug]) => bug && bug !== truth[letter] && bug !== board.last[letter];
      keep({ wrong: board.wrong + Object.entries(board.said).filter(isNew).length, last: board.said });
      (root.querySelector(".moe-is-wrong select") ?? told).focus(); // the reason stands below it
    }
    function goOn() {
      if (replayed) history.replaceState(history.state, "", location.pathname + location.search);
      stored.put({ ...kept(), round: (round + 1) % rounds.length });
      show();
      root.querySelector("button").focus();
    }
    const isNext = (/** @type {any} */ { run }) => !run.disabled;
    function pay(/** @type {{letter: string}[]} */ suspects) {
      keep({ paid: [...board.paid, ...suspects.map(({ letter }) => `${letter} ${names[chosen]}`)] });
    }
    function card(/** @type {string} */ letter) {
      const run = quietly("", { onclick: () => pay([{ letter }]) });
      const select = el("select", { ariaLabel: `Verdict on ${letter}` }, new Option("verdict …", ""));
      const here = [secrets.truth[0], truth].flatMap(Object.values);
      select.append(...bugs.filter((bug) => here.includes(bug)).map((bug) => new Option(bug)));
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
    function draw(pick = chosen) {
      chosen = pick;
      const { name, price, asks: text } = probes[chosen];
      const right = cards.filter(({ letter }) => board.last[letter] === truth[letter]).length;
      const solved = right === cards.length;
      picks.forEach((pick, p) => (pick.ariaPressed = `${p === chosen}`));
      asks.replaceChildren(...prose(`${text} ${tokens(price)} a run.`));
      for (const { letter, run, select, stamps, answer, node } of cards) {
        const own = board.paid.filter((each) => each[0] === letter);
        stamps.append(...own.slice(stamps.childElementCount).map(stamp));
        run.replaceChildren("run", el("span", {}, `: ${name}`));
        run.ariaLabel = `run: ${name} on ${letter}`;
        run.disabled = solved || own.includes(`${letter} ${name}`);
        const verdict = board.last[letter];
        const how = verdict === truth[letter] ? "right" : verdict && verdict === board.said[letter] ? "wrong" : "open";
        select.disabled = how === "right";
        node.className = `moe-is-${how}`;
        const failed = names.filter((each) => found[letter][each]).join(", ") || "no probe";
        let said = does[board.said[letter]] ?? "";
        if (how === "right") said = `It fails ${failed}. ${secrets.why[verdict] ?? ""}${alsoFit(letter, own)}`;
        if (how === "wrong") said = replyTo(secrets, round, letter, verdict, board.paid);
        answer.hidden = !said;
        answer.replaceChildren(el("b", {}, { right: "✓ Right. ", wrong: "✗ No. ", open: "" }[how]), ...prose(said));
      }
      const due = board.paid.reduce((sum, run) => sum + probes[names.indexOf(run.slice(2))].price, board.wrong * fine);
      bill.value = `Bill: ${tokens(due)}`;
      told.replaceChildren(...(Object.keys(board.last).length ? score(right, due) : []));
      accusing.hidden = solved;
      everywhere.hidden = !cards.some(isNext);
      everywhere.textContent = `run on all: ${tokens(price * cards.filter(isNext).length)}`;
      return { solved, bill: due };
    }
    /** Whom else the runs on a suspect leave possible. @param {string} letter @param {string[]} runs */
    function alsoFit(letter, runs) {
      const isAlike = (other) => runs.every((run) => !found[other][run.slice(2)] === !found[letter][run.slice(2)]);
      const others = Object.keys(found).filter((other) => other !== letter && isAlike(other));
      if (!others.length) return "";
      const names = others.map((other) => `“${truth[other]}”`).join(" and ");
      return ` Your runs on it would also fit ${others.length < 3 ? names : `${others.length} others`}.`;
    }
    /** How far the accusations led, what it cost, and a link if all is solved. */
    function score(/** @type {number} */ right, /** @type {number} */ due) {
      const all = right === cards.length;
      const led = all ? "✓ Solved" : `${right} of ${cards.length} right`;
      const mark = el("b", { className: all ? "moe-right" : "" }, led);
      const fines = board.wrong ? ` (${tokens(board.wrong * fine)} of it)` : "";
      const besides = all && ours ? ` (ours: ${figure(ours[round])})` : "";
      const cost = `: ${tokens(due)}${besides}, ${board.wrong} wrong verdict${board.wrong === 1 ? "" : "s"}${fines}. `;
      if (replayed) return [mark, cost];
      const runs = board.paid.map((run) => `${run[0]}${names.indexOf(run.slice(2))}`).join("");
      const href = `#suspects=${[digest, round, board.wrong, runs].join(".")}`;
      const link = all && isSite ? [el("a", { href }, "A link that shows your solved board"), ". "] : [];
      return [mark, cost, ...link, stored.where()];
    }
    const question = el("legend", { className: "moe-question" }, model.get("question"));
    const choose = el("div", { className: "moe-probes" }, ...picks);
    const price = el("div", { className: "moe-price" }, asks, everywhere, bill);
    const fields = el("fieldset", {}, question, choose, price, el("ol", {}, ...cards.map(({ node }) => node)));
    fields.disabled = replayed || isRestored(root);
    const label = `${model.get("label")}, suspects ${round + 1} of ${rounds.length}${replayed ? ", solved" : ""}`;
    const acts = el("p", { hidden: isRestored(root) }, accusing, others);
    const parts = [el("p", { className: "moe-label" }, label), fields, acts, told];
    mount(root, el("section", { className: "moe-ask moe-detective" }, ...parts));
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
