"""How long from a slider to the picture, while a layer trains in the kernel? Run it by hand: timings are for people.

    python tests/benchmarks/kernel.py

A JupyterLab and a Chromium are started. While the panel trains, each slider is moved by the keyboard; the clock runs
from the key press to the repaint of the first frame that was computed with the new setting. A frame says which move it
has obeyed: its serial number.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from headless import browser_path
from in_lab import jupyterlab, notebook, run_all

PRESSES = 60
CELL = """
import torch
from moe_tutorial.layers import MixtureOfExperts, switch_loss
from moe_tutorial.show import playground
from moe_tutorial.study import digits4, regimes_2d

torch.manual_seed(0)
playground(MixtureOfExperts({sizes}), {data}, balance=switch_loss, coefficient=0)
"""
PANELS = {
    "regimes_2d, 8 experts, a map": CELL.format(sizes="2, 16, 8, 1, d_out=2", data="regimes_2d()"),
    "digits4, 8 experts, 64 wide": CELL.format(sizes="64, 8, 8, 1, d_out=10", data="digits4()"),
}
SLIDERS = ("Noise on the logits", "Coefficient", "Learning rate", "Chosen per point, k")
CLOCK = """(root) => {
    window.took = [];
    let pressed = 0, before = root.dataset.serial;
    addEventListener("keydown", () => (pressed = performance.now()), true);
    new MutationObserver(() => {
        if (root.dataset.serial === before) return;
        before = root.dataset.serial;
        setTimeout(() => took.push(performance.now() - pressed)); // drawn in an animation frame: painted by then
    }).observe(root, { attributeFilter: ["data-serial"] });
}"""


def times(page: Page, slider: str) -> list[float]:
    """Milliseconds of each key press, sorted."""
    page.evaluate("window.took = []")
    page.get_by_role("slider", name=slider, exact=True).focus()
    for i in range(PRESSES):
        page.keyboard.press("ArrowLeft" if i % 6 > 2 else "ArrowRight")
        page.wait_for_timeout(150 + 7 * (i % 10))  # so that the presses do not fall in step with the frames
    page.wait_for_timeout(500)
    return sorted(page.evaluate("took"))


home = Path(tempfile.mkdtemp())
for number, cell in enumerate(PANELS.values()):
    (home / f"panel{number}.ipynb").write_text(notebook(cell), encoding="utf-8")
print(f"{'':32}{'slider':22}{'p50':>8}{'p95':>8}   presses, steps a second")
with jupyterlab(home) as lab, sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
    for number, name in enumerate(PANELS):
        page = browser.new_context(viewport={"width": 1280, "height": 1400}).new_page()
        page.set_default_timeout(90_000)
        run_all(page, lab, f"panel{number}.ipynb")
        panel = page.locator(".moe-root")
        panel.get_by_label("Pace", exact=True).select_option("0")
        panel.get_by_role("button", name="Play", exact=True).click()
        page.wait_for_timeout(2000)
        panel.evaluate(CLOCK)
        for slider in SLIDERS:
            step, begun = int(panel.get_attribute("data-step")), page.evaluate("performance.now()")
            took = times(page, slider)
            speed = (int(panel.get_attribute("data-step")) - step) / (page.evaluate("performance.now()") - begun) * 1000
            p50, p95 = took[len(took) // 2], took[int(0.95 * len(took))]
            print(f"{name:32}{slider:22}{p50:5.0f} ms{p95:5.0f} ms   {len(took)}, {speed:.0f}", flush=True)
        assert panel.get_attribute("data-running") == "true", panel.inner_text()
        page.context.close()
    browser.close()
shutil.rmtree(home, ignore_errors=True)
