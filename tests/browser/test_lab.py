"""JupyterLab for real: run notebooks to their end, move controls with the keyboard, and see the pictures change."""

import re
import shutil

import pytest
from in_lab import ROOT, jupyterlab, move, notebook, open_notebook, picture, run_all

FIRST = ROOT / "notebooks" / "00_start_here.ipynb"
LESSON = ROOT / "notebooks" / "03_router.ipynb"
SWEEP = """
from moe_tutorial.show.widgets.sweep import sweep

def double(number):
    if number == 3:
        raise ValueError("three is not allowed here")
    return f"<p>twice {number} is {2 * number}</p>"

sweep(double, number=("Number", range(1, 41)))
"""
PICTURE = """
from moe_tutorial.show import picture

picture(lambda figure, theme: figure.subplots().plot([0, 1]), "A line rises", alt="A line that rises.")
"""

TYPE = """
from moe_tutorial.layers import GPT, GPTConfig
from moe_tutorial.show import live_gpt
from moe_tutorial.study import CHARACTERS

live_gpt(GPT(GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=8)), "a b", link=True)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab with copies of two lessons and the claims, a sweep, a picture and a GPT."""
    home = tmp_path_factory.mktemp("lab")
    (home / "type.ipynb").write_text(notebook(TYPE), encoding="utf-8")
    (home / "sweep.ipynb").write_text(notebook(SWEEP), encoding="utf-8")
    (home / "picture.ipynb").write_text(notebook(PICTURE), encoding="utf-8")
    for name in (FIRST, LESSON, ROOT / "notebooks" / "claims.ipynb"):
        shutil.copy(name, home)
    with jupyterlab(home) as address:
        yield address


def test_a_sweep_asks_the_kernel_survives_an_error_and_shows_the_latest_move(page, lab):
    run_all(page, lab, "sweep.ipynb")
    slider, out = page.get_by_role("slider", name="Number"), page.locator(".moe-out")
    out.get_by_text("twice 1 is 2").wait_for()
    move(page, slider)
    out.get_by_text("twice 2 is 4").wait_for()
    move(page, slider)
    out.get_by_text("ValueError: three is not allowed here").wait_for()
    move(page, slider)
    out.get_by_text("twice 4 is 8").wait_for()
    for key in ["Home", *["ArrowRight"] * 9, "End"]:  # faster than the kernel answers
        move(page, slider, key)
    out.get_by_text("twice 40 is 80").wait_for()


def test_letters_typed_to_a_gpt_are_no_commands_of_jupyterlab(page, lab):
    """There, a and b add cells, x cuts one, and a link would lose its fragment."""
    run_all(page, lab, "type.ipynb")
    area = page.get_by_role("textbox", name="Type into this sentence.")
    area.click()
    page.keyboard.press("End")
    page.keyboard.type("bax dd")
    assert area.input_value().endswith("bax dd")
    assert page.locator(".jp-CodeCell").count() == 1
    expert = page.locator(".moe-live-tile").first
    expert.focus()
    page.keyboard.press("Enter")
    assert expert.get_attribute("aria-pressed") == "false"
    assert re.search("probability|No difference", page.locator(".moe-live-verdict").inner_text())
    assert page.get_by_role("button", name="Link").count() == 0


def test_the_first_instruction_works_on_a_fresh_kernel(page, lab):
    """00 says: click into the cell and press Shift + Enter; and the same on the three dots above it."""
    open_notebook(page, lab, FIRST.name)
    code, folded = page.locator(".jp-CodeCell").nth(1), page.locator(".jp-CodeCell").nth(0)
    code.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    code.locator(".jp-InputPrompt").get_by_text("[1]:").wait_for()  # before that it shows what is stored
    assert "experts chosen for each token: (5, 2)" in code.locator(".jp-OutputArea").inner_text()
    assert page.locator(".moe-widget").count() == 0
    folded.locator(".jp-InputPlaceholder").click()
    page.keyboard.press("Shift+Enter")
    folded.locator(".moe-widget .moe-title").get_by_text("of the points").wait_for(timeout=120_000)


def test_a_lesson_runs_to_its_end_shows_its_claims_and_its_pictures_move_in_both_themes(page, lab):
    run_all(page, lab, LESSON.name)
    claims = page.locator(".jp-OutputArea-output .moe-claim.holds")
    assert claims.count() == 5
    assert claims.first.locator(".verdict").inner_text().split() == ["✓", "holds", "03.1"]
    widget = page.locator(".moe-widget:has(canvas)").first
    canvas, title = widget.locator("canvas").first, widget.locator(".moe-title")
    canvas.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.moe-title').textContent")
    before = picture(canvas), title.inner_text()
    move(page, widget.get_by_role("slider", name="Temperature"))
    assert (picture(canvas) != before[0], title.inner_text() != before[1]) == (True, True)
    light = picture(canvas)
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_function("([c, light]) => c.toDataURL() !== light", arg=[canvas.element_handle(), light])
    # The lesson's own router has learned in the kernel.
    box = page.locator(".jupyter-widgets.widget-vbox")
    assert box.locator(".moe-shares li").count() == 6
    assert box.locator(".widget-hslider").count() == 3


@pytest.mark.nightly
def test_the_page_of_claims_shows_what_the_lessons_store(page, lab):
    """Those of the two lessons beside it."""
    run_all(page, lab, "claims.ipynb")
    claims = page.locator(".jp-OutputArea-output .moe-claim")
    claims.first.wait_for()
    assert claims.locator("visible=true").count() >= 6
    first = claims.filter(has_text="With 2 of 8 experts chosen")
    assert not first.locator("table").is_visible()
    first.locator("summary").press("Enter")
    assert "control: all 8 experts chosen" in first.locator("table").inner_text()


@pytest.mark.nightly
def test_a_picture_follows_the_theme(page, lab):
    run_all(page, lab, "picture.ipynb")
    for is_light, drawn in (("true", "moe-light"), ("false", "moe-dark")):
        page.evaluate(f"document.body.dataset.jpThemeLight = '{is_light}'")
        images = page.locator(".moe-figure img:visible").all()
        assert [image.evaluate("i => i.closest('.moe-light, .moe-dark').className") for image in images] == [drawn]
