"""A page with plotly pictures far below its first screen, with the site's own scripts and styles, in a real browser."""

import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from moe_tutorial.course.book import fetch_npm
from moe_tutorial.course.site import STATIC, themes_script
from moe_tutorial.course.site.plotly import box
from moe_tutorial.show import explorable, look, plotly_slider

ROOT = Path(__file__).parents[2]
ALT = "Two lines: one rises, the other falls."


def figure():
    line = {"type": "scatter", "mode": "lines", "x": [0, 2, 4]}
    return explorable(
        [
            line | {"name": "rises", "y": [0, 1, 4], "line": {"color": look.color("text")}},
            line | {"name": "falls", "y": [4, 1, 0], "line": {"color": look.expert_color(3)}},
        ],
        title="One rises and the other falls, however long the title is that says so above the picture",
        note="Point at a line for its name; drag to look closer, and click twice to go back.",
        alt=ALT,
        sliders=[plotly_slider("times ", {"1": {"x": [[0, 1, 2]]}, "2": {"x": [[0, 2, 4]]}})],
    )


class Quiet(SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    modules = fetch_npm(ROOT / "moe_tutorial/course/web", ROOT / "_build")
    shutil.copy(modules / "plotly.js-basic-dist-min/plotly-basic.min.js", folder)
    for name in ("plotly-pictures.js", "site.css"):
        shutil.copy(STATIC / name, folder)
    (folder / "themes.js").write_text(themes_script())
    (folder / "colours.css").write_text(look.css())
    picture = box(json.loads(figure().to_json()))
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>Pictures</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="colours.css"><link rel="stylesheet" href="site.css">'
        '<script src="themes.js"></script><script src="plotly-pictures.js" defer></script>'
        f'<body style="margin:16px"><div style="height:3000px"></div>{picture}{picture}<p id="end">The end.</p>'
    )
    handler = partial(
        type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None}), directory=str(folder)
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/page.html"
    server.shutdown()


@pytest.fixture
def visit(chromium, address):
    """Open the page; what it loaded is in ``page.loaded``, and nothing may go wrong."""
    pages, wrong = [], []

    def visit(width=1000, **options):
        page = chromium.new_context(viewport={"width": width, "height": 800}, **options).new_page()
        page.loaded = []
        page.on("response", lambda response: page.loaded.append(response.url.rsplit("/", 1)[1]))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_load_state("networkidle")
        pages.append(page)
        return page

    yield visit
    for page in pages:
        page.context.close()
    assert wrong == []


def draw(page):
    """Scroll down until both pictures are drawn."""
    for picture in page.locator(".moe-plotly").all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("el => el.dataset.drawn", arg=picture.element_handle())


def test_plotly_is_loaded_once_when_a_picture_comes_near_and_nothing_jumps(visit):
    page = visit()
    assert "plotly-basic.min.js" not in page.loaded
    room = "[...document.querySelectorAll('.moe-plotly, #end')].map((el) => el.getBoundingClientRect().top + scrollY)"
    before = page.evaluate(room)
    page.evaluate("scrollTo(0, 3000 - innerHeight - 450)")
    page.wait_for_timeout(100)
    assert "plotly-basic.min.js" not in page.loaded
    page.evaluate("scrollBy(0, 150)")  # still below the screen, by 300 pixels
    page.wait_for_function("document.querySelector('.moe-plotly').dataset.drawn")
    draw(page)
    assert page.loaded.count("plotly-basic.min.js") == 1
    assert page.evaluate(room) == before
    assert page.locator(".main-svg").count() >= 2


def test_a_new_theme_swaps_the_colours_and_keeps_what_the_reader_did(visit):
    page = visit(color_scheme="light")
    draw(page)
    plot = "document.querySelectorAll('.moe-plot')[1]"
    strokes = f"[...{plot}.querySelectorAll('.js-line')].map((el) => el.style.stroke)"
    light = page.evaluate(strokes)
    page.evaluate(f"Plotly.relayout({plot}, {{ 'xaxis.range': [0.5, 1.5] }})")
    page.locator(".moe-plotly").nth(1).locator(".legendtoggle").first.click()
    page.wait_for_function(f"{plot}.data[0].visible === 'legendonly'")
    state = f"[{plot}.layout.xaxis.range, {plot}.data.map((trace) => trace.visible), {plot}.layout.sliders[0].active]"
    kept = page.evaluate(state)
    for theme in ("dark", "light"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        everywhere = f"[...document.querySelectorAll('.moe-plotly')].every((box) => box.dataset.drawn === '{theme}')"
        page.wait_for_function(everywhere)
        assert page.evaluate(state) == kept
        colors = page.evaluate(f"{plot}.data.map((trace) => trace.line.color)")
        assert colors == [look.color("text", theme), look.expert_color(3, theme)]
    page.locator(".moe-plotly").nth(1).locator(".legendtoggle").first.click()
    page.wait_for_function(f"{plot}.data[0].visible === true")
    page.wait_for_function(f"before => JSON.stringify({strokes}) === JSON.stringify(before)", arg=light)
    assert len(light) == 4  # two lines, and theirs in the legend


@pytest.mark.parametrize("width", [320, 360, 1000])
def test_it_fits_a_phone_and_its_texts_stand_apart(visit, width):
    page = visit(width)
    draw(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    overlapping = """() => {
      const inner = [".xtitle", ".ytitle", ".xtick", ".ytick", ".legendtext", ".slider-label", ".slider-current-value"];
      const texts = document.querySelector(".moe-plotly").querySelectorAll([...inner, ".moe-title", ".moe-note"]);
      const boxes = [...texts].map((el) => [el.textContent, el.getBoundingClientRect()]).filter(([, b]) => b.width);
      const apart = (a, b) => a.right < b.left + 1 || a.bottom < b.top + 1;
      const found = [];
      for (const [i, [name, a]] of boxes.entries())
        for (const [other, b] of boxes.slice(i + 1)) if (!apart(a, b) && !apart(b, a)) found.push(`${name}: ${other}`);
      return found;
    }"""
    assert page.evaluate(overlapping) == []


def test_a_finger_on_a_picture_scrolls_the_page(visit):
    page = visit(360, has_touch=True, is_mobile=True)
    draw(page)
    assert page.evaluate("document.querySelector('.moe-plot').layout.dragmode") is False
    assert page.locator(".moe-note").first.inner_text() == "Tap a line for its name."


def test_without_javascript_and_on_paper_the_words_stand_in(visit):
    page = visit(java_script_enabled=False)
    assert page.get_by_text(ALT).first.is_visible()
    assert page.locator(".moe-plotly").first.bounding_box()["height"] > 400
    page = visit()
    page.emulate_media(media="print")
    assert page.get_by_text(ALT).first.is_visible()
