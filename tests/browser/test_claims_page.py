"""The page of all claims: each stored claim, a box that keeps the refuted beliefs, and an address of each claim."""

import pytest
from in_lab import ROOT
from playwright.sync_api import expect

from moe_tutorial.show.widgets.claim_list import stored


@pytest.fixture(scope="module")
def claims():
    return [claim for lesson in stored(ROOT / "notebooks") for claim in lesson.claims]


def shown(page):
    return page.locator(".moe-claim:visible .verdict > :last-child").all_inner_texts()


def ids(claims, **wanted):
    return [claim.id for claim in claims if all(bool(getattr(claim, name)) for name in wanted)]


def test_every_claim_is_there_and_the_menu_keeps_some(open_page, claims):
    page = open_page("claims.html")
    assert shown(page) == ids(claims) != []
    assert page.locator(".moe-claim h3").all_inner_texts() == [claim.statement for claim in claims]
    assert page.locator(".moe-claim.fails, .moe-claim details[open]").count() == 0
    for choice, kept in {"refuted beliefs": "refutes", "what depends on the machine": "timed"}.items():
        page.get_by_label("Show").select_option(choice)
        page.reload()  # the address keeps the choice
        assert shown(page) == ids(claims, **{kept: True}) != []
    page.get_by_label("Show").select_option("all claims")
    page.get_by_label("with the words").fill("07 SWITCH")  # in a claim, or in its lesson's title
    found = page.locator(".moe-claim:visible")
    assert 0 < found.count() == found.filter(has_text="switch").count() < len(claims)
    assert page.locator(".moe-claims:visible").count() == page.locator(".moe-claims").filter(has=found).count()
    page.get_by_label("with the words").fill("zzzz")
    assert shown(page) == []
    assert page.wrong == []


def test_a_claim_has_an_address_which_unfolds_it_even_where_the_menu_hid_it(open_page, claims):
    last = [claim.id for claim in claims if claim.id.startswith("05") and not claim.refutes][-1]
    page = open_page(f"claims.html#claim-{last.replace('.', '-')}")
    expect(page.locator(":target table")).to_be_in_viewport()
    page.get_by_label("Show").select_option("refuted beliefs")
    page.get_by_role("link", name=ids(claims, refutes=True)[-1], exact=True).click()
    expect(page.locator(":target table")).to_be_visible()
    assert shown(page) == ids(claims, refutes=True)  # the menu stays as it is
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
