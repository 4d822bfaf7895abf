"""A notebook that was run and saved yesterday: JupyterLab shows its widgets as they were left, without a kernel."""

import json

import pytest
from in_lab import close, move, open_notebook, run_all, run_cell, workspace_with
from playwright.sync_api import expect

CELLS = """
import torch
from moe_tutorial.course import detective, guess, quiz, reveal, score_card
from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.show import playground, watch_layer
from moe_tutorial.show.widgets.sweep import sweep
from moe_tutorial.study import regimes_2d
torch.manual_seed(0)
guess("05.open", "In how many of the seventy?", slider=(0, 70, 1, "of 70"))
#---
guess("05.sixty", "In how many of the sixty?", slider=(0, 60, 1, "of 60"))
#---
reveal("05.sixty", 60)
#---
quiz("03")
#---
sweep(lambda number: f"<p>twice {number} is {2 * number}</p>", number=("Number", range(1, 41)))
#---
playground(preset="rules")
#---
watch_layer(MixtureOfExperts(2, 6, 5, 1, d_out=2), regimes_2d())
#---
score_card()
#---
def mine(moe, x):
    return (moe(x) - x).sum()

x = torch.ones(5, 2)
mixtures = {"A": ("nothing is wrong", torch.nn.Identity(), x), "B": ("softplus", torch.nn.Softplus(), x)}
detective("14.suspects", [mixtures, mixtures], [mine], {}, {})
""".strip().split("#---\n")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return workspace_with(tmp_path_factory.mktemp("next_day"), "day.ipynb", *CELLS)


def save(page, file):
    """Save the notebook, and wait until it is on the disk."""
    before = file.stat().st_mtime_ns
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_text("Save Notebook", exact=True).click()
    for _ in range(100):
        page.wait_for_timeout(100)
        if file.stat().st_mtime_ns != before:
            return
    raise AssertionError("it was not saved")


def asked(page):
    return page.locator("[id='guess-05.sixty']")


def see_yesterdays(page):
    """What was left is there; what has to be run says so."""
    expect(asked(page)).to_contain_text("You said 29 of 60. Locked")
    expect(page.locator(".moe-ask", has_text="Your guess, answered")).to_contain_text("The answer: 60 of 60.")
    unasked = page.locator(".moe-ask", has_text="In how many of the seventy?")
    expect(unasked).to_contain_text("Run this cell to answer.")
    assert page.get_by_role("button", name="Lock my guess").count() == 0
    questions = page.locator(".moe-ask", has_text="of 5")
    expect(questions.nth(0).get_by_role("status")).to_contain_text("✓ Right.")
    expect(questions.nth(1)).to_contain_text("Run this cell to answer.")
    assert page.locator(".moe-ask").get_by_role("button", name="Check").count() == 0
    suspects = page.locator(".moe-detective")
    expect(suspects).to_contain_text("Run this cell to answer.")
    expect(suspects.locator("ul li")).to_have_text(["mine✗ FAILS"])
    expect(suspects.get_by_label("Verdict on B")).to_be_disabled()
    slider, out = page.get_by_role("slider", name="Number"), page.locator(".moe-widget:has(.moe-out)")
    expect(out).to_contain_text("twice 3 is 6")
    move(page, slider, "Home")
    expect(out).to_contain_text("twice 1 is 2")
    move(page, slider)
    expect(out).to_contain_text("Run this cell to make it move.")
    move(page, slider)
    expect(out).to_contain_text("twice 3 is 6")
    rules, film = page.locator(".moe-root:has(.moe-pg)"), page.locator(".moe-root:has(.moe-plane)")
    rules.scroll_into_view_if_needed()
    rules.get_by_role("button", name="Play").click()
    page.wait_for_function("+document.querySelector('.moe-root:has(.moe-pg)').dataset.step > 20")
    film.scroll_into_view_if_needed()
    film.get_by_role("slider", name="Step").press("End")
    expect(film).to_contain_text("By step 300")
    expect(page.locator(".widget-hslider")).to_have_count(3)
    expect(page.locator(".widget-label", has_text="run this cell")).to_be_visible()
    assert page.get_by_text("Error displaying widget").count() == 0


@pytest.mark.nightly
def test_yesterdays_widgets_are_as_they_were_left_and_stay_so_when_saved(page, lab, workspace):
    file = workspace / "day.ipynb"
    run_all(page, lab, file.name)
    move(page, asked(page).get_by_role("slider"), "ArrowLeft")
    asked(page).get_by_role("button", name="Lock my guess").press("Enter")
    question = page.locator(".moe-ask", has_text="Question 1 of 5")
    for choice, verdict in (("Both rise.", "✗ Not so."), ("Nothing moves.", "✓ Right.")):
        question.get_by_label(choice).check()
        question.get_by_role("button", name="Check").press("Enter")
        expect(question.get_by_role("status")).to_contain_text(verdict)
    page.get_by_role("button", name="run: mine on B").click()
    page.get_by_label("Verdict on A").select_option("nothing is wrong")
    page.get_by_label("Verdict on B").select_option("softplus")
    page.get_by_role("button", name="Accuse").press("Enter")
    expect(page.locator(".moe-detective .moe-told")).to_have_text(
        "✓ Solved: 5 tokens, 0 wrong verdicts. It is kept in your workspace."
    )
    # The score card above has counted all that since it was shown.
    counted = "1 far off1 of 5 right, 0 at the first try1 of 2 boards solved, 5 tokens"
    expect(page.locator("tfoot")).to_contain_text(counted)
    slider = page.get_by_role("slider", name="Number")
    for answer in ("twice 2 is 4", "twice 3 is 6"):
        move(page, slider)
        page.locator(".moe-out").get_by_text(answer).wait_for()
    save(page, file)
    close(page)

    open_notebook(page, lab, file.name)
    see_yesterdays(page)
    # Another cell is run, and the notebook is saved: JupyterLab itself would store this cell's widget alone.
    run_cell(page, 0, wait=False)
    page.locator(".moe-ask", has_text="seventy").get_by_role("button", name="Lock my guess").wait_for()
    save(page, file)
    close(page)
    open_notebook(page, lab, file.name)
    see_yesterdays(page)
    kept = json.loads(file.read_text())["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert sum("_esm" in each["state"] for each in kept.values()) == len(CELLS)

    # The kernel begins anew: what was answered is in the workspace.
    close(page)
    run_all(page, lab, file.name)
    expect(asked(page)).to_contain_text("You said 29 of 60. Locked")
    expect(question.get_by_role("status")).to_contain_text("✓ Right.")
    expect(page.locator("tfoot")).to_contain_text(counted)
    said = {"A": "nothing is wrong", "B": "softplus"}
    solved = {"paid": ["B mine"], "said": said, "last": said, "wrong": 0, "solved": True, "bill": 5}
    assert json.loads((workspace / "progress.json").read_text()) == {
        "guess": {"05.sixty": {"how": "far", "is": 60, "said": 29}},
        "quiz": {"03": {"of": 5, "right": ["shift"], "tries": {"shift": 2}}},
        "detective": {"14.suspects": {"of": 2, "round": 0, "boards": {"0": solved}}},
    }
