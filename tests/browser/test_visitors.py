"""What the site owes its visitors: links that lead somewhere, a search that knows other names, paper, no JavaScript."""

import re
import threading
from functools import cache
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import expect
from sampled import every

ROOT = Path(__file__).parents[2]
PAGES = ["index", *sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))]
PAGES += ["playground", "how_fast", "claims", "glossary", "notation", "sources"]
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
    assert set(names) >= {f"{page}.html" for page in [*PAGES, "404", "search"]}
    assert {name: wrong for name in names if (wrong := broken(site, read, name))} == {}
    assert sum(len(read(name).links) for name in names) > 500


def test_the_check_sees_what_is_broken(tmp_path):
    (tmp_path / "a.html").write_text('<h1 id="top"></h1><a href="b.html"></a><a href="#top"></a><a href="#gone"></a>')
    with (tmp_path / "a.html").open("a") as file:
        file.write('<img src="https://a.org/a.png"><a href="https://a.org"></a><a href="a.html#preset=kill"></a>')
    found = broken(tmp_path, cache(lambda name: Page(tmp_path / name)), "a.html")
    assert found == ["b.html: no such file", "#gone: no such place", "loads https://a.org/a.png"]


@pytest.fixture(scope="module")
def served(site, read):
    """The site's address on a server that shows 404.html for what is not there, as GitHub's does."""
    root = read("404.html").root
    assert root.startswith("/")

    class Server(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def translate_path(self, path):
            inside = urlsplit(path).path
            return str(site / inside.removeprefix(root)) if inside.startswith(root) else str(site / "outside")

        def send_error(self, code, message=None, explain=None):
            body = (site / "404.html").read_bytes()
            self.send_response(code)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{root}"
    server.shutdown()


@pytest.fixture
def open_page(chromium, served, site):
    """Open a page; what went wrong is in ``page.wrong``."""
    contexts = []

    def open_page(address, scheme="http", **options):
        contexts.append(chromium.new_context(bypass_csp=True, **options))
        page = contexts[-1].new_page()
        page.wrong = []
        page.on("requestfailed", lambda r: page.wrong.append(f"cannot load {r.url}"))
        page.on("pageerror", lambda e: page.wrong.append(f"error {e}"))
        page.on("console", lambda m: m.type == "error" and page.wrong.append(m.text))
        page.goto(f"{served if scheme == 'http' else site.as_uri() + '/'}{address}")
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_where_nothing_stands_a_page_helps_on_at_any_depth(open_page, served):
    page = open_page("old/lessons/01_gone.html")
    missing = [line for line in page.wrong if "404" not in line]  # its own status
    assert missing == []
    assert page.locator("article h1").inner_text().startswith("There is no page here")
    assert page.locator(".moe-lessons a").count() == len(PAGES) - 7
    assert page.evaluate("getComputedStyle(document.querySelector('.moe-lessons')).display") == "grid"
    page.locator(".moe-lessons a").nth(3).click()
    expect(page).to_have_url(f"{served}03_router.html")
    page.go_back()
    page.get_by_role("link", name="Search the course").click()
    expect(page).to_have_url(f"{served}search.html")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_is_and_shows_a_picture(site, name):
    html = (site / f"{name}.html").read_text(encoding="utf-8")
    told = dict(re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)" />', html))
    assert 40 < len(told["description"]) < 400
    assert told["description"] == told["og:description"]
    assert told["og:title"]
    assert "minutes." not in told["description"]
    assert told["og:image"].endswith("_static/moe/card.png")
    assert (site / "_static/moe/card.png").is_file()
    assert told["twitter:card"] == "summary_large_image"


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
    excerpts = page.locator("ul.search li p.context")
    if scheme == "http":
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


@pytest.mark.parametrize("name", every(4, [*PAGES, "404", "search"]))
def test_without_javascript_a_page_reads_and_says_what_is_missing(open_page, name):
    page = open_page(f"{name}.html", java_script_enabled=False)
    assert page.get_by_role("heading", level=1).first.is_visible()
    for place in page.locator(".moe-late").all():
        notice = place.locator("noscript > p")
        if place.locator(".moe-ask").count():  # a question stands there in words
            assert place.text_content().strip()
        else:
            assert notice.text_content() == "What moves here is drawn by JavaScript, which is off."
            assert notice.is_visible() == place.is_visible()  # it is in a fold otherwise
    for place in page.locator(".moe-plotly:visible .moe-alt").all():
        assert place.is_visible()
    assert page.locator("article .math").count() == page.locator("article .math .katex").count()  # set already
    if name == "search":
        assert "JavaScript" in "".join(page.locator("noscript").all_inner_texts())


@pytest.mark.parametrize("name", ["04_training", "11_scale", "index", "playground"])
def test_paper_gets_the_whole_page_in_the_light_theme(open_page, name):
    page = open_page(f"{name}.html", color_scheme="dark", viewport={"width": 1280, "height": 800})
    folds = page.locator("article details:not([open], .moe-root *)")  # a widget's come with it, late
    folded = folds.count()
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")  # Playwright calls what is a function
    page.keyboard.press("Control+p")
    page.wait_for_function("window.printed")
    assert page.wrong == []
    page.emulate_media(media="print")
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert page.locator(".moe-late:not([data-mounted]), .moe-plotly:not([data-drawn=light])").count() == 0
    assert page.locator("article .math:not(:has(.katex))").count() == 0
    for picture in page.locator("article img:visible").all():
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert page.locator("article details:not([open])").count() == 0
    assert page.get_by_role("heading", level=1).first.is_visible()
    for gone in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".prev-next-footer"):
        assert not page.locator(gone).first.is_visible()
    assert page.locator("article :is(button, input[type=range]):visible").count() == 0
    assert page.locator("article .pg-what:visible").count() == 0  # unfolded they would lie over the pictures
    for box in page.locator("article :is(.moe-claim, .moe-figure):visible").all():
        assert box.evaluate("box => getComputedStyle(box).breakInside") == "avoid"
    assert page.pdf()[:4] == b"%PDF"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert folds.count() == folded
    assert page.wrong == []


