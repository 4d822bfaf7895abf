"""JupyterLab for real: run notebooks to their end, move controls with the keyboard, and see the pictures change."""

import shutil

import pytest
from in_lab import ROOT, jupyterlab, move, notebook, open_notebook, picture, run_all

FIRST = ROOT / "notebooks" / "00_start_here.ipynb"
LESSON = ROOT / "notebooks" / "03_router.ipynb"
WIDGETS = """
import torch
from moe_tutorial.show.regions import explore_router, grid, watch_training
from moe_tutorial.show.sweep import sweep

points = torch.rand(240, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
angle = torch.arange(8) * torch.pi / 4
weight = 4 * torch.stack([angle.cos(), angle.sin()])
explore_router(lambda x: x @ weight, points, (points[:, 0] > 0).long())
#---
places = grid(points, 32)
watch_training([step * places @ weight for step in (0.1, 0.5, 1)], points, steps=[0, 50, 100], score=[0.2, 0.5, 0.9])
#---
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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab with copies of two lessons and the claims, and notebooks of widgets and a picture."""
    home = tmp_path_factory.mktemp("lab")
    (home / "widgets.ipynb").write_text(notebook(*WIDGETS.strip().split("#---\n")), encoding="utf-8")
    (home / "picture.ipynb").write_text(notebook(PICTURE.strip()), encoding="utf-8")
    shutil.copy(FIRST, home)
    shutil.copy(LESSON, home)
    shutil.copy(ROOT / "notebooks" / "claims.ipynb", home)
    with jupyterlab(home) as address:
        yield address


def repaint_times(page, slider, watched, *, back=True, presses=12):
    """Milliseconds from a key press to the next frame after the watched element changed."""
    page.evaluate(
        """(watched) => {window.took = []; window.pressed = 0;
            addEventListener('keydown', () => (pressed = performance.now()), true);
            new MutationObserver(() => pressed && requestAnimationFrame(() => setTimeout(() => {
                if (pressed) took.push(performance.now() - pressed); pressed = 0})))
              .observe(watched, {childList: true, characterData: true, subtree: true})}""",
        watched.element_handle(),
    )
    slider.focus()
    for i in range(presses):
        page.keyboard.press("ArrowLeft" if back and i >= presses / 2 else "ArrowRight")
        page.evaluate(  # a press at an end of the slider repaints nothing
            """() => new Promise((done) => {const until = performance.now() + 1000;
                const look = () => pressed && performance.now() < until ? requestAnimationFrame(look) : done();
                look()})"""
        )
    took = sorted(page.evaluate("took"))
    assert len(took) > presses / 2
    return f"p50 {took[len(took) // 2]:.0f} ms, p95 {took[int(0.95 * len(took))]:.0f} ms over {len(took)} key presses"


@pytest.mark.nightly
def test_the_region_controls_change_the_picture_and_its_title(page, lab):
    run_all(page, lab, "widgets.ipynb")
    widget = page.locator(".moe-widget", has=page.get_by_role("slider", name="Temperature"))
    canvas, title = widget.locator("canvas"), widget.locator(".moe-title")
    canvas.wait_for()
    page.wait_for_function("document.querySelector('.moe-title').textContent")
    for label in ("Temperature", "Chosen per point, k", "Order"):
        before = picture(canvas), title.inner_text()
        move(page, widget.get_by_label(label), "ArrowDown" if label == "Order" else "ArrowRight")
        assert picture(canvas) != before[0], label
        assert title.inner_text() != before[1], label
        assert title.inner_text() in canvas.get_attribute("aria-label")
    before = picture(canvas), widget.locator("table").inner_text()
    move(page, widget.get_by_role("slider", name="Point", exact=True))
    assert (picture(canvas) != before[0], widget.locator("table").inner_text() != before[1]) == (True, True)
    canvas.click(position={"x": 30, "y": 30})
    assert widget.get_by_role("slider", name="Point", exact=True).input_value() != "1"
    print(
        "\nregions, key press -> repaint:", repaint_times(page, widget.get_by_role("slider", name="Temperature"), title)
    )


