"""The playground in JupyterLab: Python sees what was done. And a learner's own layer, which its sliders train again."""

import ast
import json
import re

import pytest
from in_lab import run_all, run_cell, workspace_with
from playing import Opened
from playwright.sync_api import expect

CELLS = """
from moe_tutorial.show import playground
widget = playground(preset="rules")
widget
#---
print("state", widget.state)
again = playground(**widget.state | {"steps": 3})
print("options", again.options["settings"], again.options["steps"])
#---
from IPython.display import Markdown
Markdown("[A link to an experiment](playground.ipynb#preset=kill)")
#---
import torch
from moe_tutorial.layers import MixtureOfExperts, switch_loss
from moe_tutorial.show import watch_layer
from moe_tutorial.study import regimes_2d
torch.manual_seed(0)
watch_layer(MixtureOfExperts(2, 16, 8, 1, d_out=2), regimes_2d(), switch_loss, 0)
"""
CHALLENGE = """
from moe_tutorial.course import score_card
from moe_tutorial.show import playground
playground(preset="seven")
#---
score_card()
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    home = workspace_with(tmp_path_factory.mktemp("playground_lab"), "playground.ipynb", *CELLS.strip().split("#---\n"))
    return workspace_with(home, "challenge.ipynb", *CHALLENGE.strip().split("#---\n"))


@pytest.mark.nightly
def test_the_state_is_a_dict_and_a_link_begins_beside_it(page, lab):
    run_all(page, lab, "playground.ipynb")
    opened = Opened(page)
    opened.root.scroll_into_view_if_needed()
    opened.settle().press("Learning rate", "ArrowRight").press("Experts, E", "ArrowRight").settle()
    said = opened.root.get_by_label("This experiment in Python").input_value()
    assert said == 'playground(rate=0.032, E=5, balance="switch")'
    said = run_cell(page, 1)
    assert "state {'rate': 0.032, 'E': 5" in said
    assert ast.literal_eval(re.search(r"options (\{.*\}) 3", said)[1]).items() >= {"rate": 0.032, "E": 5}.items()
    page.get_by_role("link", name="A link to an experiment").click()
    expect(opened.root.get_by_label("Experiment", exact=True)).to_have_value("kill")
    opened.root.scroll_into_view_if_needed()
    assert opened.settle().step() == 0  # until Play is pressed


@pytest.mark.nightly
def test_a_challenge_that_is_won_stands_on_the_score_card_and_in_the_workspace(page, lab, workspace):
    run_all(page, lab, "challenge.ipynb")
    opened = Opened(page)
    opened.root.scroll_into_view_if_needed()
    opened.settle().press("Noise on the logits", "Home")
    opened.root.get_by_label("Balanced by").select_option("switch")
    opened.press("Coefficient", "ArrowRight", 4).settle()
    opened.button("Play").click()
    opened.settle()
    expect(page.locator(".moe-ask td", has_text="1 won").first).to_be_visible()
    assert json.loads((workspace / "progress.json").read_text())["challenge"] == {
        "06.seven": {"won": 1200, "score": 600}
    }


@pytest.mark.nightly
def test_a_released_slider_trains_the_learners_layer_again(page, lab):
    run_all(page, lab, "playground.ipynb")
    film = page.locator(".moe-root:has(.moe-plane)")
    film.scroll_into_view_if_needed()
    film.get_by_role("slider", name="Step").press("End")
    dead = film.locator(".moe-shares li").filter(has_text="dead")
    before = dead.count()
    assert before > 1
    film.evaluate("film => film.dataset.old = true")
    coefficient = page.locator(".widget-hslider", has_text="Balance coefficient").get_by_role("slider")
    coefficient.focus()
    page.keyboard.press("End")
    anew = page.locator(".moe-root:has(.moe-plane):not([data-old])")
    anew.wait_for()
    assert film.count() == 1
    anew.get_by_role("slider", name="Step").press("End")
    expect(dead).to_have_count(0)
