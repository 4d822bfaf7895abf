"""How many training steps a second does the playground's engine do? Run it by hand: timings are for people.

    python tests/benchmarks/playground.py

Node.js runs the same modules as the page, without painting. Rates are of wall time, the median of turns; between them a
processor's other work is felt, so the rate per second of processor time stands beside it.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

MODULES = Path(__file__).parents[2] / "moe_tutorial" / "show" / "playground"
TURNS, STEPS = 9, 500
MIXTURES = [
    {"E": 2},
    {"E": 8},
    {"E": 16},
    {"E": 8, "balance": "switch"},
    {"E": 8, "balance": "importance"},
    {"E": 8, "noise": 1},
    {"E": 8, "k": 2},
    {"E": 16, "k": 4, "width": 32, "noise": 1, "balance": "switch"},
]
TREES = [{"depth": 3}, {"depth": 4, "hardening": 1, "balance": 1}]
CODE = """
import { createModel } from "./model.js";
import { createTree } from "./tree.js";
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const [mixtures, trees, turns, steps] = JSON.parse(process.argv[2]);
const makers = [...mixtures.map((s) => [createModel, s]), ...trees.map((s) => [createTree, s])];
const rates = makers.map(([make, settings]) => {
  const model = make(settings), wall = [], busy = [];
  model.train(steps);
  for (let turn = 0; turn < turns; turn++) {
    const begun = performance.now(), used = process.cpuUsage().user;
    model.train(steps);
    wall.push((1000 * steps) / (performance.now() - begun));
    busy.push((1e6 * steps) / (process.cpuUsage().user - used));
  }
  const looks = [() => model.evaluate(), () => model.plane(96)].map((look) => {
    return median(Array.from({ length: turns }, () => {
      const begun = performance.now();
      look();
      return performance.now() - begun;
    }));
  });
  return [median(wall), median(busy), ...looks];
});
process.stdout.write(JSON.stringify(rates));
"""


def engine() -> None:
    """The engine under Node.js, at batch 128."""
    node = shutil.which("node")
    if not node:
        raise SystemExit("Node.js is missing: install version 18 or newer")
    with tempfile.TemporaryDirectory() as folder:
        for module in MODULES.glob("*.js"):
            shutil.copy(module, folder)
        Path(folder, "package.json").write_text('{"type": "module"}', encoding="utf-8")
        script = Path(folder, "bench.js")
        script.write_text(CODE, encoding="utf-8")
        asked = json.dumps([MIXTURES, TREES, TURNS, STEPS])
        answer = subprocess.run([node, script, asked], capture_output=True, text=True, check=True).stdout
    print(f"{'':62}{'steps/s':>9}{'per CPU s':>11}{'evaluate':>10}{'plane 96²':>11}")
    for settings, (wall, busy, evaluate, plane) in zip(MIXTURES + TREES, json.loads(answer), strict=True):
        kind = "tree" if "depth" in settings else "mixture"
        name = f"{kind} " + ", ".join(f"{key} {value}" for key, value in settings.items())
        print(f"{name:62}{wall:9.0f}{busy:11.0f}{evaluate:7.1f} ms{plane:8.1f} ms", flush=True)


if __name__ == "__main__":
    engine()
