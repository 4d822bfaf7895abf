// A word from the glossary shows its meaning beside it: when a mouse is on it, when it has the focus, and at the first
// touch. The link is followed by a click, or by the second touch.
(() => {
  const note = Object.assign(document.createElement("span"), { ariaHidden: "true", className: "moe-meaning" });
  let shown = null;

  function show(term) {
    if (term === shown) return;
    shown = term;
    note.remove();
    if (!term) return;
    note.textContent = term.ariaDescription;
    note.style.marginLeft = "0";
    term.append(note);
    const { right, height } = note.getBoundingClientRect();
    note.style.marginLeft = `${Math.min(0, document.documentElement.clientWidth - right - 8)}px`;
    note.classList.toggle("moe-under", term.getBoundingClientRect().top < height + 60); // below the page's header
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
