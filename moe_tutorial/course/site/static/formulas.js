// Sets the page's formulas when the first of them comes near the screen; MathJax weighs more than the page.
(() => {
  const NEAR = "800px";
  const address = new URL("mathjax/tex-mml-chtml.js", document.currentScript.src).href;
  const formulas = document.querySelectorAll(".math");
  window.MathJax = { options: { enableMenu: false, processHtmlClass: "math" }, startup: { elements: [...formulas] } };

  function load() {
    approach.disconnect();
    removeEventListener("beforeprint", load);
    document.head.append(Object.assign(document.createElement("script"), { src: address }));
  }
  const approach = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && load(), {
    rootMargin: NEAR,
  });
  addEventListener("beforeprint", load);
  addEventListener("load", () => formulas.forEach((formula) => approach.observe(formula)));
})();
