"""What the site does for visitors: a search that knows other names, paper, no JavaScript."""

import re

import pytest
from on_site import PAGES, unfold
from playwright.sync_api import expect
from sampled import sampled

from moe_tutorial.show.playground import PRESETS

SEARCHES = {
    "load balancing loss": "07_balance",
    "gating network": "03_router",
    "MLP": "01_why_experts",
    "dead experts": "05_collapse",
    "ruoter": "03_router",
}


def test_the_front_page_is_the_same_without_javascript(open_page):
    drawn = open_page("index.html", reduced_motion="reduce")
    stood = open_page("index.html", java_script_enabled=False)
    drawn.locator(".moe-late[data-mounted]").wait_for()
    for parts in (".moe-late .moe-title", ".moe-live-rule", ".moe-live-cell", ".moe-live-tile", ".moe-live-goes"):
        assert stood.locator(parts).all_inner_texts() == drawn.locator(parts).all_inner_texts() != []
    assert drawn.wrong == []


def test_a_link_to_an_experiment_opens_it(open_page, site):
    pages = [(site / f"{name}.html").read_text(encoding="utf-8") for name in PAGES]
    links = set(re.findall(r'href="[^"#]*#(preset=[^"]*)"', "".join(pages)))
    assert links == {f"preset={name}" for name in PRESETS}
    page = open_page("04_training.html")
    unfold(page)
    for preset in ("deaf", "hash"):  # a link from another page, and one further down on the playground's own
        page.locator(f"a[href*='#preset={preset}']").first.click()
        expect(page.locator(".moe-root")).to_have_attribute("data-settled", "true")
        expect(page.get_by_label("Experiment", exact=True)).to_have_value(preset)
        expect(page.locator(".moe-root")).to_be_in_viewport()
    assert page.wrong == []


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_search_by_the_fields_words_finds_the_lesson(open_page, scheme):
    for words, lesson in SEARCHES.items():
        page = open_page(f"search.html?q={words.replace(' ', '+')}", scheme)
        page.get_by_text("Search finished").wait_for()
        page.wait_for_load_state("networkidle")
        found = [link.get_attribute("href") for link in page.locator("ul.search li a").all()]
        assert any(address.startswith(f"{lesson}.html") for address in found[:5]), found
        pages = [address.split(".html")[0] for address in found]
        assert len(pages) == len(set(pages))
        excerpts = page.locator("ul.search li p.context").count()
        assert excerpts == (len(found) if scheme == "http" else 0)  # a file may not read other files
        assert page.wrong == []


def test_a_search_suggests_while_one_types_and_keys_lead_on(open_page):
    page = open_page("search.html?q=claim+7.9")
    expect(page.locator("ul.search li a")).to_have_text("07 Balance: claim 07.9")
    page = open_page("03_router.html")
    page.keyboard.press("Control+k")
    field, best = page.get_by_role("searchbox"), page.locator("dialog li a")
    field.fill("zzzz")
    expect(best).to_have_text("Nothing found")
    field.fill("Router")
    expect(best.first).to_have_text("03 The router")
    for key, stop in (("Up", best.last), ("Down", field), ("Down", best.first), ("Down", best.nth(1))):
        page.keyboard.press(f"Arrow{key}")
        expect(stop).to_be_focused()
    field.fill("dead")
    expect(best.filter(has_text="Glossary: dead expert")).to_have_attribute("href", re.compile("#term-dead-expert"))
    page.keyboard.press("Enter")  # goes to the best of several
    page.wait_for_url("**/05_collapse.html#term-dead-expert")
    page.keyboard.press("Control+k")
    field.fill("07.9")
    expect(best).to_have_text("07 Balance: claim 07.9")
    page.keyboard.press("Enter")
    expect(page.locator("#claim-07-9 table")).to_be_in_viewport()


def test_a_term_says_what_it_means_without_a_click_and_leads_to_the_glossary(open_page):
    page = open_page("03_router.html")
    term, note = page.locator("a.moe-term[href$='#term-gate-weight']"), page.locator(".moe-meaning")
    term.hover()
    expect(note).to_have_text(term.evaluate("term => term.ariaDescription"))
    note.hover()
    expect(note).to_be_visible()
    page.locator("article h1").hover()
    expect(note).to_have_count(0)
    term.focus()
    for key in ("Tab", "Shift+Tab"):
        page.keyboard.press(key)
    expect(note).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/glossary.html#term-gate-weight")
    assert page.locator("dt:target").inner_text() == "gate weight"


