"""A learner's own layer in JupyterLab for real: clicks, slider moves, an interrupt, a kernel's end, a second view."""

import random
import re

import pytest
from in_lab import jupyterlab, notebook, run_all, run_cell, write_cell
from playing import Opened
from playwright.sync_api import expect
from sampled import sampled
from test_playground_watch import wander

PANEL = """
import threading
import time
import torch
from moe_tutorial.layers import MixtureOfExperts, switch_loss
from moe_tutorial.show import playground
from moe_tutorial.study import regimes_2d

torch.manual_seed(0)
layer = MixtureOfExperts(2, 16, 8, 1, d_out=2)
panel = playground(layer, regimes_2d(), balance=switch_loss, coefficient=0)
panel
"""
STATE = """
print("threads", [t.name for t in threading.enumerate() if "moe" in t.name], panel.running, panel.step)
print("shares", panel.frame["now"]["shares"], panel.frame["settings"])
"""
LONG = "for _ in range(600):\n    time.sleep(0.1)"
GONE = "The kernel is gone: it was restarted, or it died. Run this cell again."


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("own")
    (home / "own.ipynb").write_text(notebook(PANEL, STATE, "# a long one comes here"), encoding="utf-8")
    with jupyterlab(home) as address:
        yield address


class Panel(Opened):
    """The panel on the page, and what a reader does with it."""

    def __init__(self, page, lab):
        super().__init__(page)
        run_all(page, lab, "own.ipynb")
        self.settle().fast()
        assert (self.data("engine"), self.step()) == ("kernel", 0)

    def play(self, steps):
        self.button("Play").click()
        self.train(steps)

    def train(self, steps):
        self.until(f"step >= {self.step() + steps}")

    def pause(self):
        self.button("Pause").click()
        self.settle()

    def shown(self):
        return self.pictures(), self.message(), self.bars(), self.readouts()

    def usage(self):
        """What the picture says of the shares in percent, expert by expert; of the dead it says nothing."""
        words = self.root.locator("[data-picture=shares]").get_attribute("aria-label")
        return {
            int(e): float(part) for e, part in re.findall(r"expert (\d) ([\d.]+) %", words.split("At the end: ")[1])
        }


def test_start_pause_step_and_reset(page, lab):
    panel = Panel(page, lab)
    first = panel.shown()
    panel.button("Step").click()
    panel.until("step === 1").settle()
    assert panel.shown() != first
    panel.play(100)
    assert panel.button("Step").is_disabled()
    panel.pause()
    step, shown = panel.step(), panel.shown()
    page.wait_for_timeout(500)
    assert (panel.step(), panel.shown()) == (step, shown)
    assert all(mine != start for mine, start in zip(shown[0], first[0], strict=True))
    panel.button("Reset").click()
    panel.until("step === 0").settle()
    assert panel.shown() == first


def test_noise_and_balance_moved_while_it_trains_change_the_usage_in_the_picture(page, lab):
    """Four rules leave four of eight experts without work. Noise gives them some, and so does a balance loss."""
    panel = Panel(page, lab)
    panel.play(300)
    assert len(panel.usage()) == 4
    panel.train(300)
    usage = panel.usage()
    assert len(usage) == 4  # the control: nothing was moved
    assert max(usage.values()) > 20
    panel.press("Noise on the logits", "End").train(100)
    assert len(panel.usage()) == 8
    panel.press("Noise on the logits", "Home").train(100)
    assert len(panel.usage()) == 4  # it was the noise
    panel.slider("Coefficient").fill("17")
    assert panel.slider("Coefficient").get_attribute("aria-valuetext") == "10"
    panel.train(400)
    balanced = panel.usage()
    assert len(balanced) == 8
    assert max(balanced.values()) < 20
    assert "dead" not in panel.shares()
    assert panel.data("running") == "true"


def test_it_waits_for_a_cell_and_survives_an_interrupt(page, lab):
    panel = Panel(page, lab)
    panel.play(20)
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
    panel.train(20)
    assert panel.data("running") == "true"
    panel.pause()
    assert "threads [] False" in run_cell(page, 1)


def test_a_second_view_joins_the_training_and_outlives_the_first(page, lab):
    panel = Panel(page, lab)
    panel.play(20)
    write_cell(page, 2, "panel")
    run_cell(page, 2)
    second = Opened(page, 1)
    page.wait_for_function("+document.querySelectorAll('.moe-root')[1]?.dataset.step > 20")  # it was not begun anew
    noise = "Noise on the logits"
    for view, other, key, times, words in (
        (panel, second, "ArrowRight", 3, "σ = 0.3"),
        (second, panel, "End", 1, "σ = 3.0"),
    ):
        view.press(noise, key, times)
        other.root.scroll_into_view_if_needed()  # off the screen it draws nothing
        expect(other.slider(noise)).to_have_attribute("aria-valuetext", words)
    run_cell(page, 0, wait=False)  # another panel takes the place of the first
    page.wait_for_function("document.querySelectorAll('.moe-root')[1]?.dataset.running === 'false'")
    second.button("Play").click()
    page.wait_for_function(f"+document.querySelectorAll('.moe-root')[1].dataset.step > {int(second.data('step')) + 20}")


@pytest.mark.parametrize("moves", sampled([60, 400], kept=[60]))
def test_after_random_moves_the_page_shows_what_the_kernel_has(page, lab, moves):
    panel = Panel(page, lab)
    panel.play(5)
    wander(panel, random.Random(moves), moves)
    panel.choose("Train in", "kernel")  # one of the moves may have chosen the page
    page.wait_for_function("document.querySelector('.moe-root').dataset.engine === 'kernel'")
    panel.settle()
    said = run_cell(page, 1)
    shares = [float(share) for share in re.search(r"shares \[(.*?)\]", said)[1].split(",")]
    shown = [0 if share == "dead" else float(share.removesuffix(" %")) for share in panel.shares()]
    assert shown == pytest.approx([100 * share if share >= 0.01 else 0 for share in shares], abs=0.51)
    panel.button("Reset").click()
    panel.until("step === 0").settle()
    panel.play(20)


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
    panel.play(20)
    end(page, lab)
    panel.root.get_by_text("The kernel is gone").wait_for()
    page.wait_for_timeout(2500)  # longer than it takes to acknowledge a frame, or to say that it waits
    assert panel.root.get_by_role("alert").inner_text() == GONE
    assert panel.root.get_by_text("Waiting for the kernel").count() == 0
    controls = panel.root.locator(".pg-transport button, .pg-controls input[type=range]").locator("visible=true").all()
    assert len(controls) > 5
    assert all(node.is_disabled() for node in controls)
    assert panel.data("running") == "false"
    run_cell(page, 0, wait=False)
    panel.until("step === 0")
    panel.play(20)
    panel.pause()
