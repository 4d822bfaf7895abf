// The claim that the address names stands open, also on the page of all claims where only refuted beliefs are shown.
(() => {
  const only = document.querySelector(".moe-claims-filter input");

  function follow() {
    const claim = document.getElementById(location.hash.slice(1));
    if (!claim?.matches(".moe-claim")) return;
    if (only && !claim.matches(".refutes")) only.checked = false;
    claim.querySelector("details").open = true;
    claim.scrollIntoView();
  }

  for (const event of ["hashchange", "load"]) addEventListener(event, follow); // pictures above may have moved it
  follow();
})();