def test_the_first_touch_of_a_term_shows_its_meaning_and_the_second_follows_it(open_page):
    page = open_page("03_router.html", has_touch=True, is_mobile=True)
    one, other = page.locator("a.moe-term").nth(0), page.locator("a.moe-term").nth(1)
    for term in (one, other):
        term.tap()
        assert page.locator(".moe-meaning").all_inner_texts() == [term.evaluate("term => term.ariaDescription")]
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
    page.locator(".moe-veiled").first.wait_for(state="attached")  # below the card of its guess it says nothing
    assert page.locator(".highlighted").count() == 0


@pytest.mark.parametrize("name", sampled(PAGES, kept=("index", "05_collapse", "08_moe_gpt", "search")))
def test_without_javascript_a_page_reads_and_says_what_is_missing(open_page, name):
    page = open_page(f"{name}.html", java_script_enabled=False)
    assert page.get_by_role("heading", level=1).first.is_visible()
    for place in page.locator(".moe-late:visible").all():
        has_words = place.locator(".moe-ask, .moe-live").count()  # a question, or the front page's sentence
        assert (place if has_words else place.locator("noscript > p")).inner_text().strip()
    assert page.locator(".moe-plotly:visible").count() == page.locator(".moe-alt:visible").count()
    assert page.locator("article .math").count() == page.locator("article .math .katex").count()  # set already
    written = ".cell_input:not(.moe-how) pre"
    for fold in page.locator(f"details.moe-press:has({written})").all()[:1]:
        assert not fold.locator(written).first.is_visible()
        fold.locator("summary").first.press("Enter")
        expect(fold.locator(written).first).to_be_visible()


def test_paper_gets_the_whole_page_in_the_light_theme(open_page):
    """A lesson with folds, pictures, a widget and plotly; afterwards it is as it was."""
    page = open_page("08_moe_gpt.html", color_scheme="dark")
    folds = page.locator("article details:not([open], .moe-root *)")  # a widget's come with it, late
    folded = folds.count()
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")  # Playwright calls what is a function
    page.keyboard.press("Control+p")
    page.wait_for_function("window.printed")
    page.emulate_media(media="print")
    assert page.locator("html").get_attribute("data-theme") == "light"
    late = page.locator(".moe-late:not([data-mounted]), .moe-plotly:not([data-drawn=light])")
    assert late.filter(visible=True).count() == 0
    for picture in page.locator("article img:visible").all():
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert page.locator("article .moe-claim details:not([open])").count() == 0
    assert page.locator(".moe-solution pre:visible").count()
    assert page.locator(":is(.moe-how, .moe-press:not(.moe-solution), .bd-sidebar-primary):visible").count() == 0
    assert page.locator("article :is(button, input[type=range]):visible").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert folds.count() == folded
    assert page.wrong == []


def test_what_answers_two_guesses_stays_hidden_until_both_are_answered(open_page):
    page = open_page("07_balance.html")
    page.get_by_role("switch", name="Show code").check()
    both = ".moe-veil-07-rate.moe-veil-07-hash"
    shown, code = page.locator(both).first, page.locator(f".moe-how:has(~ {both})").first
    for id in ("07.rate", "07.hash"):
        expect(shown).to_be_hidden()
        expect(code).to_be_hidden()
        card = page.locator(f"[id='guess-{id}']")
        card.scroll_into_view_if_needed()
        card.get_by_role("slider").or_(card.get_by_role("radio")).first.click()
        card.get_by_role("button", name="Lock my guess").click()
    expect(shown).to_be_visible()
    expect(code).to_be_visible()
    page.evaluate("localStorage.clear()")
    page.reload()
    page.locator(".moe-veiled", has_text="2 guesses").get_by_role("button").first.click()  # one press shows it
    expect(shown).to_be_visible()


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_one_switch_shows_the_code_that_measures_and_draws(open_page, java_script_enabled):
    page = open_page("05_collapse.html", java_script_enabled=java_script_enabled)
    code = page.locator(".moe-how").filter(visible=True)
    heading, switch = page.locator("h2").nth(3), page.locator(".moe-switch")
    heading.evaluate("node => node.scrollIntoView()")
    place = heading.bounding_box()["y"]
    for shown in (1, 0):
        page.mouse.click(*[switch.bounding_box()[at] + 8 for at in "xy"])
        expect(code.filter(has_text="import torch")).to_have_count(shown)
        assert heading.bounding_box()["y"] == pytest.approx(place, abs=1)  # what is read stays in its place
