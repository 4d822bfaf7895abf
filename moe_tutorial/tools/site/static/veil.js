// Hides what answers a guess until the guess is locked or the reader asks to see it. Print, a search in the page, a
// link to a hidden place, and pages without JavaScript show everything.
(() => {
  const guesses = new Map(); // id of a guess -> what answers it
  for (const node of document.querySelectorAll(".moe-veil"))
    for (const name of node.classList)
      if (name.startsWith("moe-veil-")) {
        const id = name.slice("moe-veil-".length).replace("-", ".").replaceAll("-", "_"); // docutils writes _ as -
        guesses.set(id, [...(guesses.get(id) ?? []), node]);
      }
  const key = (id) => `moe ${location.pathname.replace(/[^/]*$/, "")} guess ${id}`; // as in web/ask/storage.js
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const searched = isStored("sphinx_highlight_terms"); // by the search page; sphinx_highlight.js removes it

  function isStored(name) {
    try {
      return localStorage.getItem(name) !== null;
    } catch {
      return false; // this browser refuses storage
    }
  }
  // The cell or text above, apart from folds and hidden code.
  function above(node) {
    let before = (node.closest(".cell") ?? node).previousElementSibling; // text that answers is in no cell
    while (before?.matches(".moe-fold, .cell:has(> .moe-how:only-child)")) before = before.previousElementSibling;
    return before;
  }
  const isOpen = ([id, nodes]) =>
    !isStored(key(id)) && !searched && !nodes.some((node) => target && node.contains(target));
  const open = new Map([...guesses].filter(isOpen));
  const hide = (node) => [...open.keys()].filter((id) => open.get(id).includes(node)); // the guesses that hide it
  const notices = new Map(); // what is hidden -> the line that says so

  function show(id) {
    const nodes = open.get(id);
    if (!open.delete(id)) return;
    document.getElementById(`guess-${id}`)?.closest(".moe-late").setAttribute("data-shown", "");
    for (const node of nodes) {
      notices.get(node)?.update();
      if (hide(node).length) continue;
      node.removeAttribute("hidden");
      node.dataset.shown = ""; // its reveal asks for no second click
      node.dispatchEvent(new Event("toggle")); // as a fold that opens, see folds.js
    }
    dispatchEvent(new CustomEvent("moe-shown", { detail: id })); // its card shows the answer
  }
  function notify(node) {
    const before = above(node);
    if (hide(node).every((id) => open.get(id).some((other) => before?.contains(other)))) return; // one stands for both
    const notice = Object.assign(document.createElement("p"), { className: "moe-veiled" });
    const guess = document.createElement("a");
    const press = Object.assign(document.createElement("button"), { type: "button", textContent: "show it" });
    notice.append("Hidden until you lock ", guess, ", or ", press, ".");
    notice.update = () => {
      const [id, ...more] = hide(node);
      if (!id) return notice.remove();
      guess.href = `#guess-${id}`;
      guess.textContent = more.length ? `${more.length + 1} guesses` : "your guess";
      notice.hidden = !more.length && !!before?.querySelector(`.moe-joined[id="guess-${id}"]`); // its card has a button
    };
    press.onclick = () => {
      hide(node).forEach(show);
      Object.assign(node, { tabIndex: -1 }).focus({ preventScroll: true });
    };
    node.before(notice);
    notices.set(node, notice);
    notice.update();
  }
  for (const node of new Set([...open.values()].flat())) {
    node.setAttribute("hidden", "until-found");
    node.addEventListener("beforematch", () => hide(node).forEach(show)); // a search, or a link to a place in it
    notify(node);
  }
  const showAll = () => [...open.keys()].forEach(show);
  addEventListener("beforeprint", showAll);
  addEventListener("moe-shown", ({ detail }) => show(detail));
  addEventListener("moe-stored", ({ detail }) => [...open.keys()].filter((id) => key(id) === detail.key).forEach(show));
})();
