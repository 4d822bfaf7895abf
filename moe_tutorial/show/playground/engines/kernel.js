// @ts-check
// The engine that trains in the kernel: it sends clicks and slider moves as messages, and receives frames (see kernel.py),
// like those of the page's own engine, but with arrays as bytes.
import { perFrame } from "../../web/dom.js";
import { numbers } from "../../web/wire.js";
import { dataOf } from "../experiment/data.js";
import { isLive } from "../experiment/experiment.js";
import { settingsAfter } from "../experiment/run.js";
import { makeSpeed } from "./frame.js";
import { connect } from "./link.js";

/** @typedef {import("../experiment/data.js").Data} Data */

/** @param {DataView} view rows of `Run.record` in trainer.py @param {number} E */
function historyOf(view, E) {
  const values = numbers(view);
  const width = 4 + E;
  return Array.from({ length: values.length / width }, (_, i) => {
    const [step, task, balance, routerGradient, ...shares] = values.subarray(i * width, (i + 1) * width);
    return { step, task, balance, routerGradient, shares };
  });
}

/** @param {(frame: import("./frame.js").Frame) => void} show
 * @param {import("../experiment/run.js").Begun} begun
 * @param {Data} own the learner's points, if there are any
 * @param {any} model the widget's
 * @param {boolean} live whether a kernel answers it
 * @returns {import("./frame.js").Engine} */
export function kernelEngine(show, begun, own, model, live) {
  const speed = makeSpeed();
  const drawing = perFrame(paint);
  let { settings } = begun;
  let data = dataOf(settings, own);
  let point = 0;
  let serial = 0; // number of the last change
  let asked = 0; // number of the last change that needs a new layer
  let goal = Infinity; // train up to this step
  let shown = true;
  let drawn = 0; // the number of the newest frame that was drawn
  let problem = "";
  const link = connect(model, live, complain);
  const mine = model.get("options").layer; // the learner's own layer, which Python has prepared for the learner's own points

  /** @param {string} words */
  function complain(words) {
    problem = words;
    drawing.ask();
  }
  function build() {
    const { x, y, regime, xTest, yTest, regimeTest, extent } = data;
    const arrays = own ? [] : [x, y, regime, xTest, yTest, regimeTest, Float64Array.from(extent)];
    speed.restart();
    asked = serial += 1;
    const buffers = arrays.map((array) => /** @type {ArrayBuffer} */ (array.buffer));
    link.send({ do: "build", settings, serial }, buffers);
  }
  function receive() {
    const { now, running, step, serial: obeyed } = model.get("frame");
    if (!now || link.gone()) return;
    problem = "";
    serial = Math.max(serial, obeyed); // another view of this widget may have made the last change
    if (running) speed.mark(step);
    if (running && step >= goal) pause();
    drawing.ask();
  }
  // A training that is not visible is not acknowledged, so the kernel soon pauses it.
  function paint() {
    const sent = model.get("frame");
    if (!shown || !sent.now || (sent.serial < asked && !link.gone())) return;
    show(read(sent));
    if (sent.number !== drawn) link.drawn(() => drawn, sent.running);
    drawn = sent.number;
  }

  /** @param {any} sent @returns {import("./frame.js").Frame} */
  function read(sent) {
    const bytes = (/** @type {DataView} */ view) => numbers(view, Uint8Array);
    const still = !link.live || link.gone();
    const running = sent.running && !still;
    const late = sent.serial < serial && !still; // the kernel has not yet obeyed the last change
    const history = historyOf(sent.history, sent.settings.E);
    data.classes = Math.max(data.classes, sent.classes);
    return {
      ...sent,
      engine: "kernel",
      settings: late ? { ...sent.settings, ...settings } : { ...settings, ...sent.settings },
      data,
      running,
      busy: running,
      settled: !running,
      hurried: false,
      still,
      error: sent.error || problem,
      speed: running ? speed.now() : 0,
      recent: { ...history[history.length - 1], steps: sent.recent },
      now: { ...sent.now, predicted: bytes(sent.now.predicted) },
      history,
      point,
      plane() {
        const { n, owner, confidence, predicted } = sent.plane;
        return { n, owner: bytes(owner), confidence: numbers(confidence), predicted: bytes(predicted) };
      },
      partPlane: sent.parts?.length ? (e) => bytes(sent.parts[e]) : null,
    };
  }
  function pause() {
    goal = Infinity;
    link.send({ do: "pause" });
  }
  /** @param {number} step */
  function run(step) {
    goal = step;
    link.send({ do: "start" });
  }
  model.on("change:frame", receive);

  return {
    pause,
    pace: (perSecond) => link.send({ pace: perSecond }),
    step: () => link.send({ do: "step" }),
    reset: () => link.send({ do: "reset" }),
    run,
    change(partial) {
      settings = { ...settings, ...partial };
      if (Object.keys(partial).every((name) => isLive(name, "kernel"))) {
        serial += 1;
        return link.send({ set: partial, serial });
      }
      data = dataOf(settings, own);
      build();
    },
    begin(next, steps, more = {}) {
      settings = settingsAfter(next.settings, next.changes ?? []);
      data = dataOf(settings, own);
      point = more.point ?? 0;
      const { now, step, serial: obeyed } = model.get("frame");
      const joins = mine && (own || !live) && now; // this view opens on a training that has begun
      if (joins) serial = asked = obeyed;
      else build();
      link.send({ inspect: point });
      for (const [e, gone] of next.knocked.entries()) if (gone && !mine) link.send({ knock: [e, true] });
      if (steps && !(joins && step)) run(steps);
    },
    inspect(i) {
      point = i;
      link.send({ inspect: i });
    },
    knock: (e, out) => link.send({ knock: [e, out] }),
    show(visible) {
      shown = visible;
      drawing.ask();
    },
    dispose() {
      model.off("change:frame", receive);
      link.close();
      drawing.cancel();
    },
  };
}
