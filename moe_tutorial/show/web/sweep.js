// Sliders for a Python function. With a kernel each new place is asked for; without, the page must hold all of them.
import { el, field, mount, tell } from "./dom.js";

function render({ model, el: root }) {
  const controls = model.get("controls"),
    known = new Map(Object.entries(model.get("stored")));
  const live = !!model.widget_manager?.kernel;
  const total = controls.reduce((n, c) => n * c.values.length, 1),
    movable = live || known.size >= total;
  const place = controls.map(() => 0),
    key = () => place.join(",");
  let asked = null;

  const inputs = controls.map((c, i) => {
    const input = el("input", { type: "range", min: 0, max: c.values.length - 1, value: 0 }),
      node = field(c.label, input);
    input.oninput = () => ((place[i] = +input.value), tell(input, c.values[place[i]]), update());
    tell(input, c.values[0]);
    return node;
  });
  const status = el("p", { className: "moe-note moe-status" });
  const out = el("div", { className: "moe-out", ariaLive: "polite" });
  const fixed = el("p", { className: "moe-note" }, controls.map((c) => `${c.label}: ${c.values[0]}`).join(" · "));
  mount(root, movable ? el("div", { className: "moe-controls" }, ...inputs) : fixed, out, status);

  // One question at a time; when its answer comes, only the newest place is asked for. So the latest move wins.
  function update() {
    const answer = known.get(key());
    if (answer !== undefined) {
      if (answer.error) out.replaceChildren(el("pre", { className: "moe-error" }, answer.error));
      else out.innerHTML = answer;
      status.textContent = "";
    } else if (live && asked === null) {
      asked = key();
      model.set("wanted", [...place]);
      model.save_changes();
      setTimeout(() => asked !== null && (status.textContent = "The kernel is computing …"), 250);
    }
    out.setAttribute("aria-busy", answer === undefined);
  }
  const receive = () => {
    const { at, html, error } = model.get("answer");
    if (at === undefined) return;
    known.set(at, error === undefined ? html : { error });
    if (at === asked) asked = null;
    update();
  };
  model.on("change:answer", receive);
  update();
  return () => model.off("change:answer", receive);
}
export default { render };
