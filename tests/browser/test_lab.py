"""JupyterLab for real: run notebooks to their end, move controls with the keyboard, and see the pictures change."""

import shutil

import pytest
from in_lab import ROOT, move, open_notebook, picture, run_all, workspace_with
from playwright.sync_api import expect

FIRST = ROOT / "notebooks" / "00_start_here.ipynb"
LESSON = ROOT / "notebooks" / "03_router.ipynb"
MUSEUM = ROOT / "notebooks" / "museum.ipynb"
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
def workspace(tmp_path_factory):
    """A folder with copies of two lessons and the museum, a sweep with a picture, and a GPT."""
    home = workspace_with(tmp_path_factory.mktemp("lab"), "type.ipynb", TYPE)
    for path in (FIRST, LESSON, MUSEUM):
        shutil.copy(path, home)
    return workspace_with(home, "sweep.ipynb", SWEEP, PICTURE)


def test_a_sweep_asks_the_kernel_and_survives_an_error_and_a_picture_follows_the_theme(page, lab):
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
    drawing = page.locator(".moe-figure img:visible")
    for is_light, theme in (("true", "light"), ("false", "dark")):
        page.evaluate(f"document.body.dataset.jpThemeLight = '{is_light}'")
        expect(drawing).to_have_count(1)
        assert drawing.evaluate("i => i.closest('.moe-light, .moe-dark').className") == f"moe-{theme}"


def test_letters_typed_to_a_gpt_are_no_commands_of_jupyterlab(page, lab):
    """There, a and b add cells, x cuts one, and a link would lose its fragment."""
    run_all(page, lab, "type.ipynb")
    area = page.get_by_role("textbox", name="Type into this sentence.")
    area.click()
    page.keyboard.press("End")
    page.keyboard.type("bax dd\nx = 1")
    assert area.input_value().endswith("bax dd\nx = 1")
    assert page.locator(".jp-CodeCell").count() == 1
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
    assert claims.first.locator(".verdict").inner_text().split() == ["✓", "holds", "03.1"]
    widget = page.locator(".moe-widget:has(canvas)").first
    canvas = widget.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.moe-title').textContent")
    before = picture(canvas)
    move(page, widget.get_by_role("slider", name="Temperature"))
    after = picture(canvas)
    assert after != before
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_function("([c, light]) => c.toDataURL() !== light", arg=[canvas.element_handle(), after])
    # The lesson's own router has learned in the kernel.
    box = page.locator(".jupyter-widgets.widget-vbox")
    assert box.locator(".moe-shares li").count() == 6
    assert box.locator(".widget-hslider").count() == 3


def test_a_link_of_the_museums_table_leads_to_its_exhibit(page, lab):
    title = "The loss says balanced, and each layer has a favourite"
    open_notebook(page, lab, MUSEUM.name)
    page.get_by_role("link", name=title, exact=True).click()
    expect(page.locator("h2", has_text=title)).to_be_in_viewport()
