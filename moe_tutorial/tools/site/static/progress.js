// Shows what this browser keeps as done, in the sidebar and on the front page's map of lessons: a guess that is locked,
// a puzzle that is solved, suspects that are found, a challenge that is won. The front page's button leads on.
(() => {
  const start = `moe ${location.pathname.replace(/[^/]*$/, "")} `; // as in web/ask/storage.js
  const isDone = ({ said, solved, won, boards = {} }) =>
    said !== undefined || solved || won || Object.values(boards).some((board) => board.solved);

  // The lesson of each thing done, such as "03" of the key "moe / guess 03.order".
  function done() {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(start));
      const found = keys.filter((key) => isDone(JSON.parse(localStorage.getItem(key)) ?? {}));
      return found.map((key) => key.slice(start.length).split(" ")[1].slice(0, 2));
    } catch {
      return []; // this browser refuses storage
    }
  }
  const button = document.querySelector("p > a[href='00_start_here.html']");
  const cards = [...document.querySelectorAll(".moe-lessons a")];
  function show() {
    const all = done();
    for (const lesson of document.querySelectorAll("[data-of]")) {
      const n = all.filter((number) => lesson.textContent.trim().startsWith(number)).length;
      const of = Math.max(n, lesson.dataset.of);
      lesson.classList.toggle("moe-done", n > 0);
      lesson.style.setProperty("--part", `${(100 * n) / of}%`);
      const line = lesson.closest("b")?.nextElementSibling ?? lesson; // of a card on the map, or of the sidebar
      line.dataset.done = !n ? "" : line === lesson ? `${n}/${of}` : ` · ${n} of ${of} done`; // the sidebar has no room
    }
    // On to the last lesson that was begun or, if it is done, to the next.
    const last = cards.findLastIndex((card) => card.querySelector(".moe-done"));
    const next = cards[last + Boolean(cards[last]?.querySelector("[style*='100%']"))];
    const textContent = `Go on with lesson ${next?.querySelector(".moe-lesson").textContent}`;
    if (next) Object.assign(button, { href: next.href, textContent });
  }
  // The reader comes back to the page, another tab adds something, or a widget of this page does.
  for (const event of ["pageshow", "storage", "moe-stored"]) addEventListener(event, show);
  show();
})();
