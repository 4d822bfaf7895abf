/* global Documentation, DOCUMENTATION_OPTIONS, Search */
// An excerpt is fetched from its page, which browsers forbid to pages opened from a folder.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";

const TOOLS = ["_static/language_data.js", "_static/searchtools.js", "searchindex.js"];
const SKIP = ".moe-fold, .katex-mathml, .moe-how, .moe-switch, noscript, h1, #print-main-content, .bd-header, .bd-toc";
// The commonest word of the index that differs from a misspelt one in one place: a letter too many, too few or wrong,
// or two exchanged.
function mended(word) {
  if (word.length < 4 || word in Search._index.terms) return word;
  const others = [...word].map((c, i) => `${word.slice(0, i)}.?[${c}${word[i + 1] ?? ""}].?${word.slice(i + 2)}`);
  const near = new RegExp(`^(${others.join("|")})$`);
  const found = Object.entries(Search._index.terms).filter(([term]) => near.test(term));
  return found.sort(([, a], [, b]) => [b].flat().length - [a].flat().length)[0]?.[0] ?? word;
}
// Sphinx lists a page once for each way in which it was found, and takes excerpts from hidden code and tables of
// contents.
function correct() {
  const { _performSearch: find, _parseQuery: parse, htmlToText } = Search;
  Search._parseQuery = (query) => parse(query.replace(/^claim (?=\d)/i, "").replace(/^\d\.\d/, "0$&")); // 5.2 is 05.2
  Search._performSearch = (words, terms, ...more) => {
    const pages = new Map(); // the best result comes last
    const retry = (right) => find(right.join(" "), new Set(right), ...more);
    const results = find(words, terms, ...more);
    const begins = (name) => name.startsWith(`${words.toLowerCase()} `);
    const term = !results.some(([, , place]) => place) && Object.keys(Search._index.indexentries).find(begins);
    if (term) results.push(...find(term, new Set(), ...more)); // "dead" means "dead expert"
    for (const result of results.length ? results : retry([...terms].map(mended))) {
      const [, kind, name] = /^#(term|claim)-(.+?)(?:-means)?$/.exec(result[2]) ?? [];
      const found = kind === "claim" ? `claim ${name.replace("-", ".")}` : name?.replaceAll("-", " ");
      if (found && !result[1].toLowerCase().includes(found)) result[1] += `: ${found}`; // found by any of its names
      pages.delete(result[0]);
      pages.set(result[0], result);
    }
    return [...pages.values()];
  };
  const { gettext } = Documentation;
  const nothing = "Nothing found. The glossary lists the course's words.";
  const isNothing = (words) => words.startsWith("Your search did not match"); // it speaks of categories to choose
  Documentation.gettext = (words) => (isNothing(words) ? nothing : gettext(words));
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const node of page.querySelectorAll(SKIP)) if (!anchor || !node.querySelector(anchor)) node.remove();
    const claim = anchor && page.querySelector(`${anchor}.moe-claim h3`);
    return claim ? claim.textContent : htmlToText(page.documentElement.outerHTML, anchor);
  };
}
document.querySelector('script[src*="searchtools"]')?.addEventListener("load", correct);

// On other pages, the dialog shows the best results while one types. It loads the index when it is used. Arrows move
// through them, and Enter goes to the best one.
const field = document.querySelector("body:not(:has(#search-results)) #pst-search-dialog input");
const root = document.documentElement.dataset.content_root;
const best = document.createElement("ul");
let typed, index;
const load = (file) =>
  new Promise((resolve) => {
    const onload = () => resolve((field.value = typed)); // searchtools.js empties it
    document.head.append(Object.assign(document.createElement("script"), { src: root + file, async: false, onload }));
  });
field?.form.after(best);
field?.addEventListener("input", async () => {
  typed = field.value;
  await (index ??= Promise.all(TOOLS.map(load)).then(correct));
  const results = Search._performSearch(...Search._parseQuery(typed)).reverse();
  const link = ([page, title, place]) => `<li><a href="${root}${page}.html${place ?? ""}">${title}</a></li>`;
  best.innerHTML = results.slice(0, 6).map(link).join("") || (typed && "<li><a>Nothing found</a></li>");
});
field?.closest("dialog").addEventListener("keydown", (event) => {
  const stops = [field, ...best.querySelectorAll("[href]")];
  const isBest = event.key === "Enter" && event.target === field && stops.length > 1;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step || isBest) event.preventDefault();
  if (isBest) stops[1].click();
  if (step) stops.at((stops.indexOf(event.target) + step) % stops.length).focus();
});

// The words are highlighted on the page that a result leads to, and on no other.
let followed = false;
addEventListener("click", ({ target }) => (followed = target.closest("#search-results a") !== null));
addEventListener("pagehide", () => followed || localStorage.removeItem("sphinx_highlight_terms"));
