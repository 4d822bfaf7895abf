"""Every page of the built site in a real browser: offline, in both themes, wide and narrow."""

import gzip
import json
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError, expect
from sampled import every, sampled

from moe_tutorial.show.playground import PRESETS

ROOT = Path(__file__).parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
PAGES = ["index", *LESSONS, "playground", "how_fast", "claims", "glossary", "notation", "sources"]
# What a lesson calls for a widget with sliders.
SLIDERS = re.compile(
    r"^(sweep|explore_router|watch_training|watch_usage|train_live|playground)\(|^guess\([^=]*slider=", re.MULTILINE
)

# The contrast of each visible text with what it stands on, for the texts of a page; WCAG's formula.
CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (el) => {
    for (; el; el = el.parentElement) {
      const c = parse(getComputedStyle(el).backgroundColor);
      if (c[3] === undefined || c[3] > 0.5) return c;
    }
    return [255, 255, 255];
  };
  const low = [];
  const walk = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const el = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || el.closest("script, style, .katex, .headerlink, button, option, svg")) continue;
    if (!el.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })) continue;
    const [a, b] = [light(parse(getComputedStyle(el).color)), light(ground(el))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${text.slice(0, 40)}: ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return low;
}"""


class Quiet(SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served(site):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def open_page(chromium, served, site):
    """Open a page in a context of its own and wait until it has drawn itself; what went wrong is in ``page.wrong``."""

    def open_page(name, *, scheme="http", theme="light", width=1280):
        # The page's policy would also forbid the tests' own questions; see test_a_page_works_under_its_own_policy.
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True)
        page = context.new_page()
        page.wrong = []
        allowed = (served, site.as_uri(), "data:")
        page.on("request", lambda r: r.url.startswith(allowed) or page.wrong.append(f"asks {r.url}"))
        page.on("requestfailed", lambda r: page.wrong.append(f"cannot load {r.url}"))
        page.on("response", lambda r: r.status >= 400 and page.wrong.append(f"{r.status} {r.url}"))
        page.on("pageerror", lambda e: page.wrong.append(f"error {e}"))
        page.on("console", lambda m: m.type == "error" and page.wrong.append(m.text))
        page.goto(f"{served if scheme == 'http' else site.as_uri()}/{name}.html")
        page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
        for box in page.locator(".moe-plotly, .moe-late, .moe-figure img:visible").all():  # they come with the reader
            box.scroll_into_view_if_needed()
            page.wait_for_function(
                "box => box.complete || box.dataset.drawn || box.dataset.mounted", arg=box.element_handle()
            )
        page.evaluate("scrollTo(0, 0)")
        page.evaluate("document.fonts.ready")
        page.wait_for_load_state("networkidle")
        return page

    return open_page


@pytest.fixture
def visit(open_page):
    """Open pages for one test, which may change them."""
    pages = []

    def visit(name, **options):
        pages.append(open_page(name, **options))
        return pages[-1]

    yield visit
    for page in pages:
        page.context.close()


WAYS = (("http", "light"), ("file", "dark"))  # each page goes one of them, nightly both
VISITS = [
    pytest.param((name, *way), marks=() if (page + number) % 2 == 0 else pytest.mark.nightly)
    for page, name in enumerate(PAGES)
    for number, way in enumerate(WAYS)
]


@pytest.fixture(scope="module", params=VISITS, ids="-".join)
def at_rest(request, open_page):
    """A page that several tests look at and none touches, served or opened from a folder; then comes the next one."""
    name, scheme, theme = request.param
    page = open_page(name, scheme=scheme, theme=theme)
    page.theme = theme
    yield page
    page.context.close()


@pytest.fixture(scope="module", params=LESSONS)
def in_use(request, open_page):
    """A lesson's page whose controls are moved, each kind by a test of its own."""
    page = open_page(request.param)
    page.name = request.param
    yield page
    page.context.close()


def test_the_site_has_a_page_for_every_lesson(site):
    assert LESSONS
    assert {path.stem for path in site.glob("*.html")} >= {*PAGES, "index", "search"}


