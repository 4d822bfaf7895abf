// The widget behind sweep(): sliders for a Python function. With a kernel each new combination is requested; without
// one, the page holds all of them.
import { el, field, mount, note, tell } from "../dom.js";

const SLOW = 250; // ms until a note says that the kernel computes

function render({ model, el: root }) {
  const controls = model.get("controls");
  const known = new Map(Object.entries(model.get("stored")));
  const live = !!model.widget_manager?.kernel;
  const total = controls.reduce((n, { values }) => n * values.length, 1);
  const movable = live || known.size >= total;
  const place = controls.map(() => 0);
  const key = () => place.join(",");
  let asked = null;

  const inputs = controls.map(({ label, values }, i) => {
    const input = el("input", { type: "range", min: 0, max: values.length - 1, value: 0 });
    const node = field(label, input);
    tell(input, values[0]);
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
    } else if (live && asked === null) ask();
    out.setAttribute("aria-busy", answer === undefined);
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
