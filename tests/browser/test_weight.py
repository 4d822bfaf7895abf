"""No page is heavy: over a phone's line, as bytes travel, until it first shows something and read to its end."""

import pytest
from on_site import PAGES, serving, weigh
from sampled import sampled

SAMPLE = ("index", "05_collapse", "10_edge")  # the lightest, and the two with most to load


@pytest.mark.parametrize("name", sampled(PAGES, kept=SAMPLE))
def test_a_page_weighs_little_before_its_first_paint_and_in_all(chromium, site, name):
    with serving(site) as address:
        page = weigh(chromium, f"{address}/{name}.html")
    assert 20_000 < page.before <= 300_000
    assert page.before <= page.whole <= 1_000_000
    assert page.requests <= 50