def test_a_widget_that_comes_while_paper_is_asked_for_comes_once_and_unfolded(open_page, served):
    page = open_page("glossary.html")
    page.route("**/late/*.js", lambda route: None)  # they wait
    with page.expect_request("**/late/*.js"):
        page.goto(f"{served}playground.html", wait_until="domcontentloaded")
    page.evaluate("window.print = () => { window.printed = true; }; window.mounts = 0; 0")
    page.evaluate(
        """new MutationObserver((changes) => (window.mounts += changes.length))
        .observe(document.querySelector(".moe-late"), { childList: true })"""
    )
    page.keyboard.press("Control+p")
    assert page.locator(".moe-root").count() == 0
    assert not page.evaluate("window.printed")
    page.unroute("**/late/*.js")  # which lets them go
    page.wait_for_function("window.printed")
    folds = page.locator(".moe-root details").count()
    assert page.locator("article details:not([open])").count() == 0
    assert page.evaluate("window.mounts") == 1
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert 3 < page.locator(".moe-root details:not([open])").count() < folds  # the controls' was open
    assert page.wrong == []


def test_a_sheet_that_was_printed_too_early_says_so(open_page):
    page = open_page("05_collapse.html")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("html").get_attribute("data-waiting") == ""
    page.emulate_media(media="print")
    said = page.evaluate("getComputedStyle(document.querySelector('.bd-article'), '::before').content")
    assert "had not loaded" in said


@pytest.mark.parametrize("width", [1280, 1920, 2560])
def test_a_wide_screen_is_used_and_lines_stay_readable(open_page, width):
    page = open_page("05_collapse.html", viewport={"width": width, "height": 900})
    line = page.locator("article section > p").first.bounding_box()["width"]
    code = page.locator("article div.cell_input").first.bounding_box()["width"]
    assert line <= 720
    assert code > 900 if width > 1500 else code <= 720
    assert page.evaluate("document.documentElement.scrollWidth") <= width