def test_every_page_names_an_icon_that_is_there(site):
    """A browser asks a page that names none for /favicon.ico: a 404, now and then."""
    for path in site.glob("*.html"):
        if path.stem == "404":  # its addresses begin at the host: see test_owed
            continue
        icons = re.findall(r'<link rel="icon" href="([^"]+)"', path.read_text(encoding="utf-8"))
        assert len(icons) == 1, path.name
        assert (site / icons[0]).is_file(), path.name


def test_a_page_asks_nothing_of_another_host_and_has_no_error(at_rest):
    assert at_rest.wrong == []


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_nor_does_the_search(visit, scheme):
    assert visit("search", scheme=scheme).wrong == []


@pytest.fixture
def under_policy(chromium, served, site):
    """Open a page as a reader does, under its Content-Security-Policy, and scroll to its end."""
    contexts = []

    def under_policy(name, scheme):
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.wrong = []
        page.on("pageerror", lambda e: page.wrong.append(f"error {e}"))
        page.on("console", lambda m: m.type == "error" and page.wrong.append(m.text))
        page.goto(f"{served if scheme == 'http' else site.as_uri()}/{name}.html")
        page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
        for kind, done in ((".moe-late", "data-mounted"), (".moe-plotly", "data-drawn")):
            for part in page.locator(kind).all():
                part.scroll_into_view_if_needed()
                expect(part).to_have_attribute(done, re.compile("."))
        page.wait_for_load_state("networkidle")
        return page

    yield under_policy
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("name", sampled(PAGES, kept=("index", "04_training")))
def test_a_page_works_under_its_own_policy(under_policy, name, scheme):
    assert under_policy(name, scheme).wrong == []


