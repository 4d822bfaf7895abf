// The claim that the address names stands open, also on the page of all claims where only some are shown. The menu's
// choice is kept in the address.
(() => {
  const only = document.querySelector(".moe-claims-filter select");

  function follow() {
    const named = document.getElementById(location.hash.slice(1));
    if (named?.matches("option")) named.selected = true;
    if (!named?.matches(".moe-claim")) return;
    if (only?.value && !named.matches(`.${only.value}`)) only.value = "";
    named.querySelector("details").open = true;
    named.scrollIntoView();
  }

  addEventListener("hashchange", follow);
  only?.addEventListener("change", () => history.replaceState(history.state, "", `#${only.selectedOptions[0].id}`));
  const grown = new ResizeObserver(follow); // widgets above the claim are mounted late, and move it
  grown.observe(document.body);
  for (const event of ["wheel", "pointerdown", "keydown", "change"]) addEventListener(event, () => grown.disconnect());
})();
