"""What the site owes its visitors: links that lead somewhere, a search that knows other names, paper, no JavaScript."""

import re
from functools import cache
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from on_site import PAGES
from playwright.sync_api import expect
from sampled import every

LOADED = {"script", "img", "source", "iframe", "video", "audio", "embed", "object"}  # and link, but for its canonical


class Page(HTMLParser):
    """A page's anchors, and what it links to or loads, as (tag, address)."""

    def __init__(self, file):
        super().__init__()
        self.ids, self.links, self.root = set(), [], ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        self.root = attributes.get("data-content_root", self.root)
        kind = "canonical" if attributes.get("rel") == "canonical" else tag
        addresses = [attributes[name] for name in ("href", "src", "action", "data", "poster") if attributes.get(name)]
        addresses += [each.split()[0] for each in attributes.get("srcset", "").split(",") if each.strip()]
        self.links += [(kind, address) for address in addresses]


@pytest.fixture(scope="module")
def read(site):
    """A page of the site, read once."""
    return cache(lambda name: Page(site / name))


def broken(site, read, name):
    """The links of a page that lead nowhere, and what it loads from elsewhere."""
    found = []
    page = read(name)
    for tag, address in page.links:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") or parts.netloc:
            found += [f"loads {address}"] if tag in LOADED or tag == "link" else []
            continue
        if parts.scheme:  # data:, mailto:
            continue
        path = unquote(parts.path)
        if name == "404.html" and path:
            if not path.startswith(page.root):
                found.append(f"{address} does not begin at {page.root}")
            path = path.removeprefix(page.root)
        target = path or name
        if not (site / target).is_file():
            found.append(f"{address}: no such file")
            continue
        place = unquote(parts.fragment)
        if place and "=" not in place and target.endswith(".html") and place not in read(target).ids:
            found.append(f"{address}: no such place")
    return found


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_another_host(site, read):
    names = sorted(path.name for path in site.glob("*.html"))
    assert set(names) >= {f"{page}.html" for page in [*PAGES, "404"]}
    assert {name: wrong for name in names if (wrong := broken(site, read, name))} == {}
    assert sum(len(read(name).links) for name in names) > 500


def test_where_nothing_stands_a_page_helps_on_at_any_depth(open_page, served):
    page = open_page("old/lessons/01_gone.html")
    assert [line for line in page.wrong if "404" not in line] == []  # its own status
    assert page.locator("article h1").inner_text().startswith("There is no page here")
    assert page.evaluate("getComputedStyle(document.querySelector('.moe-lessons')).display") == "grid"
    page.locator(".moe-lessons a").nth(3).click()
    expect(page).to_have_url(f"{served}/03_router.html")
    page.go_back()
    page.get_by_role("link", name="Search the course").click()
    expect(page).to_have_url(f"{served}/search.html")


