"""How fast is the playground, and its engine by itself? Run it by hand: timings are for people.

    python tests/benchmarks/playground.py

Node.js runs the same modules as the page, without painting. Rates are of wall time, the median of turns; between them a
processor's other work is felt, so the rate per second of processor time stands beside it.

Then Chromium opens the page from a server on this machine: steps and paints a second while it trains, and the time from
a key press on a slider to the paint of the first picture that was computed with the new setting (a picture says which
move it has obeyed). Last, the GPT that runs in the page, in the size of lesson 08's: the time from a key to the paint
of the text with its experts, and the same with an expert switched on or off.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import CDPSession, Page, sync_playwright

from moe_tutorial.layers import GPT, GPTConfig
from moe_tutorial.show import live_gpt, playground
from moe_tutorial.study import CHARACTERS

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from headless import browser_path
from on_page import page_of

SHOW = Path(__file__).parents[2] / "moe_tutorial" / "show"
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
TREES = [{"depth": 3}, {"depth": 4, "hardening": 1, "node_balance": 1}]
CODE = """
import { createMixture } from "./playground/mixture/model.js";
import { createTree } from "./playground/tree/model.js";
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const [mixtures, trees, turns, steps] = JSON.parse(process.argv[2]);
const makers = [...mixtures.map((s) => [createMixture, s]), ...trees.map((s) => [createTree, s])];
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
        raise SystemExit("Node.js is missing: install version 20 or newer")
    with tempfile.TemporaryDirectory() as folder:
        for part in ("playground", "web"):
            shutil.copytree(SHOW / part, Path(folder, part))
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


PRESSES = 60
SLIDERS = {
    "mixture": ("Noise on the logits", "Chosen per point, k", "Learning rate", "Experts, E"),
    "tree": ("Hardening loss", "Node-balance loss", "Learning rate", "Depth"),
}
CLOCK = """() => {
  const root = document.querySelector(".moe-root");
  let pressed = 0, before = root.dataset.serial;
  addEventListener("keydown", () => (pressed = performance.now()), true);
  new MutationObserver(() => {
    if (root.dataset.serial === before) return;
    before = root.dataset.serial;
    const begun = pressed;
    setTimeout(() => took.push(performance.now() - begun)); // drawn in an animation frame: painted by then
  }).observe(root, { attributeFilter: ["data-serial"] });
}"""
TYPED = """() => {
  window.took = [];
  let pressed = 0;
  addEventListener("keydown", () => (pressed = performance.now()), true);
  new MutationObserver(() => {
    const begun = pressed;
    pressed = 0; // what is drawn later is no answer to this key
    if (begun) requestAnimationFrame(() => setTimeout(() => took.push(performance.now() - begun)));
  }).observe(document.querySelector("main"), { subtree: true, childList: true, attributes: true, characterData: true });
}"""
STAND = "(({ step, paints }) => [+step, +paints, performance.now()])(document.querySelector('.moe-root').dataset)"


class Quiet(SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, *args):
        pass


def moved(tab: Page, slider: str) -> str:
    """Milliseconds from the key press, over many presses."""
    tab.evaluate("window.took = []")
    tab.evaluate("document.querySelectorAll('.pg-more').forEach((fold) => { fold.open = true; })")
    tab.get_by_role("slider", name=slider, exact=True).focus()
    for i in range(PRESSES):
        tab.keyboard.press("ArrowLeft" if i % 6 > 2 else "ArrowRight")
        tab.wait_for_timeout(90 + 7 * (i % 10))  # so that the presses do not fall in step with the frames
    tab.wait_for_timeout(300)
    return percentiles(tab)


def percentiles(tab: Page) -> str:
    """The median and the 95th percentile of what the tab took."""
    took = sorted(tab.evaluate("took"))
    return f"{took[len(took) // 2]:4.0f} ms{took[int(0.95 * len(took))]:5.0f} ms"


def page() -> None:
    """The page, with a mixture of 8 experts and with a tree of 8 leaves, at batch 128."""
    widgets = {kind: playground(kind, link=True) for kind in SLIDERS}
    code, style = len(widgets["tree"]._esm.encode()), len(widgets["tree"]._css.encode())
    print(f"\ncode {code / 1000:.0f} kB, with its style {(code + style) / 1000:.0f} kB")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for kind, widget in widgets.items():
            Path(folder, f"{kind}.html").write_text(page_of(widget), encoding="utf-8")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        for kind, sliders in SLIDERS.items():
            first = []
            for _ in range(5):
                tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
                tab.goto(f"http://127.0.0.1:{server.server_port}/{kind}.html")
                tab.wait_for_function("document.querySelector('.moe-root')?.dataset.settled === 'true'")
                painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
                first.append(tab.wait_for_function(painted).json_value())  # its entry may come after the paint
            print(f"\n{kind}: first paint, from a server on this machine: {sorted(first)[2]:.0f} ms (median of 5)")
            tab.evaluate(CLOCK)
            print(f"{'key press to paint':32}{'at rest':>16}{'while it trains':>20}   p50, p95 of {PRESSES} presses")
            rest = [moved(tab, slider) for slider in sliders]
            tab.get_by_role("button", name="Reset").click()
            tab.get_by_label("Pace", exact=True).select_option("0")  # as fast as it can
            tab.get_by_role("button", name="Play").click()
            tab.wait_for_timeout(1500)
            before = tab.evaluate(STAND)
            tab.wait_for_timeout(5000)
            steps, paints, time = (after - then for after, then in zip(tab.evaluate(STAND), before, strict=True))
            for slider, still in zip(sliders, rest, strict=True):
                print(f"{slider:32}{still:>16}{moved(tab, slider):>20}", flush=True)
            print(f"while it trains: {1000 * steps / time:.0f} steps/s and {1000 * paints / time:.1f} paints/s", end="")
            print(f" (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)" if hasattr(os, "getloadavg") else "")
            tab.close()
        browser.close()
        server.shutdown()


def busy(tools: CDPSession) -> float:
    """Seconds of processor time that the page's thread has worked: a busy machine does not make them more."""
    return next(m["value"] for m in tools.send("Performance.getMetrics")["metrics"] if m["name"] == "TaskDuration")


def gpt() -> None:
    """The GPT that runs in the page. Its weights are drawn: what they are changes no time."""
    widget = live_gpt(GPT(GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128)), "A text to begin with, ")
    sizes = [
        len(part) / 1000 for part in (widget._esm.encode(), widget._css.encode(), base64.b64encode(widget.weights))
    ]
    print("\nGPT: code {:.0f} kB, style {:.0f} kB, weights {:.0f} kB".format(*sizes))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        tab.set_content(page_of(widget))
        tab.evaluate(TYPED)
        tools = tab.context.new_cdp_session(tab)
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})
        print(f"{'key press to paint':32}{'p50':>7}{'p95':>8}{'CPU':>10}   of {PRESSES} presses")
        for name, target, keys in (
            ("a character", tab.get_by_role("textbox"), "and so on to 12+34=46, "),
            ("an expert on or off", tab.get_by_role("button", name="Expert 3 of layer 1"), ["Enter"]),
        ):
            target.focus()
            target.press("End")
            tab.evaluate("took.length = 0")
            before = busy(tools)
            for i in range(PRESSES):
                tab.keyboard.press(keys[i % len(keys)])
                tab.wait_for_timeout(90 + 7 * (i % 10))
            print(f"{name:32}{percentiles(tab)}{1000 * (busy(tools) - before) / PRESSES:7.0f} ms", flush=True)
        browser.close()


if __name__ == "__main__":
    engine()
    page()
    gpt()
