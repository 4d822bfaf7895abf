// The claim that the address names stands open, also on the page of all claims where only some are shown, by a menu,
// whose choice is kept in the address, and by words.
(() => {
  const only = document.querySelector(".moe-claims-filter select");
  const words = document.querySelector(".moe-claims-filter input");

  function follow() {
    const named = document.getElementById(location.hash.slice(1));
    if (named?.matches("option")) named.selected = true;
    if (!named?.matches(".moe-claim")) return;
    if (only?.value && !named.matches(`.${only.value}`)) only.value = "";
    named.hidden = false;
    named.querySelector("details").open = true;
    named.scrollIntoView();
  }

  addEventListener("hashchange", follow);
  words?.addEventListener("input", () => {
    const asked = words.value.toLowerCase().split(/\s+/);
    for (const claim of document.querySelectorAll(".moe-claim")) {
      const text = `${claim.parentNode.firstChild.textContent} ${claim.textContent}`.toLowerCase(); // with its lesson's
      claim.hidden = !asked.every((word) => text.includes(word));
    }
  });
  only?.addEventListener("change", () => history.replaceState(history.state, "", `#${only.selectedOptions[0].id}`));
  const grown = new ResizeObserver(follow); // widgets above the claim are mounted late, and move it
  grown.observe(document.body);
  for (const event of ["wheel", "pointerdown", "keydown", "input", "change"])
    addEventListener(event, () => grown.disconnect());
})();
