// @ts-check
// Storage of a learner's answers. A kernel writes them to the workspace. A page of the site stores them in
// localStorage, under keys that begin with the site's path, or in memory if the browser refuses.

export const CHANGED = "moe-stored"; // the event by which the widgets of a page tell each other
const site = `moe ${location.pathname.replace(/[^/]*$/, "")} `;
/** @type {any} */
const everywhere = window; // each widget of a page has a copy of this module
/** @type {Map<string, any>} */
const here = (everywhere.moeStored ??= new Map());
const WHERE = {
  workspace: "It is kept in your workspace.",
  kernel: "It is kept until the kernel stops: this notebook is in no workspace.",
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

/** Store a value; returns whether localStorage accepted it. @param {string} key @param {any} value */
function write(key, value) {
  here.set(key, value);
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** One stored answer: get() and put() its value; where() says where it is stored, but of a browser nothing; stop()
 * removes the event listeners.
 * @param {any} model @param {(value: any) => void} hear called when another widget of the page changes it */
export function storedAnswer(model, hear = () => {}) {
  const [kind, id, inBrowser] = [model.get("kind"), model.get("id"), model.get("place") === "browser"];
  const key = `${site}${kind} ${id}`;
  let value = inBrowser ? read(key) : model.get("stored");
  let place = "";
  const listen = (/** @type {any} */ event) => {
    if (event.detail.key !== key || event.detail.by === model) return;
    value = event.detail.value;
    hear(value);
  };
  const tell = () => hear(value);
  addEventListener(CHANGED, listen);
  model.on("change:place", tell); // the workspace could not be written
  return {
    get: () => value,
    put(/** @type {any} */ next) {
      value = next;
      if (inBrowser) place = write(key, value) ? "browser" : "page";
      else {
        model.set("stored", value);
        model.save_changes();
        model.widget_manager?.setDirty?.(); // JupyterLab stores the widget with the notebook
      }
      dispatchEvent(new CustomEvent(CHANGED, { detail: { key, value, by: model } }));
    },
    where: () => WHERE[place || model.get("place")] ?? "",
    stop() {
      removeEventListener(CHANGED, listen);
      model.off("change:place", tell);
    },
  };
}

/** Store in this browser what is no widget's answer. @param {string} kind @param {string} id @param {any} value */
export const keep = (kind, id, value) => write(`${site}${kind} ${id}`, value);

/** The keys of this site, in localStorage and in memory. */
function keys() {
  const found = new Set(here.keys());
  try {
    for (const key of Object.keys(localStorage)) found.add(key);
  } catch {
    // no localStorage: all keys are in memory
  }
  return [...found].filter((key) => key.startsWith(site));
}
/** All stored answers of a kind: id -> value. @param {string} kind */
export function storedAnswers(kind) {
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
    // no localStorage: it was only in memory
  }
}
/** Delete all stored answers. */
export function forget() {
  keys().forEach(remove);
}
