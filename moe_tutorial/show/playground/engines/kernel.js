// Torch trains in the kernel: clicks and slider moves go out as messages, frames come in (see kernel.py), as this page's own
// engine makes them, but with arrays as bytes.
import { numbers } from "../../web/dom.js";
import { GONE, WAITING, watchKernel } from "../../web/kernel.js";
import { makeData } from "../data.js";
import { isLive } from "../experiment.js";
import { makeSpeed } from "./frame.js";

const TELL = 200; // ms between two acknowledgements of a drawn frame; JupyterLab spends more on each message than the drawing takes
const ANSWER = 800; // ms in which a message is answered
const FRAME = 1500; // ms in which a running training sends a frame
const POINTS = ["x", "y", "regime", "xTest", "yTest", "regimeTest"];

/** `own`: points brought along. @returns {import("./frame.js").Engine} */
export function kernelEngine(model, first, own) {
  const listeners = new Set();
  const speed = makeSpeed();
  let settings = first;
  let data = dataOf(first);
  let point = 0;
  let serial = 0; // of the last change
  let asked = 0; // of the last that needs a new layer
  let goal = 0; // a step to train up to
  let shown = true;
  let handle = 0; // of the animation frame
  let told = 0; // timer of the next acknowledgement
  let problem = "";

  const watch = watchKernel(model, {
    late() {
      problem = WAITING;
      soon();
    },
    lost() {
      clearTimeout(told);
      problem = GONE;
      soon();
    },
  });
  function dataOf({ data: name, seed, centred }) {
    return own ?? makeData(name, seed, centred);
  }
  function send(message, buffers) {
    if (watch.gone) return;
    watch.expect(ANSWER);
    watch.post(message, buffers);
  }
  function build() {
    const arrays = own ? [] : [...POINTS.map((name) => data[name]), Float64Array.from(data.extent)];
    speed.restart();
    asked = serial += 1;
    const buffers = arrays.map((array) => array.buffer);
    send({ do: "build", settings, serial }, buffers);
  }
  function soon() {
    handle ||= requestAnimationFrame(() => {
      handle = 0;
      paint();
    });
  }
  function paint() {
    const sent = model.get("frame");
    if (!shown || !sent?.plane || (sent.serial < asked && !watch.gone)) return;
    const frame = read(sent);
    for (const listen of listeners) listen(frame);
  }
  function receive() {
    const { plane, running, step } = model.get("frame");
    if (!plane || watch.gone) return;
    watch.heard();
    problem = "";
    if (running) {
      watch.expect(FRAME);
      speed.mark(step);
      if (goal && step >= goal) {
        send({ do: "pause" });
        goal = 0;
      }
    }
    soon();
    // An unseen training is not acknowledged, so the kernel soon pauses it.
    if (shown && !document.hidden) told ||= setTimeout(acknowledge, running ? TELL : 0);
  }
  function acknowledge() {
    told = 0;
    watch.post({ seen: model.get("frame").number });
  }

  function read(sent) {
    const bytes = (view) => numbers(view, Uint8Array);
    const { n, owner, confidence, predicted } = sent.plane;
    const running = sent.running && !watch.gone;
    data.classes = Math.max(data.classes, sent.classes);
    return {
      ...sent,
      engine: "kernel",
      settings: { ...settings, ...sent.settings },
      data,
      running,
      busy: running,
      settled: !running,
      hurried: false,
      error: sent.error || problem,
      speed: running ? speed.now() : 0,
      now: { ...sent.now, predicted: bytes(sent.now.predicted) },
      history: rowsOf(numbers(sent.history), sent.settings.E),
      point,
      plane: () => ({ n, owner: bytes(owner), confidence: numbers(confidence), predicted: bytes(predicted) }),
      partPlane: (e) => (sent.parts[e] ? bytes(sent.parts[e]) : new Uint8Array(1)),
    };
  }
  model.on("change:frame", receive);

  return {
    play() {
      goal = 0;
      send({ do: "start" });
    },
    pause() {
      goal = 0;
      send({ do: "pause" });
    },
    step: () => send({ do: "step" }),
    reset: () => send({ do: "reset" }),
    run(steps) {
      goal = steps;
      send({ do: "start" });
    },
    change(partial) {
      settings = { ...settings, ...partial };
      if (Object.keys(partial).every((name) => isLive(name, "kernel"))) {
        serial += 1;
        return send({ set: partial, serial });
      }
      data = dataOf(settings);
      build();
    },
    begin(next, steps, more = {}) {
      settings = next;
      data = dataOf(next);
      point = more.point ?? 0;
      build();
      send({ look: point });
      for (const [e, gone] of (more.knocked ?? []).entries()) if (gone) send({ knock: [e, true] });
      if (steps) this.run(steps);
    },
    look(i) {
      point = i;
      send({ look: i });
    },
    knock: (e, out) => send({ knock: [e, out] }),
    show(visible) {
      shown = visible;
      if (visible) soon();
    },
    subscribe(listen) {
      listeners.add(listen);
      soon();
      return () => listeners.delete(listen);
    },
    dispose() {
      if (model.get("frame")?.running) watch.post({ do: "pause" });
      model.off("change:frame", receive);
      watch.dispose();
      listeners.clear();
      clearTimeout(told);
      cancelAnimationFrame(handle);
    },
  };
}

// The history's rows: step, task, balance, shares.
function rowsOf(values, E) {
  const width = 3 + E;
  return Array.from({ length: values.length / width }, (_, i) => {
    const [step, task, balance] = values.subarray(i * width, i * width + 3);
    return { step, task, balance, shares: values.subarray(i * width + 3, (i + 1) * width) };
  });
}
