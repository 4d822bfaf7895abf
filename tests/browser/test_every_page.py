"""One sweep over the built site: each page, at three widths and in both themes, on a server and opened as a file.

It is read as a reader does, from its top to its end, first with its folds closed and then with all of them open.
"""

import re
from functools import cache
from itertools import product
from urllib.parse import unquote

import pytest
from on_page import faults
from on_site import PAGES, read_on, unfold
from playwright.sync_api import TimeoutError
from sampled import sampled

LOOKS = [*product((360, 768, 1280), (("light", "http"), ("dark", "file")))]
VISITS = [(name, width, *look) for name in PAGES for width, look in LOOKS]
# Each look once, on a page in every four.
SAMPLE = [VISITS[len(LOOKS) * 4 * n + n] for n in range(len(LOOKS))]

# What a widget shows.
SHOWN = """el => [el.innerText, ...[...el.querySelectorAll('canvas')].map(c => c.toDataURL()),
               ...[...el.querySelectorAll('svg, img, .moe-out')].map(s => s.outerHTML)].join()"""
LINKS = "[...new Set([...document.querySelectorAll('a[href]')].map((link) => link.href))]"
# How many of a picture's drawings are shown: it has one for each theme and width.
DRAWINGS = """[...document.querySelectorAll('.moe-figure:has(img)')].filter((el) => el.checkVisibility()).map(
    (el) => [...el.querySelectorAll('img')].filter((img) => img.checkVisibility() && img.naturalWidth).length)"""


@cache
def ids(file):
    return set(re.findall(r'\b(?:id|name)="([^"]*)"', file.read_text(encoding="utf-8")))


def broken(page, site):
    """The links of a page that lead nowhere."""
    found = []
    for address in page.evaluate(LINKS):
        path, _, place = unquote(address).removeprefix(f"{page.home}/").partition("#")
        file = site / (path.partition("?")[0] or "index.html")
        if address.startswith(("https://", "mailto:", "data:")):
            continue
        if not file.is_file() or (place and "=" not in place and file.suffix == ".html" and place not in ids(file)):
            found.append(address)
    return found


def move_sliders(page):
    """Move each slider of a widget, which has to change what the widget shows. Returns how many there are.

    There is no kernel: the answers were computed when the site was built, or the page computes them.
    """
    moved = 0
    for widget in page.locator(".moe-late").all():
        for slider in widget.locator("input[type=range]").all():
            if not slider.is_visible() or slider.is_disabled():
                continue
            before = widget.evaluate(SHOWN)
            slider.press("End" if slider.evaluate("s => s.value !== s.max") else "Home")
            try:
                page.wait_for_function(f"([el, old]) => ({SHOWN})(el) !== old", arg=[widget.element_handle(), before])
            except TimeoutError:
                pytest.fail(f"{slider.get_attribute('aria-label')} changes nothing")
            moved += 1
    return moved


@pytest.mark.parametrize(("name", "width", "theme", "scheme"), sampled(VISITS, kept=SAMPLE))
def test_a_page_is_whole(open_page, site, axe, name, width, theme, scheme):
    phone = {"has_touch": True, "is_mobile": True} if width < 500 else {}
    page = open_page(f"{name}.html", scheme, viewport={"width": width, "height": 800}, color_scheme=theme, **phone)
    assert page.locator("html").get_attribute("data-theme") == theme
    for show in (lambda page: None, unfold):
        show(page)
        read_on(page)
        assert faults(page, axe) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert set(page.evaluate(DRAWINGS)) <= {1}
    assert broken(page, site) == []
    assert move_sliders(page) or name != "05_collapse"
    assert page.wrong == []


def test_where_nothing_stands_a_page_helps_on_at_any_depth(open_page, site):
    page = open_page("old/lessons/01_gone.html")
    assert [line for line in page.wrong if "404" not in line] == []  # its own status
    assert [address for address in broken(page, site) if not address.startswith(page.url)] == []
    page.get_by_role("link", name="Search the course").click()
    page.wait_for_url("**/search.html")
