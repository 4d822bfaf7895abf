"""On the site, one screen holds cause and effect: what plays, what to choose from, the map, and the slider in hand."""

import pytest

IN_SIGHT = """(selector) => [...document.querySelectorAll(selector)].filter((n) => n.checkVisibility()).map((n) => {
  const { left, top, right, bottom } = n.getBoundingClientRect();
  const wide = Math.min(right, innerWidth) - Math.max(left, 0), high = Math.min(bottom, innerHeight) - Math.max(top, 0);
  return Math.max(0, wide) * Math.max(0, high) / ((right - left) * (bottom - top));
})"""
MAP, SLIDERS = "[data-picture=regions]", ".pg-controls input[type=range], .pg-controls select"
# Of the slider in hand: nothing stands before it.
FREE = """(n) => {
  const { left, top, width, height } = n.getBoundingClientRect();
  return document.elementFromPoint(left + width / 2, top + height / 2) === n;
}"""


@pytest.fixture
def visit(chromium, site):
    """Opens a page of the site in a window of some size."""
    opened, wrong = [], []

    def visit(name, width, height, fragment="", unfold="", **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, bypass_csp=True, **options)
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((site / f"{name}.html").as_uri() + fragment)
        if unfold:
            page.get_by_text(unfold).click()
        page.locator(".moe-pg").first.wait_for()
        page.wait_for_function("document.querySelector('.moe-root:has(.moe-pg)').dataset.settled === 'true'")
        return page

    yield visit
    for context in opened:
        context.close()
    assert wrong == []


@pytest.mark.parametrize(
    "fragment", ["", "#preset=spare&steps=600", "#preset=kill&steps=600", "#preset=leaves&steps=600"]
)
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1440, 900)])
def test_on_a_laptop_everything_is_in_sight_at_once(visit, width, height, fragment):
    page = visit("playground", width, height, fragment)
    for part in (".pg-transport", ".pg-timeline", ".pg-start > *", ".pg-story", MAP, ".moe-shares li", SLIDERS):
        seen = page.evaluate(IN_SIGHT, part)
        assert seen
        assert min(seen) > 0.99, part
    side = page.locator(MAP).bounding_box()["width"]
    assert side > 0.4 * height
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_follows_moves_nothing_on_a_laptop(visit):
    page = visit("playground", 1280, 800, "#preset=spare&steps=600")
    before = page.locator(MAP).bounding_box()
    page.get_by_label("Pace", exact=True).select_option("0")
    page.locator(".pg-then").click()
    page.locator(".pg-told table").wait_for()
    assert page.locator(MAP).bounding_box() == before
    assert min(page.evaluate(IN_SIGHT, ".pg-told table")) > 0.99


def move_each_slider(page, width, within=True):
    """Each scrolls into sight, and the map with it; on the playground's own page nothing lies on it."""
    if width < 700:
        page.locator(".pg-controls summary").click()
    for slider in page.locator(SLIDERS).all():
        if not slider.is_visible():
            continue
        slider.evaluate("n => n.scrollIntoView({ block: 'nearest' })")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.evaluate(IN_SIGHT, MAP)[0] > 0.95, slider.evaluate("n => n.labels[0].textContent")
        assert not within or slider.evaluate(FREE), slider.evaluate("n => n.labels[0].textContent")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("fragment", ["#preset=spare&steps=600", "#preset=leaves&steps=600"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024)])
def test_the_map_stays_while_a_slider_is_moved(visit, width, height, fragment):
    page = visit("playground", width, height, fragment, has_touch=width < 700)
    move_each_slider(page, width)


def test_a_large_screen_is_used(visit):
    page = visit("playground", 2560, 1440, "#preset=spare&steps=600")
    wide = page.locator(".moe-pg").bounding_box()["width"]
    assert wide > 0.8 * (2560 - 300)
    parts = (
        ".pg-transport, .pg-controls, .pg-side, .pg-experts, .pg-time, .pg-predictions canvas, .pg-point tbody, " + MAP
    )
    assert min(page.evaluate(IN_SIGHT, parts)) > 0.99  # all of it on one screen
    assert page.locator(MAP).bounding_box()["width"] > 700


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_same_inside_a_lesson(visit, width, height):
    page = visit("05_collapse", width, height, unfold="Open the playground here", has_touch=width < 700)
    move_each_slider(page, width, within=False)
