// Runs the playground's engine for test_playground_engine.py: a request on standard input, its answer on standard
// output.
// The folder of the modules is the argument.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const load = (name) => import(pathToFileURL(`${process.argv[2]}/${name}.js`));
const engine = Object.assign(
  {},
  ...(await Promise.all(
    [
      "experiment/data",
      "experiment/experiment",
      "mixture/model",
      "mixture/balance",
      "tree/model",
      "kinds",
      "experiment/state",
      "experiment/hash",
      "experiment/run",
      "../web/routing",
      "../web/gpt",
      "pytorch",
      "../web/words",
      "../web/ask/answers",
      "../web/ask/judge",
    ].map(load),
  )),
);
const { createLayer, createMixture, createTree, defaultsOf, makeData, PRESETS } = engine;
const plain = (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
const parameters = (model) =>
  Object.fromEntries(Object.entries(model.params).map(([name, values]) => [name, Array.from(values)]));

/** Reads a whole text: scores of what follows it, how unexpected each character was in nats, and whom blocks asked. */
function readText(gpt, ids, off) {
  const reader = engine.startText(gpt, off);
  const nats = new Float32Array(ids.length).fill(NaN);
  const choices = Array.from({ length: gpt.blocks }, () => []);
  let logits = new Float32Array(gpt.characters.length);
  ids.forEach((id, i) => {
    if (i) {
      const top = Math.max(...logits);
      nats[i] = top - logits[id] + Math.log(logits.reduce((sum, score) => sum + Math.exp(score - top), 0));
    }
    const read = reader.push(id);
    logits = read.logits;
    read.choices.forEach((choice, b) => choices[b].push(choice));
  });
  return { logits, nats, choices };
}

const jobs = {
  // What the GPT of these weights says of a text: at once, and its scores after each character that is pushed.
  gpt({ settings, weights, ids, off }) {
    const gpt = engine.readGpt(settings, new DataView(Uint8Array.from(Buffer.from(weights, "base64")).buffer));
    const reader = engine.startText(gpt, off);
    const pushed = ids.map((id) => reader.push(id).logits);
    // After each number of characters: whether the later ones could be taken back, and the scores when they came again.
    const again = ids.map((_, to) => {
      const other = engine.startText(gpt, off);
      ids.forEach((id) => other.push(id));
      return other.back(to)
        ? ids
            .slice(to)
            .map((id) => other.push(id).logits)
            .at(-1)
        : null;
    });
    const known = { known: gpt.characters.map(gpt.idOf), unknown: gpt.idOf("é") };
    return { ...readText(gpt, ids, off), pushed, again, ...known };
  },

  // From the given weights, on the given batches, with the given noise: the parameters after each of these numbers of
  // steps.
  golden({ cases, rows, noise, stops }) {
    return cases.map(({ settings, start, knocked }) => {
      const model = createMixture(settings),
        after = {};
      let first;
      if (knocked !== undefined) model.knock(knocked);
      for (const name in start) (model.params[name] ?? model[name]).set(start[name]);
      for (let step = 0; step < rows.length; step++) {
        model.stepOn(Int32Array.from(rows[step]), Float64Array.from(noise[step]));
        if (stops.includes(step + 1)) after[step + 1] = { ...parameters(model), bias: Array.from(model.bias) };
        first ??= model.recent();
      }
      return { after, first };
    });
  },
  goldenTree({ cases, rows, stops }) {
    return cases.map(({ settings, start }) => {
      const tree = createTree(settings),
        after = {};
      let first;
      for (const name in start) tree.params[name].set(start[name]);
      rows.forEach((batch, step) => {
        tree.stepOn(Int32Array.from(batch));
        if (stops.includes(step + 1)) after[step + 1] = parameters(tree);
        first ??= tree.recent();
      });
      return { after, first };
    });
  },
  // Each preset from its own seed and from these: what there is to see after its own steps, and after those that it
  // proposes then.
  presets({ seeds }) {
    return PRESETS.filter(({ then }) => then).map((preset) => ({
      ...preset,
      layer: preset.kind,
      runs: [preset.settings.seed ?? 0, ...seeds].map((seed) => {
        const settings = { ...defaultsOf(preset.kind), ...preset.settings, seed };
        const model = createLayer(settings),
          first = model.evaluate().shares;
        const seen = () => ({ ...model.evaluate(), routerGradient: model.recent().routerGradient });
        model.train(preset.steps);
        const before = seen();
        model.set(preset.then.set);
        model.train(preset.then.steps);
        const after = seen();
        if (preset.kind !== "tree") return { first, before, after };
        const anew = createLayer({ ...settings, ...preset.then.set });
        anew.train(preset.steps); // as after "Reset"
        return { first, before, after, anew: anew.evaluate() };
      }),
    }));
  },
  data: ({ name, seed, centred }) => makeData(name, seed, centred),
  // What comes of lines of JavaScript, which know all that the modules export.
  run: ({ code }) => new Function("parameters", ...Object.keys(engine), code)(parameters, ...Object.values(engine)),
};

const { job, ...request } = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(jobs[job](request), plain));