def test_a_page_runs_no_script_that_the_build_does_not_know(under_policy):
    page = under_policy("03_router", "http")
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.planted = 1";
      document.body.append(script);
    }""")
    assert page.evaluate("window.planted") is None
    assert "Content Security Policy" in " ".join(page.wrong)


def test_on_the_front_page_four_experts_divide_the_plane_when_asked_to(visit):
    page = visit("index")
    hero = page.locator(".moe-late .moe-root")
    assert hero.get_attribute("data-step") == "0"
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("document.querySelector('.moe-root').dataset.step >= 60")
    page.get_by_role("button", name="Pause").click()
    step = int(hero.get_attribute("data-step"))
    assert page.locator(".moe-hero .moe-title").inner_text().startswith(f"After {step} steps the four get")
    page.wait_for_timeout(300)  # nothing may happen
    assert hero.get_attribute("data-step") == str(step)
    assert page.locator(".moe-lessons li").count() == len(LESSONS)
    assert page.wrong == []


def test_the_front_page_counts_what_this_build_measured(visit):
    claims = visit("claims").locator(".moe-claim").count()
    assert visit("index").locator(".moe-measured b").first.inner_text() == str(claims)


@pytest.mark.parametrize("name", ["index", "00_start_here"])
def test_without_javascript_a_page_says_what_is_missing(chromium, served, name):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served}/{name}.html")
    notices = page.locator(".moe-late noscript > p")  # Playwright's search for a text passes over noscript
    assert {text.strip() for text in notices.all_text_contents()} == {
        "What moves here is drawn by JavaScript, which is off."
    }
    assert notices.first.is_visible()
    context.close()


def test_everything_shows_in_both_themes(at_rest):
    page = at_rest
    assert page.locator("html").get_attribute("data-theme") == page.theme
    assert page.evaluate(CONTRAST) == []
    assert page.locator("article .math > :is(.katex, .katex-display)").count() == page.locator("article .math").count()
    for kind in (".moe-figure", ".moe-plotly .main-svg", ".moe-late", ".moe-claim"):
        for box in page.locator(kind).all():
            if kind == ".moe-plotly .main-svg" or box.is_visible():
                assert box.bounding_box()["width"] > 100, kind
    for figure in page.locator(".moe-figure").all():
        if figure.locator("table, svg").count():
            assert figure.locator("table, svg").first.is_visible()
            continue
        drawn = [image for image in figure.locator("img").all() if image.is_visible()]
        assert len(drawn) == 1
        assert drawn[0].evaluate("image => image.naturalWidth") > 0
        assert drawn[0].get_attribute("alt")


@pytest.mark.parametrize("name", every(3, PAGES))
def test_a_phone_scrolls_down_only(visit, name):
    page = visit(name, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.wrong == []


# What a plotly picture shows: its marks, without its slider.
DRAWING = "el => [...el.querySelectorAll('.cartesianlayer, .legend')].map(part => part.outerHTML).join()"


def test_each_widget_slider_changes_what_its_widget_shows(in_use):
    """With no kernel: the answers were computed when the site was built, or the page computes them."""
    page, moved = in_use, 0
    state = """el => [el.innerText, ...[...el.querySelectorAll('canvas')].map(c => c.toDataURL()),
                      ...[...el.querySelectorAll('svg, img, .moe-out')].map(s => s.outerHTML)].join()"""
    for widget in page.locator(".moe-late").all():
        for slider in widget.locator("input[type=range]").all():
            if not slider.is_visible() or slider.is_disabled():
                continue
            before = widget.evaluate(state)
            slider.focus()
            slider.press("End" if slider.evaluate("s => s.value !== s.max") else "Home")
            changed = f"([el, before]) => ({state})(el) !== before"
            try:
                page.wait_for_function(changed, arg=[widget.element_handle(), before])
            except TimeoutError:
                pytest.fail(f"{slider.get_attribute('aria-label')} changes nothing")
            moved += 1
    source = (ROOT / "notebooks" / f"{page.name}.py").read_text(encoding="utf-8")
    assert (moved > 0) == bool(SLIDERS.search(source)), f"{moved} sliders moved"
    assert page.wrong == []


def test_each_plotly_slider_moves_its_picture_and_keeps_its_place_in_the_other_theme(in_use):
    page = in_use
    boxes = [box for box in page.locator(".moe-plotly").all() if box.locator(".slider-container").count()]
    for box in boxes:
        before = box.evaluate(DRAWING)
        area = box.locator(".slider-rail-touch-rect").first
        area.scroll_into_view_if_needed()
        place = area.bounding_box()
        active = "el => el.querySelector('.moe-plot').layout.sliders[0].active ?? 0"
        first = box.evaluate(active) == 0
        page.mouse.click(place["x"] + place["width"] * (0.95 if first else 0.05), place["y"] + place["height"] / 2)
        page.wait_for_function(f"([el, before]) => ({DRAWING})(el) !== before", arg=[box.element_handle(), before])
    kept = [box.evaluate(active) for box in boxes]
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function("[...document.querySelectorAll('.moe-plotly')].every(box => box.dataset.drawn === 'dark')")
    assert [box.evaluate(active) for box in boxes] == kept
    assert page.wrong == []


def test_the_course_has_something_to_move(visit):
    plotly = widgets = 0
    for name in LESSONS:
        page = visit(name)
        plotly += page.locator(".moe-plotly .slider-container").count()
        widgets += page.locator(".moe-late input[type=range]").count()
        if plotly + widgets >= 2:
            break
    assert plotly + widgets >= 2


def test_every_claim_of_every_lesson_stands_on_the_page_of_claims(visit):
    from moe_tutorial.course.executed import printed
    from moe_tutorial.study.claims import read_claims

    claims = []
    for name in LESSONS:
        cells = json.loads((ROOT / f"notebooks/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        outputs = [o | {"text": "".join(o["text"])} for c in cells for o in c.get("outputs", []) if "text" in o]
        claims += read_claims(printed(outputs))
    page = visit("claims")
    assert page.locator(".moe-claim").count() == len(claims) > 0
    untimed = sum(not claim.timed for claim in claims)  # a time may be another machine's
    assert page.locator(".moe-claim.holds").count() >= untimed
    assert page.locator(".moe-claim.fails").count() == 0
    assert page.locator(".moe-claim h3").all_inner_texts() == [claim.statement for claim in claims]
    page.locator(".moe-claim a").first.click()
    page.wait_for_url("**#claim-*")
    expect(page.locator(":target")).to_be_visible()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_a_lesson_offline(visit, scheme):
    page = visit("search", scheme=scheme)
    page.locator("article input[type=search], .bd-article input[type=search], #search-input, input[name=q]").locator(
        "visible=true"
    ).first.fill("router")
    page.keyboard.press("Enter")
    page.locator("#search-results li a, ul.search li a").first.wait_for()
    assert page.wrong == []


def test_the_sweep_of_noise_and_balance_moves_to_each_of_its_settings(visit):
    """Two sliders of six stops each, without a kernel: every pair shows numbers of its own setting."""
    page = visit("07_balance")
    widget = page.locator(".moe-widget", has=page.get_by_role("slider", name="Noise", exact=True))
    noise, balance = (
        widget.get_by_role("slider", name="Noise", exact=True),
        widget.get_by_role("slider", name="Switch loss"),
    )
    shown = set()
    for slider in (noise, balance):
        assert slider.get_attribute("max") == "5"
    for row in range(6):
        noise.fill(str(row))
        for column in range(6):
            balance.fill(str(column))
            said = [slider.get_attribute("aria-valuetext") for slider in (noise, balance)]
            note = widget.locator(".moe-out p").nth(1).inner_text()
            assert note.startswith(f"Noise {said[0]}, Switch loss {said[1]},")
            shown.add(widget.locator(".moe-out").inner_text())
    assert len(shown) == 36


def test_the_token_view_follows_a_character_and_an_expert_without_a_kernel(visit):
    page = visit("08_moe_gpt")
    widget = page.locator(".moe-widget", has=page.locator(".moe-reader"))
    experts = "el => [...el.querySelectorAll('[role=option]')].map((c) => c.dataset.e)"
    last = widget.evaluate(experts)
    widget.get_by_label("Block 1", exact=True).check(force=True)
    first = widget.evaluate(experts)
    assert len(first) == len(last) == 3 * 192
    assert first != last
    widget.get_by_role("option").nth(100).click()
    said = widget.locator(".moe-panel").inner_text()
    assert said.startswith("Character 101 of 576")
    assert f"Block 1 {first[100]} " in " ".join(said.split())
    assert f"Block 2 {last[100]} " in " ".join(said.split())
    widget.locator(".moe-takes button").nth(int(first[100])).click()
    assert {e for e in widget.evaluate(experts) if e} == {first[100]}
    assert page.wrong == []


def test_a_link_to_an_experiment_opens_it(visit, site):
    pages = [(site / f"{name}.html").read_text(encoding="utf-8") for name in PAGES]
    links = set(re.findall(r'href="[^"#]*#(preset=[^"]*)"', "".join(pages)))
    assert links == {f"preset={name}" for name in PRESETS}
    page = visit("04_training")
    page.locator("a[href*='#preset=deaf']").click()
    page.wait_for_function("document.querySelector('.moe-root')?.dataset.settled === 'true'")
    assert page.locator(".pg-try .pg-chip[aria-pressed=true]").inner_text() == "The gate that cannot learn"
    page.locator("a[href='#preset=hash']").click()  # further down on the same page
    page.get_by_text("A hash scatters the plane").wait_for()
    assert page.evaluate("document.querySelector('.moe-root').getBoundingClientRect().top") < 900
    assert page.wrong == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_light_enough_for_a_phone(site, name):
    assert len(gzip.compress((site / f"{name}.html").read_bytes())) < 2_000_000


def test_the_lock_names_no_host_and_pins_what_the_site_serves():
    web = ROOT / "moe_tutorial/course/web"
    lock = json.loads((web / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
    wanted = json.loads((web / "package.json").read_text())["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())
