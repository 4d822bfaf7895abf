// Claims on a page: the URL's fragment opens the claim that it names. On the page of all claims the fragment is the
// state of the filter: #refutes=on&lesson=05&text=dead
(() => {
  const claims = [...document.querySelectorAll(".moe-claim")];
  const form = document.querySelector(".moe-claims-filter");

  function filter() {
    const { text, lesson, ...kinds } = Object.fromEntries(new FormData(form));
    const words = text.toLowerCase().split(/\s+/);
    for (const claim of claims) {
      const said = claim.querySelector("summary").textContent.toLowerCase();
      claim.hidden = !(
        (!lesson || claim.parentElement.id === `lesson-${lesson}`) &&
        Object.keys(kinds).every((kind) => claim.classList.contains(kind)) &&
        words.every((word) => said.includes(word))
      );
    }
    for (const part of document.querySelectorAll(".moe-claims")) {
      part.hidden = !part.querySelector(".moe-claim:not([hidden])");
    }
    const shown = claims.filter((claim) => !claim.hidden).length;
    form.querySelector("[role=status]").textContent = `${shown} of ${claims.length} claims`;
  }

  function set(values) {
    form.reset();
    for (const [name, value] of values) {
      const field = form.elements.namedItem(name);
      if (field?.type === "checkbox") field.checked = true;
      else if (field) field.value = value;
    }
    if (form.elements.lesson.selectedIndex < 0) form.elements.lesson.value = ""; // the fragment names an unknown lesson
    filter();
  }

  // The URL's fragment is the id of a claim or of another element, or the state of the filter.
  function follow() {
    const name = location.hash.slice(1);
    const place = document.getElementById(name);
    const hidden = place?.closest("[hidden]");
    // An element's id sets no filter, so that all claims are shown.
    if (form && (!place || hidden)) set(new URLSearchParams(name));
    const claim = place?.matches(".moe-claim");
    if (claim) place.querySelector("details").open = true;
    if (claim || hidden) place.scrollIntoView();
  }

  if (form) {
    form.hidden = false;
    filter();
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      filter();
      const asked = [...new FormData(form)].filter(([, value]) => value);
      history.replaceState(null, "", `#${new URLSearchParams(asked)}`);
    });
  }
  addEventListener("hashchange", follow);
  follow();
})();