@pytest.mark.nightly
def test_the_training_can_be_stepped_and_played(page, lab):
    run_all(page, lab, "widgets.ipynb")
    widget = page.locator(".moe-widget", has=page.get_by_role("slider", name="Step"))
    canvas, title, step = (
        widget.locator("canvas").first,
        widget.locator(".moe-title"),
        widget.get_by_role("slider", name="Step"),
    )
    step.wait_for()
    assert step.input_value() == "2"
    at_end = title.inner_text()
    before = picture(canvas)
    move(page, step, "ArrowLeft")
    assert picture(canvas) != before
    assert title.inner_text() != at_end
    move(page, step, "End")
    widget.get_by_role("button", name="Play").click()
    assert "At step 0" in title.inner_text()
    widget.get_by_role("button", name="Play").wait_for()  # it says Pause while it plays
    assert title.inner_text() == at_end


def test_a_sweep_asks_the_kernel_survives_an_error_and_shows_the_latest_move(page, lab):
    run_all(page, lab, "widgets.ipynb")
    widget = page.locator(".moe-widget", has=page.get_by_role("slider", name="Number"))
    slider, out = widget.get_by_role("slider", name="Number"), widget.locator(".moe-out")
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
    move(page, slider, "Home")
    for _ in range(9):
        move(page, slider)
    out.get_by_text("twice 10 is 20").wait_for()
    print("\nsweep, key press -> repaint:", repaint_times(page, slider, out, back=False))


def test_the_theme_of_jupyterlab_recolours_the_picture(page, lab):
    run_all(page, lab, "widgets.ipynb")
    canvas = page.locator(".moe-widget canvas").first
    canvas.wait_for()
    page.wait_for_function("document.querySelector('.moe-title').textContent")
    before = picture(canvas)
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_function("([c, before]) => c.toDataURL() !== before", arg=[canvas.element_handle(), before])


def test_the_first_instruction_works_on_a_fresh_kernel(page, lab):
    """00 says: click into the cell and press Shift + Enter; and the same on the three dots above it."""
    open_notebook(page, lab, FIRST.name)
    code, folded = page.locator(".jp-CodeCell").nth(1), page.locator(".jp-CodeCell").nth(0)
    code.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    code.locator(".jp-InputPrompt").get_by_text("[1]:").wait_for()  # before that it shows what is stored
    assert "experts chosen for each token: (5, 2)" in code.locator(".jp-OutputArea").inner_text()
    assert page.locator(".moe-figure").count() == 0
    folded.locator(".jp-InputPlaceholder").click()
    page.keyboard.press("Shift+Enter")
    folded.locator(".moe-figure .moe-title").get_by_text("Training moved the borders").wait_for(timeout=120_000)


def test_a_lesson_runs_to_its_end_and_its_picture_moves(page, lab):
    run_all(page, lab, LESSON.name)
    widget = page.locator(".moe-widget:has(canvas)").first
    canvas, title = widget.locator("canvas").first, widget.locator(".moe-title")
    canvas.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.moe-title').textContent")
    before = picture(canvas), title.inner_text()
    move(page, widget.get_by_role("slider", name="Temperature"))
    assert (picture(canvas) != before[0], title.inner_text() != before[1]) == (True, True)


@pytest.mark.nightly
def test_a_lessons_own_router_learns_in_the_kernel(page, lab):
    run_all(page, lab, LESSON.name)
    playground = page.locator(".moe-root:has(.moe-pg)")
    playground.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.moe-root:has(.moe-pg)').dataset.settled === 'true'")
    assert playground.get_attribute("data-engine") == "kernel"
    assert playground.locator(".moe-shares li").count() == 6
    playground.get_by_role("button", name="Play").click()
    page.wait_for_function("+document.querySelector('.moe-root:has(.moe-pg)').dataset.step > 20")
    playground.get_by_role("button", name="Pause").click()
    page.wait_for_function("document.querySelector('.moe-root:has(.moe-pg)').dataset.settled === 'true'")
    assert playground.locator(".moe-error").is_hidden()


def test_a_lesson_shows_its_claims_as_boxes(page, lab):
    run_all(page, lab, LESSON.name)
    claims = page.locator(".jp-OutputArea-output .moe-claim.holds")
    assert claims.count() == 5
    assert claims.first.locator(".verdict").inner_text().split() == ["✓", "holds", "03.1"]


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
        assert [image.evaluate("i => i.closest('picture').className") for image in images] == [drawn]
