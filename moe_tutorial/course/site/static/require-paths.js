// The widgets ask for the module "anywidget"; here it lies beside this script, not on another host.
requirejs.config({ paths: { anywidget: new URL("anywidget", document.currentScript.src).href } });

// They also know only MathJax 2 and hand it their formulas through its queue; the pages carry MathJax 3.
document.addEventListener("DOMContentLoaded", () => {
  if (window.MathJax) MathJax.Hub = { Queue: ([, , element]) => MathJax.typesetPromise?.([element]) };
});
