"""The plotly pictures of a lesson on the site: they come when a reader is near, and follow the theme and the finger."""

from on_site import read_on

LESSON = "08_moe_gpt.html"
PLOT = "document.querySelector('.moe-plot')"
LOADED = "[...document.scripts].filter((script) => script.src.includes('plotly-basic')).length"
COLOURS = f"JSON.stringify({PLOT}.data).toLowerCase().match(/#[0-9a-f]{{6}}/g)"


def opened(open_page, **options):
    """The lesson with its only plotly picture, which answers a guess, in sight."""
    page = open_page(LESSON, **options)
    page.evaluate("document.querySelectorAll('.moe-veiled button').forEach((show) => show.click())")
    return page


def test_plotly_is_loaded_when_a_picture_comes_near(open_page):
    page = opened(open_page)
    page.wait_for_load_state("networkidle")
    assert page.evaluate(LOADED) == 0
    read_on(page)
    assert page.evaluate(LOADED) == 1


def test_a_new_theme_swaps_the_colours_and_keeps_what_the_reader_did(open_page):
    page = opened(open_page, has_touch=True, is_mobile=True)
    read_on(page)
    assert page.evaluate(f"{PLOT}.layout.dragmode") is False  # a finger scrolls the page
    page.evaluate(f"Plotly.relayout({PLOT}, {{ 'xaxis.range': [500, 1500] }})")
    page.evaluate(f"Plotly.restyle({PLOT}, {{ visible: 'legendonly' }}, [0])")
    state = f"[{PLOT}.layout.xaxis.range, {PLOT}.data.map((trace) => trace.visible)]"
    kept, light = page.evaluate(state), page.evaluate(COLOURS)
    for theme in ("dark", "light"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.wait_for_function(f"document.querySelector('.moe-plotly').dataset.drawn === '{theme}'")
        assert page.evaluate(state) == kept
        colours = page.evaluate(COLOURS)
        assert set(colours) <= {colour.lower() for colour in page.evaluate(f"Object.values(moeThemes.{theme})")}
        assert (colours == light) == (theme == "light")
