"""Every page of the built site, read once from its top to its end: it shows all, moves all, and asks nobody."""

import json
import re
from pathlib import Path

import pytest
from on_site import PAGES, SCREEN, opening, read_on, unfold
from playwright.sync_api import TimeoutError, expect
from sampled import sampled

from moe_tutorial.show.playground import PRESETS
from moe_tutorial.show.widgets.claim_list import stored

ROOT = Path(__file__).parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
# What a lesson calls for a widget with sliders.
SLIDERS = re.compile(
    r"^(sweep|explore_router|watch_training|watch_usage|watch_layer|playground)\(|^guess\([^=]*slider=", re.MULTILINE
)
LONGEST, SOON, WORDS = 12 * SCREEN["height"], 1.5 * SCREEN["height"], 1200
LISTS = ("claims", "glossary", "sources", "instructors", "search")  # nobody reads these from top to bottom

# Where the first picture or widget stands, and the longest run of words without something to look at or do.
MEASURE = """() => {
  // A guess shows nothing yet; a veil stands for the picture that it hides.
  const pictures = ".moe-figure, .moe-plotly, .moe-late:not(:has(.moe-ask)), .moe-veiled";
  const stops = `${pictures}, .moe-guess, .moe-ask, .moe-claim, table`;
  const article = document.querySelector("article") ?? document.body; // the search has none
  const first = [...article.querySelectorAll(pictures)].find((el) => el.checkVisibility());
  const walk = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  let words = 0, longest = 0, ends = "";
  while (walk.nextNode()) {
    const el = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || !el.checkVisibility() || el.closest("script, style, noscript, .math, .headerlink")) continue;
    words = el.closest(stops) ? 0 : words + text.split(/\\s+/).length;
    if (words > longest) [longest, ends] = [words, text.slice(0, 60)];
  }
  return {
    height: document.documentElement.scrollHeight,
    first: first ? Math.round(first.getBoundingClientRect().top + scrollY) : Infinity,
    words: longest,
    ends,
  };
}"""
# What a widget shows, and what a plotly picture shows: its marks, without its slider.
SHOWN = """el => [el.innerText, ...[...el.querySelectorAll('canvas')].map(c => c.toDataURL()),
               ...[...el.querySelectorAll('svg, img, .moe-out')].map(s => s.outerHTML)].join()"""
DRAWING = "el => [...el.querySelectorAll('.cartesianlayer, .legend')].map(part => part.outerHTML).join()"
ACTIVE = "el => el.querySelector('.moe-plot').layout.sliders[0].active ?? 0"

# By how much the page has moved under the reader's eyes (cumulative layout shift).
SHIFTED = """new Promise((done) => {
  const add = (list) => done(list.getEntries().reduce((sum, shift) => sum + shift.value, 0));
  new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(0), 500); // there was none
})"""

WAYS = (("http", "light"), ("file", "dark"))  # each page goes one of them, nightly both
VISITS = [
    pytest.param((name, *way), marks=() if (page + number) % 2 == 0 else pytest.mark.nightly)
    for page, name in enumerate(PAGES)
    for number, way in enumerate(WAYS)
]


@pytest.fixture(scope="module", params=VISITS, ids="-".join)
def page(request, chromium, served, site):
    """A page that was read to its end twice: as it opens, where it is measured, and with all of its folds open."""
    name, scheme, theme = request.param
    with opening(chromium, served, site) as open_page:
        page = open_page(f"{name}.html", scheme, color_scheme=theme)
        read_on(page)
        page.name, page.theme, page.folded = name, theme, page.evaluate(MEASURE)
        unfold(page)
        read_on(page)
        yield page


def test_a_page_is_short_shows_something_soon_and_does_not_talk_for_long(page):
    assert page.folded["words"] <= WORDS, f"up to: {page.folded['ends']}"
    if page.name not in LISTS:
        assert page.folded["height"] <= LONGEST
        assert page.folded["first"] <= SOON


