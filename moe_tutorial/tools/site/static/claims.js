// The claim that the address names stands open, also on the page of all claims where only some are shown.
(() => {
  const only = document.querySelector(".moe-claims-filter select");

  function follow() {
    const claim = document.getElementById(location.hash.slice(1));
    if (!claim?.matches(".moe-claim")) return;
    if (only?.value && !claim.matches(`.${only.value}`)) only.value = "";
    claim.querySelector("details").open = true;
    claim.scrollIntoView();
  }

  addEventListener("hashchange", follow);
  const grown = new ResizeObserver(follow); // widgets above the claim are mounted late, and move it
  grown.observe(document.body);
  for (const event of ["wheel", "pointerdown", "keydown", "change"]) addEventListener(event, () => grown.disconnect());
})();
