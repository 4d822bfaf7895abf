// A word from the glossary shows its meaning below it: when a mouse is on it, when it has the focus, and at the first
// touch. The link is followed by a click, or by the second touch.
(() => {
  const note = Object.assign(document.createElement("span"), { className: "moe-meaning", ariaHidden: "true" });
  let shown = null;

  function show(term) {
    if (term === shown) return;
    shown = term;
    note.remove();
    if (!term) return;
    note.textContent = term.ariaDescription;
    term.append(note);
    const room = document.documentElement.clientWidth - note.getBoundingClientRect().right - 8;
    note.style.marginLeft = `${Math.min(0, room)}px`;
  }
  for (const term of document.querySelectorAll("a.moe-term")) {
    term.ariaDescription = term.title;
    term.removeAttribute("title");
    term.addEventListener("pointerenter", ({ pointerType }) => pointerType === "mouse" && show(term));
    term.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && show(null));
    term.addEventListener("focus", () => term.matches(":focus-visible") && show(term));
    term.addEventListener("blur", () => show(null));
  }
  addEventListener("click", (event) => {
    const term = event.target.closest("a.moe-term");
    if (term && term !== shown) event.preventDefault();
    show(term);
  });
  addEventListener("keydown", ({ key }) => key === "Escape" && show(null));
})();
