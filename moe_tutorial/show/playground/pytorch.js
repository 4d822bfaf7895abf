// @ts-check
// A run as a Python script: pytorch.py with the run's values in its `settings`.
import { knockedAfter } from "./experiment/run.js";
import { literal, outOf } from "./experiment/state.js";

const STATEMENT = /^settings = \{\n[^]*?^\}$/m;
const VALUE = /^( +"(\w+)": ).*?(?=,(?: {2}#.*)?$)/gm;

/** The script of a run.
 * @param {string} script the text of pytorch.py @param {import("./experiment/state.js").State} run
 * @param {string} link the address of the run */
export function inPyTorch(script, { settings, knocked, changes, steps }, link) {
  const rows = changes.map(({ at, name, value }, i) => {
    const isOut = name === "out" || name === "in";
    return isOut ? [at, "out", outOf(knockedAfter(knocked, changes.slice(0, i + 1)))] : [at, name, value];
  });

  const values = Object.entries({ ...settings, out: outOf(knocked), steps });
  const texts = Object.fromEntries(values.map(([name, value]) => [name, literal(value)]));
  const lines = rows.map((row) => `        (${row.map(literal).join(", ")}),\n`);
  if (lines.length) texts.changes = `[\n${lines.join("")}    ]`;
  const fill = (/** @type {string} */ line, /** @type {string} */ start, /** @type {string} */ name) =>
    name in texts ? start + texts[name] : line;
  return script
    .replace("playground.html", () => link)
    .replace(STATEMENT, (statement) => statement.replace(VALUE, fill));
}
