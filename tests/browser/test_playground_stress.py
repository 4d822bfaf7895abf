"""The playground under hard use: cells run again, a slow layer, two tabs, a hidden one."""

import re

import pytest
from in_lab import jupyterlab, notebook, run_all
from on_page import FRAMES
from test_playground_page import Opened, begin, contexts, preset, served, visit, wide

__all__ = ["contexts", "served", "visit", "wide"]  # fixtures
pytestmark = pytest.mark.nightly

CELLS = """
import time, torch
from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.show import playground
torch.manual_seed(0)
mine = playground(MixtureOfExperts(2, 6, 5, 1, d_out=2))
mine
#---
import threading
print("threads", [thread.name for thread in threading.enumerate()].count("moe-live"), "at", mine.step)
#---
class Slow(MixtureOfExperts):
    def forward(self, x):
        time.sleep(0.05)
        return super().forward(x)
slow = playground(Slow(2, 6, 4, 1, d_out=2))
slow
#---
shares = slow.frame.get("now", {}).get("shares", [])
print("slow at", slow.step, "and", [round(100 * share) for share in shares])
"""


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "stress.ipynb").write_text(notebook(*CELLS.strip().split("#---\n")), encoding="utf-8")
    with jupyterlab(tmp_path) as address:
        yield address


def run_cell(page, number):
    """Run one again, and wait for its number."""
    cell = page.locator(".jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt")
    before = prompt.inner_text()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        r"([n, before]) => { const p = document.querySelectorAll('.jp-CodeCell')[n].querySelector('.jp-InputPrompt');"
        r" return p.textContent !== before && /\[\d+\]:/.test(p.textContent); }",
        arg=[number, before],
    )
    return cell.locator(".jp-OutputArea").inner_text()


def test_ten_times_run_again_while_it_trains_leaves_one_thread_at_most(page, lab):
    console = []
    page.on(
        "console", lambda message: message.type == "error" and "moe" in message.text and console.append(message.text)
    )
    run_all(page, lab, "stress.ipynb")
    mine = Opened(page)
    for _ in range(10):
        mine.root.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('.moe-root')?.dataset.step === '0'")
        mine.button("Play").click()
        page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 5")
        run_cell(page, 0)
    assert int(re.search(r"threads (\d+)", run_cell(page, 1))[1]) <= 1
    mine.root.scroll_into_view_if_needed()
    mine.button("Play").click()
    page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 5")
    mine.button("Pause").click()
    mine.settle()
    step = mine.step()
    assert f"at {step}" in run_cell(page, 1)
    assert console == []


def test_of_a_slow_layer_what_is_shown_at_rest_is_what_the_kernel_has(page, lab):
    run_all(page, lab, "stress.ipynb")
    slow = Opened(page, 1)
    slow.root.scroll_into_view_if_needed()
    slow.settle()
    slow.button("Play").click()
    page.wait_for_function("+document.querySelectorAll('.moe-root')[1].dataset.step > 3")
    for _ in range(5):
        slow.press("Learning rate", "ArrowRight")
    slow.button("Pause").click()
    slow.settle()
    page.evaluate(FRAMES)
    bars = [bar.split("\n")[-1] for bar in slow.bars()]
    shown = [0 if bar == "dead" else float(bar.removesuffix(" %")) for bar in bars]
    step, said = re.search(r"slow at (\d+) and \[([\d, ]+)\]", run_cell(page, 3)).groups()
    assert int(step) == slow.step()
    assert shown == pytest.approx([float(share) for share in said.split(", ")], abs=1)
    assert slow.slider("Learning rate").get_attribute("aria-valuetext") == "0.18"


def test_two_tabs_do_not_disturb_each_other_and_a_hidden_one_waits(visit):
    one, two = visit().fast(), visit().fast()
    preset(one, "Kill seven experts")
    preset(two, "Balanced by a hash")
    mine = one.bars(), one.readouts(), one.hash()
    two.page.bring_to_front()
    begin(two, "Too much penalty")
    assert (one.bars(), one.readouts(), one.hash()) == mine
    hide = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    one.button("Play").click()
    one.page.evaluate(hide % "true" + tell)
    one.page.evaluate(FRAMES)
    step = one.step()
    one.page.evaluate(FRAMES)
    assert one.step() == step
    one.page.evaluate(hide % "false" + tell)
    one.page.wait_for_function(f"+document.querySelector('.moe-root').dataset.step > {step}")
    one.button("Pause").click()
    one.settle()
