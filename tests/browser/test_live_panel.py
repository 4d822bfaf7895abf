"""The live training panel in JupyterLab for real: clicks, slider moves, an interrupt, a kernel's end, a closed tab."""

import re

import pytest
from in_lab import jupyterlab, notebook, picture, run_all, run_cell, write_cell
from sampled import sampled

PANEL = """
import threading
import time
import torch
from moe_tutorial.layers import MixtureOfExperts, switch_loss
from moe_tutorial.show import train_live
from moe_tutorial.study import regimes_2d

torch.manual_seed(0)
layer = MixtureOfExperts(2, 16, 8, 1, d_out=2)
panel = train_live(layer, regimes_2d(), balance=switch_loss)
panel
"""
THREADS = 'print("threads", [t.name for t in threading.enumerate() if "moe" in t.name], panel.running, panel.step)'
LONG = "for _ in range(600):\n    time.sleep(0.1)"
GONE = "The kernel is gone: it was restarted, or it died. Run this cell again."


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("live")
    (home / "live.ipynb").write_text(notebook(PANEL, THREADS, "# a long one comes here"), encoding="utf-8")
    with jupyterlab(home) as address:
        yield address


class Panel:
    """The panel on the page, and what a reader does with it."""

    def __init__(self, page, lab):
        self.page = page
        run_all(page, lab, "live.ipynb")
        self.root = page.locator(".moe-root")
        self.title = self.root.locator(".moe-title")
        self.until("step === '0'")

    def click(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()

    def slider(self, name):
        return self.root.get_by_role("slider", name=name)

    def until(self, condition):
        """Wait for a condition on the root's data: step, serial, running."""
        self.page.wait_for_function(
            f"(({{step, serial, running}}) => {condition})(document.querySelector('.moe-root')?.dataset ?? {{}})"
        )

    def step(self):
        return int(self.root.get_attribute("data-step"))

    def train(self, steps):
        self.until(f"+step >= {self.step() + steps}")

    def pause(self):
        self.click("Pause")
        self.until("running === 'false'")

    def shown(self):
        pictures = [picture(canvas) for canvas in self.root.locator("canvas").all()]
        return pictures, self.title.inner_text(), self.root.locator(".moe-shares").inner_text()

    def usage(self):
        """What the picture says of the shares in percent, expert by expert; of the dead it says nothing."""
        words = self.root.locator(".moe-bands canvas").get_attribute("aria-label")
        return {int(e): float(part) for e, part in re.findall(r"expert (\d) ([\d.]+) %", words.split("Shares: ")[1])}


def test_start_pause_step_and_reset(page, lab):
    panel = Panel(page, lab)
    first = panel.shown()
    assert panel.title.inner_text().startswith("Step 0: ")
    panel.click("Step")
    panel.until("step === '1'")
    assert panel.shown() != first
    panel.click("Start")
    panel.train(100)
    assert panel.root.get_by_role("button", name="Step", exact=True).is_disabled()
    panel.pause()
    step, shown = panel.step(), panel.shown()
    page.wait_for_timeout(500)
    assert (panel.step(), panel.shown()) == (step, shown)
    assert panel.title.inner_text().startswith(f"Step {step}: ")
    assert all(mine != start for mine, start in zip(shown[0], first[0], strict=True))
    panel.click("Reset")
    panel.until("step === '0'")
    assert panel.shown() == first


def test_noise_and_balance_moved_while_it_trains_change_the_usage_in_the_picture(page, lab):
    """Four rules leave four of eight experts without work. Noise gives them some, and so does a balance loss."""
    panel = Panel(page, lab)
    panel.click("Start")
    panel.train(300)
    assert len(panel.usage()) == 4
    panel.train(300)
    usage = panel.usage()
    assert len(usage) == 4  # the control: nothing was moved
    assert max(usage.values()) > 20
    panel.slider("Noise on the logits").press("End")
    panel.train(100)
    assert len(panel.usage()) == 8
    panel.slider("Noise on the logits").press("Home")
    panel.train(100)
    assert len(panel.usage()) == 4  # it was the noise
    panel.slider("Balance loss").fill("17")
    assert panel.slider("Balance loss").get_attribute("aria-valuetext") == "× 10"
    panel.train(400)
    balanced = panel.usage()
    assert len(balanced) == 8
    assert max(balanced.values()) < 20
    bars = panel.root.locator(".moe-shares li").all_inner_texts()
    assert not [bar for bar in bars if "dead" in bar]
    assert panel.root.get_attribute("data-running") == "true"


def test_it_waits_for_a_cell_and_survives_an_interrupt(page, lab):
    panel = Panel(page, lab)
    panel.click("Start")
    panel.train(20)
    write_cell(page, 2, LONG)
    run_cell(page, 2, wait=False)
    panel.root.get_by_text("Waiting for the kernel").wait_for()
    step = panel.step()
    page.wait_for_timeout(4000)  # longer than it waits for a page that does not answer
    assert panel.step() == step
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")  # interrupts the kernel
    page.get_by_text("KeyboardInterrupt").first.wait_for()
    panel.until(f"+step > {step + 20} && running === 'true'")
    panel.pause()
    assert "threads [] False" in run_cell(page, 1)


def restart_from_the_menu(page, lab):
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Restart Kernel…", exact=True).click()
    page.locator(".jp-Dialog .jp-mod-accept").click()


def kill(page, lab):
    write_cell(page, 1, "import os\nos._exit(1)")
    page.keyboard.press("Control+Enter")
    page.locator(".jp-Dialog .jp-mod-accept").click()  # "appears to have died"


@pytest.mark.parametrize("end", sampled([restart_from_the_menu, kill], kept=[kill]))
def test_a_kernel_that_ends_in_training_is_gone_and_its_cell_run_again_trains(page, lab, end):
    panel = Panel(page, lab)
    panel.click("Start")
    panel.train(20)
    end(page, lab)
    panel.root.get_by_text("The kernel is gone").wait_for()
    page.wait_for_timeout(2500)  # longer than it takes to acknowledge a frame, or to say that it waits
    assert panel.root.get_by_role("alert").inner_text() == GONE
    assert panel.root.get_by_text("Waiting for the kernel").count() == 0
    assert all(node.is_disabled() for node in panel.root.locator("button, input").all())
    assert panel.root.get_attribute("data-running") == "false"
    run_cell(page, 0, wait=False)
    panel.until("step === '0'")
    panel.click("Start")
    panel.train(20)
    panel.pause()
