/* global DOCUMENTATION_OPTIONS */
// A search result's excerpt is fetched from its page, which browsers forbid to pages opened from a folder.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";

// The words are highlighted on the page that a result leads to, and on no other.
let followed = false;
addEventListener("click", ({ target }) => (followed = target.closest("#search-results a") !== null));
addEventListener("pagehide", () => followed || localStorage.removeItem("sphinx_highlight_terms"));
