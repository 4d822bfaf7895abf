// Shows what this browser keeps as done, in the sidebar and on the front page's map of lessons: a guess that is locked,
// a puzzle that is solved, suspects that are found, a challenge that is won.
(() => {
  const start = `moe ${location.pathname.replace(/[^/]*$/, "")} `; // as in web/ask/storage.js
  const isDone = ({ said, solved, won, boards = {} }) =>
    said !== undefined || solved || won || Object.values(boards).some((board) => board.solved);

  // The lesson of each thing done, such as "03" of the key "moe / guess 03.order".
  function done() {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(start));
      const found = keys.filter((key) => isDone(JSON.parse(localStorage.getItem(key)) ?? {}));
      const names = found.map((key) => key.slice(start.length).replace(/^(dare \d\d).*/, "$1")); // one game
      return [...new Set(names)].map((name) => name.split(" ")[1].slice(0, 2));
    } catch {
      return []; // this browser refuses storage
    }
  }
  function show() {
    const all = done();
    for (const link of document.querySelectorAll(".bd-sidebar-primary .toctree-l1 > a")) {
      const n = all.filter((lesson) => link.textContent.trim().startsWith(`${lesson} `)).length;
      link.dataset.done = n ? ` · ${n} done` : "";
    }
    for (const badge of document.querySelectorAll(".moe-lesson")) {
      const n = all.filter((lesson) => lesson === badge.textContent).length;
      const of = Math.max(n, badge.dataset.of);
      badge.classList.toggle("moe-done", n > 0);
      badge.style.setProperty("--part", `${(100 * n) / of}%`);
      badge.parentElement.nextElementSibling.dataset.done = n ? ` · ${n} of ${of} done` : "";
    }
  }
  // The reader comes back to the page, another tab adds something, or a widget of this page does.
  for (const event of ["pageshow", "storage", "moe-stored"]) addEventListener(event, show);
  show();
})();
