"""Guess, reveal and quiz in JupyterLab, in a workspace: what was answered is there after the kernel begins anew."""

import json

import pytest
from in_lab import run_all, workspace_with
from playwright.sync_api import expect

CELLS = (
    "from moe_tutorial.course import guess, quiz, reveal, score_card\n"
    'guess("05.sixty", "In how many of the sixty?", slider=(0, 60, 1, "of 60"))',
    'reveal("05.sixty", 60)',
    'quiz("03")',
    "score_card()",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return workspace_with(tmp_path_factory.mktemp("workspace"), "asking.ipynb", *CELLS)


def test_a_locked_guess_and_an_answered_question_outlive_the_kernel(page, lab, workspace):
    run_all(page, lab, "asking.ipynb")
    slider = page.get_by_role("slider", name="In how many of the sixty?")
    slider.scroll_into_view_if_needed()
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Lock my guess").press("Enter")
    asked = page.locator(".moe-ask", has_text="Guess first")
    measured = page.locator(".moe-ask", has_text="Your guess, measured")
    expect(asked).to_contain_text("You said 29 of 60. Locked: the lesson answers further down.")
    expect(asked).to_contain_text("It is kept in your workspace.")
    expect(measured).to_contain_text("You said 29 of 60; it is 60 of 60.")
    question = page.locator(".moe-ask", has_text="Question 1 of 5")
    question.get_by_label("Both rise.").check()
    question.get_by_role("button", name="Check").press("Enter")
    expect(question.get_by_role("status")).to_contain_text("✗ Not so. The softmax divides by the sum")
    question.get_by_label("Nothing moves.").check()
    question.get_by_role("button", name="Check").press("Enter")
    expect(question.get_by_role("status")).to_contain_text("✓ Right. Nothing moves")
    page.wait_for_timeout(500)  # the kernel writes

    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Restart Kernel and Run All Cells…", exact=True).click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.locator(".jp-OutputArea-executeResult tfoot").get_by_text("1 far off").wait_for(timeout=120_000)
    expect(asked).to_contain_text("You said 29 of 60. Locked")
    expect(measured).to_contain_text("You said 29 of 60; it is 60 of 60.")
    expect(question.get_by_role("status")).to_contain_text("✓ Right. Nothing moves")
    expect(page.locator("tfoot")).to_contain_text("1 of 5 right, 0 at the first try")
    assert page.get_by_role("button", name="Lock my guess").count() == 0
    assert json.loads((workspace / "progress.json").read_text()) == {
        "guess": {"05.sixty": {"how": "far", "is": 60, "said": 29}},
        "quiz": {"03": {"of": 5, "right": ["shift"], "tries": {"shift": 2}}},
    }