def test_a_page_asks_nothing_of_another_host_and_shows_all_in_its_theme(page):
    assert page.wrong == []
    assert page.locator("html").get_attribute("data-theme") == page.theme
    assert page.locator("article .math > :is(.katex, .katex-display)").count() == page.locator("article .math").count()
    for kind in (".moe-figure", ".moe-plotly .main-svg", ".moe-late", ".moe-claim"):
        for box in page.locator(kind).all():
            if kind == ".moe-plotly .main-svg" or box.is_visible():
                assert box.bounding_box()["width"] > 100, kind
    for figure in page.locator(".moe-figure:not(:has(table, svg, [role=list]))").all():
        drawn = [image for image in figure.locator("img").all() if image.is_visible()]
        assert len(drawn) == 1
        assert drawn[0].evaluate("image => image.naturalWidth") > 0
        assert drawn[0].get_attribute("alt")


def test_each_slider_of_a_widget_changes_what_it_shows(page):
    """With no kernel: the answers were computed when the site was built, or the page computes them."""
    moved = 0
    for widget in page.locator(".moe-late").all():
        for slider in widget.locator("input[type=range]").all():
            if not slider.is_visible() or slider.is_disabled():
                continue
            before = widget.evaluate(SHOWN)
            slider.focus()
            slider.press("End" if slider.evaluate("s => s.value !== s.max") else "Home")
            try:
                page.wait_for_function(f"([el, old]) => ({SHOWN})(el) !== old", arg=[widget.element_handle(), before])
            except TimeoutError:
                pytest.fail(f"{slider.get_attribute('aria-label')} changes nothing")
            moved += 1
    source = ROOT / "notebooks" / f"{page.name}.py"
    has_sliders = source.exists() and SLIDERS.search(source.read_text(encoding="utf-8"))
    assert (moved > 0) == bool(has_sliders), f"{moved} sliders moved"
    assert page.wrong == []


def test_each_slider_of_plotly_moves_its_picture_and_keeps_its_place_in_the_other_theme(page):
    boxes = [box for box in page.locator(".moe-plotly").all() if box.locator(".slider-container").count()]
    for box in boxes:
        before = box.evaluate(DRAWING)
        area = box.locator(".slider-rail-touch-rect").first
        area.scroll_into_view_if_needed()
        place = area.bounding_box()
        across = 0.95 if box.evaluate(ACTIVE) == 0 else 0.05
        page.mouse.click(place["x"] + place["width"] * across, place["y"] + place["height"] / 2)
        page.wait_for_function(f"([el, old]) => ({DRAWING})(el) !== old", arg=[box.element_handle(), before])
    kept = [box.evaluate(ACTIVE) for box in boxes]
    other = "dark" if page.theme == "light" else "light"
    page.evaluate(f"document.documentElement.dataset.theme = '{other}'")
    page.wait_for_function(f"[...document.querySelectorAll('.moe-plotly')].every(b => b.dataset.drawn === '{other}')")
    assert [box.evaluate(ACTIVE) for box in boxes] == kept
    assert page.wrong == []


@pytest.mark.parametrize("name", sampled(PAGES, kept=("index", "04_training")))
def test_a_page_works_under_its_own_policy_and_runs_no_script_that_the_build_does_not_know(open_page, name):
    for scheme in ("http", "file"):
        page = open_page(f"{name}.html", scheme, bypass_csp=False)
        unfold(page)
        for kind, done in ((".moe-late", "data-mounted"), (".moe-plotly", "data-drawn")):
            for part in page.locator(kind).all():
                part.scroll_into_view_if_needed()
                expect(part).to_have_attribute(done, re.compile("."))
        page.wait_for_load_state("networkidle")
        assert page.wrong == []
        script = "document.createElement('script'), { textContent: 'window.planted = 1' }"
        page.evaluate(f"document.body.append(Object.assign({script}))")
        assert page.evaluate("window.planted") is None


def test_the_front_page_types_and_holds_still_while_it_loads(open_page):
    """A sentence is there from the beginning. What comes late takes the place of what stood for it."""
    page = open_page("index.html")
    page.locator(".moe-late[data-mounted]").wait_for()
    area = page.get_by_role("textbox", name="Type into this sentence.")
    first = area.input_value()
    page.wait_for_function("n => document.querySelector('textarea').value.length > n + 2", arg=len(first))
    assert page.evaluate(SHIFTED) < 0.05
    area.press_sequentially("7*8=")
    assert area.input_value().endswith("7*8=")
    title = page.locator(".moe-late .moe-title")
    assert title.inner_text() == "Each character is answered by one of eight experts"
    page.locator(".moe-live-lit").first.click()
    assert title.inner_text().endswith("change hands")
    verdict = page.locator(".moe-live-verdict p").inner_text()
    assert re.match(r"× \d\.\d\d the probability of .*\n\(\d\.\d\d nats a character (worse|better)\)$", verdict)
    assert page.locator(".moe-lessons li").count() == len(LESSONS)
    assert page.wrong == []


