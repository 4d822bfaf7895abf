"""The page of all claims: each stored claim, a filter whose state is the address, and an address of each claim."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from moe_tutorial.show.widgets.claim_list import stored

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def claims():
    return [claim for lesson in stored(ROOT / "notebooks") for claim in lesson.claims]


def shown(page):
    return page.locator(".moe-claim:visible .verdict > :last-child").all_inner_texts()


def ids(claims, **wanted):
    return [claim.id for claim in claims if all(bool(getattr(claim, name)) for name in wanted)]


def test_every_claim_is_there_and_the_filter_keeps_what_is_asked_for(open_page, claims):
    page = open_page("claims.html")
    assert shown(page) == ids(claims) != []
    assert page.locator(".moe-claim h3").all_inner_texts() == [claim.statement for claim in claims]
    assert page.locator(".moe-claim.fails, .moe-claim details[open]").count() == 0
    page.get_by_label("refutes a popular belief").check()
    beliefs = ids(claims, refutes=True)
    assert shown(page) == beliefs
    expect(page.get_by_role("status")).to_have_text(f"{len(beliefs)} of {len(claims)} claims")
    page.get_by_label("depends on the machine").check()
    page.get_by_label("Lesson", exact=True).select_option("10")
    page.get_by_label("Words in a claim").fill("MEMORY  read all")
    (found,) = shown(page)
    assert found in ids(claims, refutes=True, timed=True)
    assert page.url.endswith("#text=MEMORY++read+all&lesson=10&refutes=on&timed=on")
    again = open_page("claims.html#" + page.url.partition("#")[2])
    assert shown(again) == [found]
    again.evaluate("location.hash = '#lesson=77&nonsense=on&text=%'")  # asks for what there is not
    again.get_by_label("Words in a claim").fill("")
    assert shown(again) == ids(claims)
    assert again.wrong == page.wrong == []


def test_a_claim_has_an_address_which_unfolds_it_even_where_a_filter_hid_it(open_page, claims):
    last = [id for id in ids(claims) if id.startswith("05")][-1]
    other = next(id for id in ids(claims) if id.startswith("07"))
    page = open_page(f"claims.html#claim-{last.replace('.', '-')}")
    expect(page.locator(":target table")).to_be_in_viewport()
    page.get_by_label("Lesson", exact=True).select_option("07")
    page.get_by_role("link", name=other, exact=True).click()
    expect(page.locator(":target table")).to_be_visible()
    assert {id[:2] for id in shown(page)} == {"07"}  # the filter stays
    page.evaluate(f"location.hash = '#claim-{last.replace('.', '-')}'")
    expect(page.locator(":target table")).to_be_visible()
    page.locator(":target").get_by_role("link", name="where it is measured").click()
    page.wait_for_url("**/0*#claim-05-*")
    expect(page.locator(":target")).to_be_in_viewport()
    assert page.wrong == []


def test_a_claim_in_a_fold_of_a_lesson_shows_when_its_address_is_opened(open_page):
    page = open_page("11_scale.html")
    id = page.locator("details.moe-fold:not([open]) .moe-claim").first.get_attribute("id")
    expect(open_page(f"11_scale.html#{id}").locator(f"#{id}")).to_be_visible()
