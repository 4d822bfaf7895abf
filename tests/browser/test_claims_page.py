"""The list of all claims as its page has it, with every lesson's stored claims and odd ones, in a real browser."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from on_site import unfold
from playwright.sync_api import expect
from sampled import LOOKS, sampled

from moe_tutorial.show import look
from moe_tutorial.show.web import read
from moe_tutorial.show.widgets.claim_list import Measured, stored
from moe_tutorial.study import above, between, in_every_seed
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.estimates import Figure
from moe_tutorial.tools.site.content.claims import all_claims
from moe_tutorial.tools.site.html.postprocess import add_policy

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "moe_tutorial/tools/site/static"
ONE, SOME = Figure.read("1.000"), Figure.read("-0.020 [-0.030, -0.010]")
HUGE, TINY = Figure.read("3e+06 [2e+06, 4e+06]"), Figure.read("2e-16 [-1e-16, 4e-16]")
SLOW, AS_IS = Figure.read("0.500 [0.400, 0.600]"), Figure.read("0.900")
ODD = [
    Claim("99.1", "A sentence that goes on, " * 12, ONE, holds=True),
    Claim("99.2", "Huge", HUGE, holds=True, control=TINY, control_is="tiny", n_seeds=10),
    Claim("99.3", "Slow", SLOW, holds=False, control=AS_IS, control_is="as is", n_seeds=4, timed=True),
    Claim(
        "99.4",
        '<b>5 & 6</b> "so"',
        SOME,
        holds=True,
        control=Figure.read("0.500"),
        control_is="a < b",
        n_seeds=10,
        quantity="gain <i> (points & more)",
        rule=between(-0.1, 0.1),
        refutes="<script>document.title = 1</script>",
    ),
    Claim("99.5", "No", ONE, holds=False, rule=in_every_seed(above(2))),
]


@pytest.fixture(scope="module")
def lessons():
    odd = Measured("99_odd", "99 Odd <&>", "99_odd.html", ODD)
    return [*stored(ROOT / "notebooks"), odd]


@pytest.fixture(scope="module")
def address(lessons, tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Claims</title><style>{look.css()}'
        f"{read('web/widgets/claim.css')}{(STATIC / 'claims.css').read_text(encoding='utf-8')}"
        "body { font: 16px sans-serif; margin: 0 16px; color: var(--moe-text); background: var(--moe-ground) }"
        ":is(a) { color: var(--moe-accent) }</style></head>"
        f'<body><main class="bd-article"><h1>Claims</h1>{all_claims(lessons)}</main>'
        '<script defer src="claims.js"></script></body></html>'
    )
    page = BeautifulSoup(html, "html.parser")
    add_policy(page)
    (folder / "claims.html").write_text(str(page), encoding="utf-8")
    (folder / "claims.js").write_text((STATIC / "claims.js").read_text(encoding="utf-8"), encoding="utf-8")
    return (folder / "claims.html").as_uri()


@pytest.fixture
def visit(chromium, address):
    contexts, wrong = [], []

    def visit(hash="", width=1280, theme="light", **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.goto(f"{address}{hash}")
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def shown(page):
    return page.locator(".moe-claim:visible .verdict > :last-child").all_inner_texts()


def ids(lessons, wanted):
    return [claim.id for lesson in lessons for claim in lesson.claims if wanted(claim)]


def test_every_claim_is_there_folded_and_low(visit, lessons):
    page = visit()
    assert shown(page) == ids(lessons, lambda claim: True)
    assert page.locator(".moe-claim details[open]").count() == 0
    heights = page.locator(".moe-claim").evaluate_all("all => all.map((e) => e.offsetHeight).sort((a, b) => a - b)")
    assert heights[len(heights) // 2] <= 80
    assert page.locator("#lesson-99 i, #lesson-99 script, #lesson-99 h3 b").count() == 0
    assert page.locator("#claim-99-4 h3").inner_text() == '<b>5 & 6</b> "so"'
    assert page.title() == "Claims"


def test_the_filter_keeps_what_is_asked_for_and_its_state_is_the_address(visit, lessons):
    page = visit()
    status = page.get_by_role("status")
    total = len(ids(lessons, lambda claim: True))
    expect(status).to_have_text(f"{total} of {total} claims")
    page.get_by_label("refutes a popular belief").check()
    beliefs = ids(lessons, lambda claim: claim.refutes)
    assert shown(page) == beliefs
    expect(status).to_have_text(f"{len(beliefs)} of {total} claims")
    page.get_by_label("depends on the machine").check()
    assert shown(page) == ids(lessons, lambda claim: claim.refutes and claim.timed)
    page.get_by_label("Lesson", exact=True).select_option("10")
    page.get_by_label("Words in a claim").fill("MEMORY  asked what")
    assert shown(page) == ["10.5"]
    assert page.locator(".moe-claims:visible").count() == 1
    assert page.url.endswith("#text=MEMORY++asked+what&lesson=10&refutes=on&timed=on")
    again = visit(page.url.partition("#")[1] + page.url.partition("#")[2])
    assert shown(again) == ["10.5"]
    assert again.get_by_label("Words in a claim").input_value() == "MEMORY  asked what"
    again.get_by_label("Words in a claim").fill("no such words")
    assert shown(again) == []
    expect(again.get_by_role("status")).to_have_text(f"0 of {total} claims")


def test_a_link_to_a_filtered_view_works_on_the_open_page_too(visit, lessons):
    page = visit("#holds=on")
    assert shown(page) == ids(lessons, lambda claim: claim.holds)
    page.evaluate("location.hash = '#lesson=77&nonsense=on&text=%'")  # asks for what there is not
    page.get_by_label("Words in a claim").fill("")
    assert page.get_by_label("Lesson", exact=True).evaluate("menu => menu.selectedIndex") == 0
    assert shown(page) == ids(lessons, lambda claim: True)


def test_a_claim_has_an_address_which_unfolds_it_even_where_a_filter_hid_it(visit):
    page = visit("#claim-05-4")
    claim = page.locator("#claim-05-4")
    expect(claim.locator("table")).to_be_visible()
    assert claim.evaluate("e => e.getBoundingClientRect().top") < 450
    page.get_by_label("Lesson", exact=True).select_option("07")
    page.locator("#claim-07-2").get_by_role("link", name="07.2").click()
    expect(page.locator("#claim-07-2 table")).to_be_visible()
    assert page.url.endswith("#claim-07-2")
    assert shown(page)[0] == "07.1"  # the filter stays
    page.evaluate("location.hash = '#claim-05-5'")
    expect(page.locator("#claim-05-5 table")).to_be_visible()
    assert "00.1" in shown(page)
    there = page.locator("#claim-05-5").get_by_role("link", name="where it is measured")
    assert there.get_attribute("href").endswith("06_noise.ipynb#claim-05-5")


def test_without_javascript_the_whole_list_stands_and_no_filter(visit, lessons):
    page = visit(java_script_enabled=False)
    assert page.locator(".moe-claim:visible").count() == len(ids(lessons, lambda claim: True))
    assert not page.locator("form").is_visible()
    page.locator("#claim-05-3 summary").click()
    expect(page.locator("#claim-05-3 table")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 720, 360])
def test_nothing_sticks_out_and_the_ticks_keep_apart(visit, width):
    page = visit(width=width)
    touching = """() => [...document.querySelectorAll('.ticks')].filter((ticks) => {
      const places = [...ticks.children].map((tick) => tick.getBoundingClientRect());
      return places.some((place, i) => i && place.left < places[i - 1].right + 2);
    }).map((ticks) => ticks.closest('.moe-claim').id + ' ' + ticks.innerText)"""
    for _ in ("folded", "unfolded"):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(touching) == []
        unfold(page)


@pytest.mark.parametrize(("width", "theme"), sampled(LOOKS, kept=[(360, "dark")]))
def test_nobody_is_kept_out(visit, axe, width, theme):
    page = visit("#refutes=on", width=width, theme=theme, bypass_csp=True)  # a part of the rows, each kind among them
    page.evaluate(axe)
    for _ in ("folded", "unfolded"):
        found = page.evaluate("axe.run()")["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] != "minor"] == []
        unfold(page)