def test_without_javascript_the_front_page_shows_the_same_sentence(open_page):
    page = open_page("index.html", reduced_motion="reduce")
    page.locator(".moe-late[data-mounted]").wait_for()
    still = open_page("index.html", java_script_enabled=False)
    assert still.locator(".moe-late .moe-title").inner_text() == page.locator(".moe-late .moe-title").inner_text()
    # What moves with JavaScript is compared as it is drawn.
    for parts in (".moe-live-cell", ".moe-live-tile", ".moe-live-bars .moe-mono", ".moe-live-bars .moe-r"):
        drawn, stood = (each.locator(parts).all_inner_texts() for each in (page, still))
        assert stood == drawn != []
    words = still.locator(".moe-live-line").get_attribute("aria-label")
    asked = page.locator(".moe-live-cell").evaluate_all("(all) => all.map((c) => c.dataset.e)")
    assert [part.split(" ")[-1] for part in words.split(": ", 1)[1].split(", ") if part] == asked


def test_a_link_to_a_sentence_opens_it_in_a_fresh_window(open_page):
    page = open_page("index.html", reduced_motion="reduce")
    page.locator(".moe-late[data-mounted]").wait_for()
    page.locator(".moe-live-lit").last.click()
    page.get_by_role("button", name="Link").click()
    expect(page.locator(".moe-live-head [role=status]")).not_to_be_empty()
    fresh = open_page(f"index.html#{page.url.split('#')[1]}")
    off = fresh.locator(".moe-live-tile[aria-pressed=false]")
    expect(off).to_have_count(1)
    verdicts = [each.locator(".moe-live-verdict p").inner_text() for each in (page, fresh)]
    assert verdicts[0] == verdicts[1]
    assert fresh.wrong == page.wrong == []


def test_every_claim_of_every_lesson_stands_on_the_page_of_claims(open_page):
    claims = [claim for lesson in stored(ROOT / "notebooks") for claim in lesson.claims]
    page = open_page("claims.html")
    assert page.locator(".moe-claim").count() == len(claims) > 0
    untimed = sum(not claim.timed for claim in claims)  # a time may be another machine's
    assert page.locator(".moe-claim.holds").count() >= untimed
    assert page.locator(".moe-claim.fails").count() == 0
    assert page.locator(".moe-claim h3").all_inner_texts() == [claim.statement for claim in claims]
    page.locator(".moe-claim a").first.click()
    page.wait_for_url("**#claim-*")
    expect(page.locator(":target")).to_be_visible()
    front = open_page("index.html")
    assert front.locator(".moe-measured b").first.inner_text() == str(len(claims))
    front.locator(".moe-belief a").click()
    front.wait_for_url("**/claims.html#claim-*")
    assert front.locator(":target.refutes").is_visible()


def test_a_link_to_an_experiment_opens_it(open_page, site):
    pages = [(site / f"{name}.html").read_text(encoding="utf-8") for name in PAGES]
    links = set(re.findall(r'href="[^"#]*#(preset=[^"]*)"', "".join(pages)))
    assert links == {f"preset={name}" for name in PRESETS}
    page = open_page("04_training.html")
    unfold(page)
    page.locator("a[href*='#preset=deaf']").click()
    page.wait_for_function("document.querySelector('.moe-root')?.dataset.settled === 'true'")
    assert page.get_by_label("Experiment", exact=True).input_value() == "deaf"
    page.locator("a[href='#preset=hash']").click()  # further down on the same page
    page.get_by_text("A hash scatters the plane").wait_for()
    assert page.evaluate("document.querySelector('.moe-root').getBoundingClientRect().top") < 900
    assert page.wrong == []


def test_the_lock_names_no_host_and_pins_what_the_site_serves():
    web = ROOT / "moe_tutorial/tools/web"
    lock = json.loads((web / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
    wanted = json.loads((web / "package.json").read_text())["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())
