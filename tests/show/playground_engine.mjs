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
const { createLayer, defaultsOf, makeData, PRESETS } = engine;
const plain = (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
const parameters = (model) =>
  Object.fromEntries(Object.entries(model.params).map(([name, values]) => [name, Array.from(values)]));

const jobs = {
  // What the GPT of these weights says after each character, and whom each block asked.
  gpt({ settings, weights, ids, off }) {
    const gpt = engine.readGpt(settings, new DataView(Uint8Array.from(Buffer.from(weights, "base64")).buffer));
    const reader = engine.startText(gpt, off);
    const said = ids.map((id) => reader.push(id));
    // After each number of characters: whether the later ones could be taken back, and the scores when they came again.
    const again = ids.map((_, to) => {
      const other = engine.startText(gpt, off);
      ids.forEach((id) => other.push(id));
      let last = null;
      if (other.back(to)) for (const id of ids.slice(to)) last = other.push(id).logits;
      return last;
    });
    return { scores: said.map(({ logits }) => logits), choices: said.map(({ choices }) => choices), again };
  },

  // From the given weights, on the given batches, with the given noise: the parameters after each of these numbers of
  // steps.
  golden({ cases, rows, noise, stops }) {
    return cases.map(({ settings, start, knocked }) => {
      const model = createLayer(settings),
        after = {};
      let first;
      if (knocked !== undefined) model.knock(knocked);
      for (const name in start) (model.params[name] ?? model[name]).set(start[name]);
      rows.forEach((batch, step) => {
        model.stepOn(Int32Array.from(batch), noise && Float64Array.from(noise[step]));
        if (stops.includes(step + 1)) after[step + 1] = { ...parameters(model), bias: model.bias?.slice() };
        first ??= model.recent();
      });
      return { after, first };
    });
  },
  // Each preset from its own seed and from these: what there is to see after its own steps, and after those that it
  // proposes then.
  presets({ seeds }) {
    return PRESETS.filter(({ then }) => then).map((preset) => ({
      id: preset.id,
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
