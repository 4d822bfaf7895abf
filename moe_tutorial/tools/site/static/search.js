/* global DOCUMENTATION_OPTIONS, Search */
// An excerpt is fetched from its page, which browsers forbid to pages opened from a folder.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";

// Sphinx lists a page once for each way in which it was found, and takes excerpts from folded code and tables of
// contents.
document.querySelector('script[src*="searchtools"]').addEventListener("load", () => {
  const { _performSearch: find, htmlToText } = Search;
  Search._performSearch = (...query) => {
    const pages = new Map(); // the best result comes last
    for (const result of find(...query)) {
      const term = /^#term-(.+?)(-means)?$/.exec(result[2])?.[1].replaceAll("-", " ");
      if (term && !result[1].toLowerCase().includes(term)) result[1] += `: ${term}`; // found by any of its names
      pages.delete(result[0]);
      pages.set(result[0], result);
    }
    return [...pages.values()];
  };
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const node of page.querySelectorAll(".moe-fold, h1, #print-main-content, .bd-header, .bd-toc")) node.remove();
    return htmlToText(page.documentElement.outerHTML, anchor);
  };
});

// The words are highlighted on the page that a result leads to, and on no other.
let followed = false;
addEventListener("click", ({ target }) => (followed = target.closest("#search-results a") !== null));
addEventListener("pagehide", () => followed || localStorage.removeItem("sphinx_highlight_terms"));
