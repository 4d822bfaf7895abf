// The other engine: torch trains in the kernel. Clicks and slider moves go out as messages, frames come in (see
// playground_kernel.py), and become the frames that the page's own engine makes.
import { numbers } from "../web/dom.js";
import { makeData } from "./data.js";
import { RESTARTS } from "./engine.js";

const TELL = 200; // ms between two acknowledgements of a drawn frame; JupyterLab spends more on each message than the drawing takes
const GONE = "The kernel is gone: it was restarted, or it died. Run this cell again.";
const ENDS = ["restarting", "autorestarting", "starting", "dead"]; // JupyterLab's words for a kernel that is not the one it was
const REBUILD = [...RESTARTS, "gate", "batch"]; // settings for which the kernel makes its layer anew

export function kernelEngine(model, first, own) {
  const listeners = new Set();
  let settings = first,
    data = dataOf(first),
    point = 0,
    serial = 0,
    goal = 0,
    shown = true,
    handle = 0,
    told = 0,
    late = 0,
    waiting = "",
    marks = [],
    asked = 0,
    gone = false;

  function dataOf({ data: name, seed, centred }) {
    return own ?? makeData(name, seed, centred);
  }
  const send = (message, buffers) => !gone && (expect(800), post(message, buffers));
  const post = (message, buffers) => {
    try {
      model.send(message, undefined, buffers);
    } catch {
      lose(); // JupyterLab refuses what is sent to a kernel that knows this widget no more
    }
  };
  const lose = () => ((gone = true), [late, told].forEach(clearTimeout), (waiting = GONE), soon());
  const kernel = model.widget_manager.kernel,
    watch = (_, now) => ENDS.includes(now) && lose();
  const expect = (ms) => (
    clearTimeout(late),
    (late = setTimeout(
      () => ((waiting = "Waiting for the kernel: training stands still while a cell runs."), soon()),
      ms,
    ))
  );
  function build() {
    const d = own
      ? []
      : [data.x, data.y, data.regime, data.xTest, data.yTest, data.regimeTest, Float64Array.from(data.extent)];
    marks = [];
    asked = serial += 1;
    send(
      { do: "build", settings, serial },
      d.map((array) => array.buffer),
    );
  }
  const soon = () => (handle ||= requestAnimationFrame(() => ((handle = 0), paint())));

  function paint() {
    const f = model.get("frame");
    if (!shown || f?.side === undefined || (f.serial < asked && !gone)) return;
    const frame = read(f);
    listeners.forEach((draw) => draw(frame));
  }
  function receive() {
    const f = model.get("frame");
    if (f.side === undefined || gone) return;
    clearTimeout(late);
    waiting = "";
    if (f.running) {
      expect(1500);
      marks.push([performance.now(), f.step]);
      while (marks.length > 2 && marks[0][0] < performance.now() - 1000) marks.shift();
      if (goal && f.step >= goal) (send({ do: "pause" }), (goal = 0));
    }
    soon();
    // An unseen training is not acknowledged, so the kernel soon pauses it.
    if (shown && !document.hidden)
      told ||= setTimeout(() => ((told = 0), post({ seen: model.get("frame").number })), f.running ? TELL : 0);
  }

  function read(f) {
    const E = f.experts,
      rows = numbers(f.history),
      width = 3 + E,
      side = f.side,
      bytes = (view) => numbers(view, Uint8Array);
    const history = Array.from({ length: rows.length / width }, (_, i) =>
      rows.subarray(i * width, (i + 1) * width),
    ).map((row) => ({ step: row[0], task: row[1], balance: row[2], shares: row.subarray(3) }));
    const running = f.running && !gone,
      speed =
        running && marks.length > 1
          ? (1000 * (marks.at(-1)[1] - marks[0][1])) / Math.max(1, marks.at(-1)[0] - marks[0][0])
          : 0;
    const area = f.expertSide ** 2,
      planes = bytes(f.expertPlanes);
    data.classes = Math.max(data.classes, f.classes);
    return {
      kind: "kernel",
      settings: { ...settings, ...f.knobs, E },
      data,
      step: f.step,
      running,
      busy: running,
      settled: !running,
      hurried: false,
      error: f.error || waiting,
      serial: f.serial,
      speed,
      recent: { task: f.task, balance: f.extra, shares: f.shares, routerGradient: f.routerGradient, steps: f.recent },
      now: {
        shares: f.usage,
        accuracy: f.accuracy,
        loss: f.loss,
        dead: f.dead,
        entropy: f.entropy,
        nmi: f.nmi,
        largest: f.largest,
        predicted: bytes(f.pointPredicted),
      },
      history,
      knocked: f.knocked ?? Array(E).fill(false),
      forced: f.forced ?? null,
      point,
      inspected: f.inspected,
      can: f.can,
      plane: () => ({
        n: side,
        owner: bytes(f.owner),
        confidence: Float32Array.from(bytes(f.confidence), (c) => c / 255),
        predicted: bytes(f.predicted),
      }),
      partPlane: (e) => (planes.length ? planes.subarray(e * area, (e + 1) * area) : new Uint8Array(1)),
    };
  }
  model.on("change:frame", receive);
  kernel.statusChanged.connect(watch);

  return {
    play: () => ((goal = 0), send({ do: "start" })),
    pause: () => ((goal = 0), send({ do: "pause" })),
    step: () => send({ do: "step" }),
    reset: () => send({ do: "reset" }),
    run: (steps) => ((goal = steps), send({ do: "start" })),
    change(partial) {
      settings = { ...settings, ...partial };
      if (Object.keys(partial).some((name) => REBUILD.includes(name))) {
        data = dataOf(settings);
        build();
      } else send({ set: partial, serial: (serial += 1) });
    },
    begin(next, steps, extra = {}) {
      settings = next;
      data = dataOf(next);
      point = extra.point ?? 0;
      build();
      send({ look: point });
      (extra.knocked ?? []).forEach((gone, e) => gone && send({ knock: [e, true] }));
      if (extra.forced) send({ force: [extra.forced.expert, extra.forced.share] });
      if (steps) this.run(steps);
    },
    look: (i) => ((point = i), send({ look: i })),
    knock: (e, out) => send({ knock: [e, out] }),
    force: (e, share) => send({ force: [e, share] }),
    show: (visible) => ((shown = visible), visible && soon()),
    subscribe: (draw) => (listeners.add(draw), soon(), () => listeners.delete(draw)),
    dispose() {
      if (model.get("frame")?.running && !gone) post({ do: "pause" });
      model.off("change:frame", receive);
      kernel.statusChanged.disconnect(watch);
      listeners.clear();
      [late, told].forEach(clearTimeout);
      cancelAnimationFrame(handle);
    },
  };
}
