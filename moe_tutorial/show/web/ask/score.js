// @ts-check
// The widget behind score_card(): a learner's results by lesson. On the site they come from localStorage.
import { button, el, mount, note } from "../dom.js";
import { quizWords } from "./judge.js";
import { CHANGED, forget, storedAnswers } from "./storage.js";
import { figure } from "../words.js";

/** @param {any} found the answers of one kind, id -> value @returns {Map<string, any[]>} the values by lesson */
function byLesson(found) {
  const lessons = new Map();
  for (const [id, value] of Object.entries(found)) {
    const lesson = id.slice(0, 2);
    lessons.set(lesson, [...(lessons.get(lesson) ?? []), value]);
  }
  return lessons;
}

const HOW = { right: "right", near: "close", far: "far off", undefined: "not revealed yet" };
/** @param {any[]} values */
function guessWords(values) {
  const counts = Object.entries(HOW).map(([how, word]) => [
    values.filter((value) => `${value.how}` === how).length,
    word,
  ]);
  return counts
    .filter(([n]) => n)
    .map((pair) => pair.join(" "))
    .join(", ");
}
/** @param {any[]} values boards of suspects, as detective.js stores them */
function suspectWords(values) {
  const solved = values.flatMap(({ boards }) => Object.values(boards)).filter((board) => board.solved);
  const tokens = figure(solved.reduce((sum, { bill }) => sum + bill, 0));
  return `${solved.length} of ${values.reduce((sum, { of }) => sum + of, 0)} boards solved, ${tokens} tokens`;
}
/** @type {{kind: string, name: string, words: (values: any[]) => string}[]} */
const COLUMNS = [
  { kind: "guess", name: "Guesses", words: guessWords },
  { kind: "exercise", name: "Exercises", words: (values) => `${values.filter(({ solved }) => solved).length} solved` },
  { kind: "quiz", name: "Quiz", words: quizWords },
  { kind: "detective", name: "Suspects", words: suspectWords },
  { kind: "challenge", name: "Challenges", words: (values) => `${values.length} won` },
];

/** @param {{model: any, el: HTMLElement}} widget */
function render({ model, el: root }) {
  const onPage = model.get("place") === "browser";

  function draw() {
    const columns = COLUMNS.map(({ kind, name, words }) => {
      const found = onPage ? storedAnswers(kind) : (model.get("stored")[kind] ?? {});
      return { name, words, all: Object.values(found), lessons: byLesson(found) };
    }).filter(({ all }) => all.length);
    const label = el("p", { className: "moe-label" }, model.get("label"));
    if (!columns.length) {
      mount(root, el("section", { className: "moe-ask" }, label, el("p", {}, model.get("nothing"))));
      return;
    }
    const lessons = [...new Set(columns.flatMap(({ lessons }) => [...lessons.keys()]))].sort();
    const line = (/** @type {any} */ head, /** @type {string[]} */ cells) =>
      el("tr", {}, head, ...cells.map((words) => el("td", {}, words)));
    const heads = ["Lesson", ...columns.map(({ name }) => name)].map((name) => el("th", { scope: "col" }, name));
    const rows = lessons.map((lesson) => {
      const cells = columns.map((column) =>
        column.lessons.has(lesson) ? column.words(column.lessons.get(lesson)) : "–",
      );
      return line(el("th", { scope: "row" }, lesson), cells);
    });
    const sums = line(
      el("th", { scope: "row" }, "All"),
      columns.map(({ words, all }) => words(all)),
    );
    const parts = [el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows), el("tfoot", {}, sums)];
    const card = el("section", { className: "moe-ask" }, label, el("table", {}, ...parts));
    if (onPage) card.append(clear());
    mount(root, card);
  }
  function clear() {
    const press = button("Forget all of it", { className: "moe-button moe-quiet" });
    press.onclick = () => {
      press.textContent = "Forget it? Press again";
      press.onclick = () => {
        forget();
        draw();
      };
    };
    return el("div", {}, note("It is kept in this browser, and nowhere else."), press);
  }
  draw();
  addEventListener("focus", draw); // another tab may have added to it
  addEventListener(CHANGED, draw); // or another widget of this page
  model.on("change:stored", draw); // or the kernel
  return () => {
    for (const event of ["focus", CHANGED]) removeEventListener(event, draw);
    model.off("change:stored", draw);
  };
}
export default { render };
