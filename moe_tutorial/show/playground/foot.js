// The foot: the experiment as it stands, as a link or, in a notebook, in Python. The page's address says it too, if
// `owner`, and the widget's `state`, if a kernel is `live`.
import { el, field } from "../web/dom.js";
import { toHash } from "./hash.js";
import { flatten, inPython } from "./state.js";

export function makeFoot(model, { live, owner }) {
  const here = location.href.replace(/#.*/, "");
  const folder = location.protocol === "about:" ? "" : here.replace(/[^/]*$/, "");
  const page = owner ? here : `${folder}playground.html`;
  const text = el("input", { type: "text", readOnly: true, onfocus: () => text.select() });
  const title = live ? "This experiment in Python" : "A link to this experiment";
  let written = "";

  // `busy`: it trains, so the address would change all the time.
  function remember(state, busy) {
    const hash = toHash(state);
    const changed = hash !== written;
    if (!changed && text.value) return;
    written = hash;
    if (owner && changed && !busy && hash !== location.hash.slice(1))
      history.replaceState(history.state, "", hash ? `#${hash}` : location.pathname + location.search);
    text.value = live ? inPython(flatten(state)) : `${page}#${hash || "steps=0"}`;
    if (!live) return;
    model.set("state", flatten(state));
    model.save_changes();
  }
  return { node: el("div", { className: "pg-foot" }, field(title, text)), remember, written: () => written };
}
