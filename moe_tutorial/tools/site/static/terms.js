// On a touch screen, the first touch of a word from the glossary shows its meaning below it, and the second follows the
// link. With a mouse, the meaning is the link's title.
(() => {
  if (!matchMedia("(pointer: coarse)").matches) return;
  const note = Object.assign(document.createElement("span"), { className: "moe-meaning", role: "status" });
  addEventListener("click", (event) => {
    const term = event.target.closest("a.moe-term");
    if (!term || term.nextSibling === note) return note.remove();
    event.preventDefault();
    note.textContent = term.title;
    term.after(note);
  });
})();
