"""The front page's map of lessons, which marks what a reader has done. And a belief that it asks about."""

import re

from on_page import faults
from playwright.sync_api import expect


def test_a_guess_and_a_puzzle_mark_their_lessons_on_the_map(open_page, axe):
    page = open_page("museum.html", reduced_motion="reduce")
    card, hidden = page.locator("[id='guess-14.museum_bias']"), page.locator(".moe-veil-14-museum-bias")  # text
    expect(hidden).to_be_hidden()
    card.scroll_into_view_if_needed()  # it is mounted when it comes near
    card.get_by_role("slider").press("End")
    card.get_by_role("button", name="Lock my guess").click()
    expect(page.locator(".bd-sidebar-primary [data-done^='1/']")).to_have_text("14 Capstone")
    expect(hidden).to_be_visible()
    page.goto(f"{page.home}/index.html")
    expect(page.locator(".moe-lessons li").nth(14).locator("small")).to_have_attribute(
        "data-done", re.compile("1 of 1. done")
    )
    expect(page.locator("p > a[href$='14_capstone.html']")).to_have_text("Go on with lesson 14")
    page.evaluate("""() => {
        const start = `moe ${location.pathname.replace(/[^/]*$/, "")} `;
        const kept = { "exercise 03.route": { solved: true }, "exercise 04.training_step": { solved: false },
            "challenge 06.seven": { won: 1200 }, "quiz 07": { tries: {} } };
        for (const [key, value] of Object.entries(kept)) localStorage.setItem(start + key, JSON.stringify(value));
        localStorage.setItem("moe /another/ guess 01.neurons", '{"said":1}');
    }""")
    page.reload()
    expect(page.locator(".moe-lesson.moe-done")).to_have_text(["03", "06", "14"])
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert faults(page, axe, ".moe-lessons") == []
    assert page.wrong == []


def test_a_belief_is_a_question_that_its_claim_answers(open_page, axe):
    page = open_page("index.html")
    belief, answer = page.locator(".moe-belief"), page.locator(".moe-belief > p")
    expect(answer).to_be_hidden()
    for said, reply in (("True", "No: it is false."), ("False", "Right: it is false.")):
        belief.get_by_role("radio", name=said).press("Space")
        expect(answer).to_contain_text(reply, use_inner_text=True)
    assert faults(page, axe, ".moe-belief") == []
    belief.get_by_role("link", name="How it was measured").click()
    expect(page.locator(".moe-claim:target details")).to_have_attribute("open", "")
    assert page.wrong == []
