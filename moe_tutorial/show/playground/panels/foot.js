// The foot: the present run as a link or, in a notebook, as Python; as a PyTorch script. It also updates the page's URL
// if `owner`, and the widget's `state` if there is a kernel (`live`).
import { el, field, quietly } from "../../web/dom.js";
import { set } from "./elements.js";
import { toHash } from "../experiment/hash.js";
import { inPyTorch } from "../pytorch.js";
import { flatten, inPython } from "../experiment/state.js";

const TOO_LONG = "More was changed on the way than a link can hold. Reset begins a run that fits.";

/** Copy text to the clipboard, and say so. */
async function copy(text, from, status, what) {
  try {
    await navigator.clipboard.writeText(text);
    set(status, `${what} copied.`);
  } catch {
    from.focus();
    from.select();
    set(status, `Press Ctrl+C to copy ${what.toLowerCase()}.`); // the page has no permission
  }
}

// standing(): the state on the screen, which the buttons copy also while it trains.
export function makeFoot(model, { live, owner, own, standing }) {
  const here = location.href.replace(/#.*/, "");
  const folder = location.protocol === "about:" ? "" : here.replace(/[^/]*$/, "");
  const page = owner ? here : `${folder}playground.html`;
  const title = document.title;
  const text = el("input", { type: "text", readOnly: true, onfocus: () => text.select() });
  const status = el("span", { className: "moe-note", role: "status" });
  const script = el("textarea", { className: "pg-script", readOnly: true, rows: 14, spellcheck: false });
  script.ariaLabel = "The script";
  const scriptBox = el("div", { hidden: true }, script);
  const words = live ? "This experiment in Python" : "A link to this run";
  const copyLink = quietly("Copy", { onclick: copyText });
  const asScript = quietly("Copy as PyTorch", { onclick: writeScript });
  let written;
  let state;

  function copyText() {
    describe(standing());
    if (!copyLink.disabled) copy(text.value, text, status, live ? "Python" : "The link");
  }
  function writeScript() {
    describe(standing());
    script.value = inPyTorch(model.get("script"), state, link());
    scriptBox.hidden = false;
    copy(script.value, script, status, `The script (${script.value.trim().split("\n").length} lines)`);
  }
  const link = () => {
    const hash = toHash(state);
    return hash === null ? page : `${page}#${hash || "steps=0"}`;
  };

  // Write a state into the text field; returns its fragment.
  function describe(now) {
    state = now;
    const hash = toHash(state);
    text.value = live ? inPython(flatten(state), !!own) : hash === null ? TOO_LONG : link();
    copyLink.disabled = hash === null && !live;
    return hash;
  }
  function remember(now, message) {
    asScript.disabled = !!own;
    const hash = describe(now);
    if (hash === written) return;
    written = hash;
    if (owner && hash !== null) history.replaceState(history.state, "", link());
    if (owner) document.title = `${message} · ${title}`;
    if (!live) return;
    model.set("state", flatten(state));
    model.save_changes();
  }
  const shared = own && !live ? [] : [field(words, text), copyLink, asScript]; // a link cannot hold one's own points
  const row = el("div", { className: "pg-share" }, ...shared, status);
  return { node: el("div", { className: "pg-foot" }, row, scriptBox), remember, written: () => written };
}