@pytest.mark.parametrize("name", [page for page in PAGES if page != "search"])
def test_a_page_says_what_it_is_and_shows_a_picture_and_an_icon(site, name):
    html = BeautifulSoup((site / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    told = {meta.get("name") or meta.get("property"): meta["content"] for meta in html.select("meta[content]")}
    assert 40 < len(told["description"]) < 400
    assert not re.search(r"\d minutes\.", told["description"])  # a lesson's first words
    assert (site / "_static/moe/card.png").is_file()
    assert told["twitter:card"] == "summary_large_image"
    assert len(html.select('link[rel="icon"]')) == 1  # or a browser asks for /favicon.ico


SEARCHES = {
    "auxiliary loss": "07_balance",
    "load balancing loss": "07_balance",
    "gating network": "03_router",
    "MLP": "01_why_experts",
    "mixtral": "14_capstone",
    "switch transformer": "03_router",
    "conditional computation": "01_why_experts",
    "sparsity": "01_why_experts",
    "dead experts": "05_collapse",
    "KV cache": "08_moe_gpt",
    "SwiGLU": "14_capstone",
    "router": "03_router",
}


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("words", every(4, SEARCHES))
def test_a_search_by_the_fields_words_finds_the_lesson(open_page, words, scheme):
    page = open_page(f"search.html?q={words.replace(' ', '+')}", scheme)
    page.get_by_text("Search finished").wait_for()
    page.wait_for_load_state("networkidle")
    found = [link.get_attribute("href") for link in page.locator("ul.search li a").all()]
    assert any(address.startswith(f"{SEARCHES[words]}.html") for address in found[:5]), found
    pages = [address.split(".html")[0] for address in found]
    assert len(pages) == len(set(pages))
    excerpts = page.locator("ul.search li p.context")
    if scheme == "http":
        assert not any("import torch" in text for text in excerpts.all_inner_texts())
        assert excerpts.count() == len(found)
        assert any(len(text) > 60 for text in excerpts.all_inner_texts()[:3])
    else:
        assert excerpts.count() == 0
    assert page.wrong == []


def test_a_term_leads_to_the_glossary_and_says_what_it_means(open_page):
    page = open_page("03_router.html")
    term = page.locator("a.moe-term", has_text=re.compile("^gate weights$")).first
    assert term.get_attribute("title").startswith("The number that a chosen expert's output is multiplied by")
    assert page.locator("a.moe-term[href$='#term-gate-weight']").count() == 1
    assert page.locator(":is(h1, h2, h3, pre, .moe-claim) a.moe-term").count() == 0
    term.click()
    assert page.locator("dt:target").inner_text() == "gate weight"


def test_the_first_touch_of_a_term_shows_its_meaning_and_the_second_follows_it(open_page):
    page = open_page("03_router.html", has_touch=True, is_mobile=True)
    one, other = page.locator("a.moe-term").nth(0), page.locator("a.moe-term").nth(1)
    for term in (one, other):
        term.tap()
        assert page.locator(".moe-meaning").all_inner_texts() == [term.get_attribute("title")]
    page.locator("article h1").tap()
    assert page.locator(".moe-meaning").count() == 0
    for _ in range(2):
        one.tap()
    page.wait_for_url("**/glossary.html#term-*")


def test_a_result_shows_the_words_unveiled_and_no_other_page_does(open_page):
    page = open_page("search.html?q=temperature")
    page.locator("ul.search li a[href^='03_router.html']").first.click()
    page.locator(".highlighted").first.wait_for(state="attached")
    assert page.locator(".moe-veiled").count() == 0
    page = open_page("search.html?q=temperature")
    page.get_by_text("Search finished").wait_for()
    page.locator("nav.bd-links a[href='03_router.html']").click()
    page.locator(".moe-veiled").first.wait_for()
    assert page.locator(".highlighted").count() == 0


def test_each_lesson_leads_to_the_commands_that_run_it(open_page):
    page = open_page("03_router.html")
    page.get_by_role("link", name="Run it yourself").first.click()
    page.wait_for_url("**/index.html#run-it-yourself")
    assert "make lab" in page.locator("#run-it-yourself pre").inner_text()


@pytest.mark.parametrize("name", every(4, [*PAGES, "404"]))
def test_without_javascript_a_page_reads_and_says_what_is_missing(open_page, name):
    page = open_page(f"{name}.html", java_script_enabled=False)
    assert page.get_by_role("heading", level=1).first.is_visible()
    for place in page.locator(".moe-late").all():
        notice = place.locator("noscript > p")
        if place.locator(".moe-ask, .moe-live").count():  # a question in words, or the front page's still
            assert place.text_content().strip()
        else:
            assert notice.text_content() == "What moves here is drawn by JavaScript, which is off."
            assert notice.is_visible() == place.is_visible()  # it is in a fold otherwise
    for place in page.locator(".moe-plotly:visible .moe-alt").all():
        assert place.is_visible()
    assert page.locator("article .math").count() == page.locator("article .math .katex").count()  # set already
    if name == "search":
        assert "JavaScript" in "".join(page.locator("noscript").all_inner_texts())


def test_a_fold_opens_by_keyboard_and_without_javascript(open_page):
    page = open_page("02_experts.html", java_script_enabled=False)
    fold = page.locator("details.moe-fold").first
    assert not fold.locator("pre").first.is_visible()
    fold.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(fold.locator("pre").first).to_be_visible()


def test_a_claim_in_a_fold_shows_when_its_address_is_opened(open_page):
    expect(open_page("11_scale.html#claim-11-6").locator("#claim-11-6")).to_be_visible()


def test_paper_gets_the_whole_page_in_the_light_theme(open_page):
    """A lesson with folds, pictures, a widget and plotly; afterwards it is as it was."""
    page = open_page("09_modern_moe.html", color_scheme="dark")
    folds = page.locator("article details:not([open], .moe-root *)")  # a widget's come with it, late
    folded = folds.count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # from the browser's menu: too early
    page.emulate_media(media="print")
    said = page.evaluate("getComputedStyle(document.querySelector('.bd-article'), '::before').content")
    assert "had not loaded" in said
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")  # Playwright calls what is a function
    page.keyboard.press("Control+p")
    page.wait_for_function("window.printed")
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert page.locator(".moe-late:not([data-mounted]), .moe-plotly:not([data-drawn=light])").count() == 0
    for picture in page.locator("article img:visible").all():
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert page.locator("article details:not([open])").count() == 0
    assert not page.locator(".bd-sidebar-primary").first.is_visible()
    assert page.locator("article :is(button, input[type=range]):visible").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert folds.count() == folded
    assert page.wrong == []


@pytest.mark.parametrize("width", [1280, 1920, 2560])
def test_a_wide_screen_is_used_and_lines_stay_readable(open_page, width):
    page = open_page("05_collapse.html", viewport={"width": width, "height": 900})
    line = page.locator("article section > p").first.bounding_box()["width"]
    code = page.locator("article div.cell_input").first.bounding_box()["width"]
    assert line <= 720
    assert code > 900 if width > 1500 else code <= 720
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_answers_two_guesses_stays_hidden_until_both_are_answered(open_page):
    page = open_page("07_balance.html")
    notices, slider = page.locator(".moe-veiled"), page.locator(".moe-veil-07-hash.moe-veil-07-strength").first
    code = page.locator(".cell:has(> .moe-veil-07-hash.moe-veil-07-strength) + .moe-how").first
    for _ in range(3):  # the first guess of the page, and the two that the slider answers
        expect(slider).to_be_hidden()
        expect(code).to_be_hidden()
        notices.first.get_by_role("button", name="show it").click()
    expect(notices).to_have_count(0)
    expect(slider).to_be_visible()
    expect(code).to_be_visible()
