/* global DOCUMENTATION_OPTIONS, Search */
// An excerpt is fetched from its page, which browsers forbid to pages opened from a folder.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";

const SKIP = ".moe-fold, .katex-mathml, .moe-how, .moe-switch, noscript, h1, #print-main-content, .bd-header, .bd-toc";
// Sphinx lists a page once for each way in which it was found, and takes excerpts from hidden code and tables of
// contents.
document.querySelector('script[src*="searchtools"]').addEventListener("load", () => {
  const { _performSearch: find, htmlToText } = Search;
  Search._performSearch = (...query) => {
    const pages = new Map(); // the best result comes last
    for (const result of find(...query)) {
      const [, kind, name] = /^#(term|claim)-(.+?)(?:-means)?$/.exec(result[2]) ?? [];
      const found = kind === "claim" ? `claim ${name.replace("-", ".")}` : name?.replaceAll("-", " ");
      if (found && !result[1].toLowerCase().includes(found)) result[1] += `: ${found}`; // found by any of its names
      pages.delete(result[0]);
      pages.set(result[0], result);
    }
    return [...pages.values()];
  };
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const node of page.querySelectorAll(SKIP)) if (!anchor || !node.querySelector(anchor)) node.remove();
    const claim = anchor && page.querySelector(`${anchor}.moe-claim h3`);
    return claim ? claim.textContent : htmlToText(page.documentElement.outerHTML, anchor);
  };
});

// The words are highlighted on the page that a result leads to, and on no other.
let followed = false;
addEventListener("click", ({ target }) => (followed = target.closest("#search-results a") !== null));
addEventListener("pagehide", () => followed || localStorage.removeItem("sphinx_highlight_terms"));
