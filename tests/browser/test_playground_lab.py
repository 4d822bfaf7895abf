"""The playground in JupyterLab: both of its engines train, a learner's own layer too, and Python sees what was done."""

import re

import pytest
from in_lab import jupyterlab, notebook, run_all, run_cell
from on_page import FRAMES
from playing import Opened
from playwright.sync_api import expect

CELLS = """
import torch
from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.show import playground
torch.manual_seed(0)
widget = playground(preset="rules")
widget
#---
mine = playground(MixtureOfExperts(2, 6, 5, 1, d_out=2), title="My own")
mine
#---
print("state", widget.state)
again = playground(state=widget.state | {"steps": 3})
print("options", again.options["settings"], again.options["steps"])
shares = mine.frame.get("now", {}).get("shares", [])  # nothing yet, when all cells run
print("mine at", mine.step, "with", [round(100 * share) for share in shares])
#---
from IPython.display import Markdown
Markdown("[A link to an experiment](playground.ipynb#preset=kill)")
"""
IN_THE_NOTEBOOK = """(n) => {
  const { top, bottom } = n.getBoundingClientRect();
  const pane = n.closest(".jp-WindowedPanel-outer").getBoundingClientRect();
  return (Math.min(bottom, pane.bottom) - Math.max(top, pane.top)) / (bottom - top);
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("playground_lab")
    (home / "playground.ipynb").write_text(notebook(*CELLS.strip().split("#---\n")), encoding="utf-8")
    with jupyterlab(home) as address:
        yield address


def train_in(opened, engine):
    opened.choose("Train in", engine)
    opened.page.wait_for_function(f"document.querySelector('.moe-root').dataset.engine === '{engine}'")
    return opened.settle()


def test_the_map_stays_while_a_slider_is_moved(page, lab):
    run_all(page, lab, "playground.ipynb")
    for width, height in [(1280, 800), (800, 1024)]:  # not before: the toolbar would hide the kernel's name
        page.set_viewport_size({"width": width, "height": height})
        root = Opened(page).settle().root
        moved = [slider for slider in root.locator(".pg-controls input[type=range]").all() if slider.is_visible()]
        assert len(moved) > 5
        for slider in moved:
            slider.evaluate("n => n.scrollIntoView({ block: 'nearest' })")
            page.evaluate(FRAMES)
            seen = root.locator("[data-picture=regions]").evaluate(IN_THE_NOTEBOOK)
            name = f"{width}: {slider.evaluate('n => n.labels[0].textContent')}"
            assert min(seen, slider.evaluate(IN_THE_NOTEBOOK)) > 0.95, name


def test_both_engines_train_and_the_state_is_a_dict(page, lab):
    run_all(page, lab, "playground.ipynb")
    first, mine = Opened(page), Opened(page, 1)
    first.root.scroll_into_view_if_needed()
    first.settle()
    assert (first.data("engine"), first.step()) == ("browser", 0)
    first.press("Learning rate", "ArrowRight").settle()
    shown = first.bars()
    # The same experiment, now with torch.
    assert train_in(first, "kernel").step() == 0
    before = first.pictures()
    first.button("Play").click()
    first.until("step > 60").button("Pause").click()
    after, step = first.settle().pictures(), first.step()
    assert all(now != then for now, then in zip(after[:2], before[:2], strict=True))
    assert first.bars() != shown
    page.evaluate(FRAMES)
    assert first.step() == step
    # The tree trains in the page, whoever trained the mixture.
    first.button("Tree").click()
    page.wait_for_function("document.querySelector('.moe-root').dataset.engine === 'browser'")
    first.settle()
    assert (first.root.locator(".moe-shares li").count(), first.step() > 60) == (8, True)
    assert first.root.get_by_label("Train in").is_hidden()
    first.button("Mixture").click()
    first.settle()
    train_in(first, "kernel")
    for name in ("Experts, E", "Noise on the logits"):  # one makes the layer anew, the other moves a knob
        serial = int(first.data("serial"))
        first.press(name, "ArrowRight")
        page.wait_for_function(f"+document.querySelector('.moe-root').dataset.serial > {serial}")
    assert (first.root.locator(".moe-shares li").count(), first.step()) == (9, 0)
    assert first.root.locator(".moe-error").is_hidden()
    train_in(first, "browser")
    page.wait_for_timeout(500)
    assert first.root.get_by_label("This experiment in Python").input_value().startswith("playground(")
    # The learner's own layer: only what it has can be moved, and what is shown at rest is what the kernel has.
    mine.root.scroll_into_view_if_needed()
    mine.settle()
    assert (mine.data("engine"), mine.root.locator(".moe-shares li").count()) == ("kernel", 5)
    assert mine.root.locator(".moe-kicker").inner_text().endswith("5 experts, 1 per point")
    assert mine.slider("Experts, E").count() == mine.root.get_by_label("Experiment", exact=True).count() == 0
    assert mine.slider("Learning rate").is_enabled()
    mine.button("Play").click()
    page.wait_for_function("+document.querySelectorAll('.moe-root')[1].dataset.step > 20")
    mine.button("Pause").click()
    mine.settle()
    said = run_cell(page, 2)
    assert "state {'rate': 0.032, 'E': 9, 'noise': 0.1}" in said
    shares = [0 if share == "dead" else round(float(share.removesuffix(" %"))) for share in mine.shares()]
    printed = re.search(rf"mine at {mine.step()} with \[([\d, ]+)\]", said)
    # Halves are rounded up in the page, and to even numbers in Python.
    assert shares == pytest.approx([int(share) for share in printed[1].split(",")], abs=1)
    # A link to an experiment begins it beside the link.
    page.get_by_role("link", name="A link to an experiment").click()
    expect(first.root.get_by_label("Experiment", exact=True)).to_have_value("kill")
    assert mine.data("engine") == "kernel"  # and nobody else
    first.root.scroll_into_view_if_needed()
    first.until("step > 10")  # it plays
