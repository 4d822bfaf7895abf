// Marks the section that is on the screen in the page's table of contents, and opens the sidebar at its top. The theme
// marks only headings that scroll into sight, and remembers how far another page's sidebar was scrolled.
(() => {
  const links = [...document.querySelectorAll(".page-toc a")];
  const sections = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  function follow() {
    const isAbove = (section) => section?.checkVisibility() && section.getBoundingClientRect().top < innerHeight / 3;
    const isEnd = scrollY > 0 && scrollY + innerHeight > document.documentElement.scrollHeight - 2;
    const now = links[sections.findLastIndex(isEnd ? (section) => section?.checkVisibility() : isAbove)];
    for (const link of links) link.ariaCurrent = link === now ? "true" : null;
  }
  for (const event of ["scroll", "resize", "toggle"])
    addEventListener(event, () => requestAnimationFrame(follow), true);
  follow();
  sessionStorage.setItem("sidebar-scroll-top", "0"); // the theme's script, which runs next, scrolls it there
})();
