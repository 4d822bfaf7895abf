// @ts-check
// What a learner answered, kept where the widget's place says: a kernel writes it into their workspace; a page of the
// site has only this browser, where it stands under the site's own path; and if that keeps nothing, this page.
import { answersMoved } from "./moved.js";

const HEARD = "moe-kept"; // told to the other widgets of the page
const site = `moe ${location.pathname.replace(/[^/]*$/, "")} `;
/** @type {any} */
const everywhere = window; // each widget of a page has a copy of this module
/** @type {Map<string, any>} */
const here = (everywhere.moeKept ??= new Map());
const WHERE = {
  workspace: "It is kept in your workspace.",
  kernel: "It is kept until the kernel stops: this notebook is in no workspace.",
  browser: "It is kept in this browser.",
  page: "It is kept until you leave this page: this browser keeps nothing for it.",
};

/** @param {string} key */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") ?? here.get(key) ?? null;
  } catch {
    return here.get(key) ?? null;
  }
}

/** Whether the browser took it. @param {string} key @param {any} value */
function write(key, value) {
  here.set(key, value);
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** One answer: get() it, put() another, say where() it is, and end hearing() of changes by what that returns.
 * @param {any} model @param {(value: any) => void} hear called when another widget of the page puts it */
export function keeper(model, hear = () => {}) {
  const [kind, id, inBrowser] = [model.get("kind"), model.get("id"), model.get("place") === "browser"];
  const key = `${site}${kind} ${id}`;
  let value = inBrowser ? read(key) : model.get("kept");
  let place = "";
  const listen = (/** @type {any} */ event) => {
    if (event.detail.key !== key || event.detail.by === model) return;
    value = event.detail.value;
    hear(value);
  };
  const tell = () => hear(value);
  addEventListener(HEARD, listen);
  model.on("change:place", tell); // the workspace could not be written
  return {
    get: () => value,
    put(/** @type {any} */ next) {
      value = next;
      if (inBrowser) place = write(key, value) ? "browser" : "page";
      else {
        model.set("kept", value);
        model.save_changes();
      }
      dispatchEvent(new CustomEvent(HEARD, { detail: { key, value, by: model } }));
    },
    where: () => WHERE[place || model.get("place")],
    stop() {
      removeEventListener(HEARD, listen);
      model.off("change:place", tell);
    },
  };
}

/** The keys of this site that this browser, or this page, keeps. */
function keys() {
  const found = new Set(here.keys());
  try {
    for (const key of Object.keys(localStorage)) found.add(key);
  } catch {
    // no storage: what this page knows is all
  }
  return [...found].filter((key) => key.startsWith(site));
}
/** All of a kind that is kept here: id -> value. @param {string} kind */
export function keptHere(kind) {
  const start = `${site}${kind} `;
  const found = keys().filter((key) => key.startsWith(start));
  return Object.fromEntries(found.map((key) => [key.slice(start.length), read(key)]));
}
/** @param {string} key */
function remove(key) {
  here.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // no storage: this page's memory was all
  }
}
/** Forget all that is kept here. */
export function forget() {
  keys().forEach(remove);
}

/** @type {Record<string, Record<string, any>>} */
const before = { guess: keptHere("guess"), quiz: keptHere("quiz") };
for (const [kind, after] of Object.entries(answersMoved(before))) {
  for (const id of Object.keys(before[kind])) if (!(id in after)) remove(`${site}${kind} ${id}`);
  for (const [id, value] of Object.entries(after))
    if (JSON.stringify(value) !== JSON.stringify(before[kind][id])) write(`${site}${kind} ${id}`, value);
}
