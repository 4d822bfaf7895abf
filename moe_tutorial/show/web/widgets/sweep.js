// The widget behind sweep(): sliders for a Python function. With a kernel each new combination is requested; without
// one, the page holds all of them, or the last answer of a kernel that is gone.
import { RUN_TO_MOVE, el, field, hasKernel, isRestored, mount, note, tell } from "../dom.js";

const SLOW = 250; // ms until a note says that the kernel computes

function render({ model, el: root }) {
  const controls = model.get("controls");
  const known = new Map(Object.entries(model.get("stored")));
  const last = model.get("answer");
  if (last.html !== undefined) known.set(last.at, last.html);
  const live = hasKernel(model, root);
  const total = controls.reduce((n, { values }) => n * values.length, 1);
  const movable = live || isRestored(root) || known.size >= total;
  const place = known.has(last.at) ? last.at.split(",").map(Number) : controls.map(() => 0);
  const key = () => place.join(",");
  let asked = null;

  const inputs = controls.map(({ label, values }, i) => {
    const input = el("input", { type: "range", min: 0, max: values.length - 1, value: place[i] });
    const node = field(label, input);
    tell(input, values[place[i]]);
    input.oninput = () => {
      place[i] = +input.value;
      tell(input, values[place[i]]);
      update();
    };
    return node;
  });
  const status = el("p", { className: "moe-note moe-status" });
  const out = el("div", { className: "moe-out", ariaLive: "polite" });
  const fixed = note(controls.map(({ label, values }) => `${label}: ${values[0]}`).join(" · "));
  mount(root, movable ? el("div", { className: "moe-controls" }, ...inputs) : fixed, out, status);

  // One request at a time; after its answer only the newest combination is requested.
  function update() {
    const answer = known.get(key());
    if (answer !== undefined) {
      if (answer.error) out.replaceChildren(el("pre", { className: "moe-error" }, answer.error));
      else out.innerHTML = answer;
      status.textContent = "";
    } else if (isRestored(root)) {
      out.replaceChildren();
      status.textContent = RUN_TO_MOVE;
    } else if (live && asked === null) ask();
    out.setAttribute("aria-busy", answer === undefined && asked !== null);
  }
  function ask() {
    asked = key();
    model.set("wanted", [...place]);
    model.save_changes();
    setTimeout(() => {
      if (asked !== null) status.textContent = "The kernel is computing …";
    }, SLOW);
  }
  function receive() {
    const { at, html, error } = model.get("answer");
    if (at === undefined) return;
    known.set(at, error === undefined ? html : { error });
    if (at === asked) asked = null;
    update();
  }
  model.on("change:answer", receive);
  update();
  return () => model.off("change:answer", receive);
}
export default { render };
