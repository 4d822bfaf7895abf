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
  const hiding = new Map(); // what is hidden -> how many guesses hide it

  // The cell or text above, apart from folds and hidden code.
  function above(node) {
    let before = (node.closest(".cell") ?? node).previousElementSibling; // text that answers is in no cell
    while (before?.matches(".moe-fold, .cell:has(> .moe-how:only-child)")) before = before.previousElementSibling;
    return before;
  }
  function veil(id, nodes) {
    const notices = [];
    let shown = false;
    function show() {
      if (shown) return;
      shown = true;
      notices.forEach((notice) => notice.remove());
      document.getElementById(`guess-${id}`)?.closest(".moe-late").setAttribute("data-shown", "");
      for (const node of nodes) {
        hiding.set(node, hiding.get(node) - 1);
        if (hiding.get(node)) continue;
        node.removeAttribute("hidden");
        node.dataset.shown = ""; // its reveal asks for no second click
        node.dispatchEvent(new Event("toggle")); // as a fold that opens, see folds.js
      }
      dispatchEvent(new CustomEvent("moe-shown", { detail: id })); // its card shows the answer
    }
    for (const node of nodes) {
      hiding.set(node, (hiding.get(node) ?? 0) + 1);
      node.setAttribute("hidden", "until-found");
      node.addEventListener("beforematch", show); // a search in the page, or a link to a place in it
      const before = above(node);
      if (nodes.some((other) => before?.contains(other))) continue; // one notice stands for both
      const press = Object.assign(document.createElement("button"), { type: "button", textContent: "show it" });
      const notice = document.createElement("p");
      notice.className = "moe-veiled";
      notice.hidden = !!before?.querySelector(`.moe-joined[id="guess-${id}"]`); // this card has a button
      const guess = Object.assign(document.createElement("a"), { href: `#guess-${id}`, textContent: "your guess" });
      notice.append("Hidden until you lock ", guess, ", or ", press, ".");
      press.onclick = () => {
        show();
        Object.assign(node, { tabIndex: -1 }).focus({ preventScroll: true });
      };
      node.before(notice);
      notices.push(notice);
    }
    addEventListener("beforeprint", show);
    addEventListener("moe-shown", ({ detail }) => detail === id && show());
    addEventListener("moe-stored", ({ detail }) => detail.key === key(id) && show());
  }
  for (const [id, nodes] of guesses)
    if (!isStored(key(id)) && !searched && !nodes.some((node) => target && node.contains(target))) veil(id, nodes);
})();
