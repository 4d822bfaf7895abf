"""Over a phone's line no page is heavy, and none moves what is already on the screen."""

import pytest
from on_site import PAGES, SLOW_4G, load_slowly, weigh
from sampled import sampled

SHIFTS = """window.shifted = 0; new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true })"""
NEAR = """[...document.querySelectorAll(".moe-late")].every((late) =>
    late.dataset.mounted || !late.checkVisibility() || late.getBoundingClientRect().top > innerHeight + 500)"""
MOST = 0.1  # of a screen, what Core Web Vitals call good


@pytest.mark.parametrize("width", sampled([390, 1280], kept=[390]))
@pytest.mark.parametrize("name", sampled(PAGES, kept=["playground", "index", "claims"]))
def test_nothing_moves_while_a_page_loads(open_page, name, width):
    page = open_page("404.html", viewport={"width": width, "height": 800})
    page.add_init_script(SHIFTS)
    line = page.context.new_cdp_session(page)
    line.send("Network.emulateNetworkConditions", SLOW_4G | {"downloadThroughput": 4 * SLOW_4G["downloadThroughput"]})
    load_slowly(page, f"{page.home}/{name}.html")
    page.wait_for_function(NEAR)
    page.wait_for_timeout(1000)  # its first pictures are drawn
    assert page.evaluate("shifted") < MOST


@pytest.mark.parametrize("name", sampled(PAGES, kept=["index", "10_edge"]))  # the lightest, and one with most to load
def test_a_page_weighs_little_before_its_first_paint_and_in_all(chromium, served, name):
    page = weigh(chromium, f"{served}/{name}.html")
    assert 20_000 < page.before <= 300_000
    assert page.before <= page.whole <= 1_000_000
    assert page.requests <= 50
