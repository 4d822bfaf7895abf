"""The front page's map of lessons: it takes the colours of what a reader has done. And a belief that it asks about."""

from on_page import faults
from playwright.sync_api import expect

COLOURS = """[...document.querySelectorAll(".moe-lesson")].map((badge) => {
    const { backgroundColor: shown } = getComputedStyle(badge);
    const own = Object.assign(document.createElement("i"), { style: `color: var(--moe-e${+badge.textContent})` });
    badge.append(own);
    const { color } = getComputedStyle(own);
    own.remove();
    return shown === color;
})"""


def coloured(page):
    """The numbers of the lessons that have the colour of their expert."""
    shown = page.evaluate(COLOURS)
    return [number for number, has_colour in enumerate(shown) if has_colour]


def test_a_guess_and_a_puzzle_colour_their_lessons_on_the_map(open_page, axe):
    page = open_page("05_collapse.html", reduced_motion="reduce")
    guess = page.locator(".moe-late:has([id^=guess-])").first
    guess.scroll_into_view_if_needed()
    expect(guess).to_have_attribute("data-mounted", "true")
    slider, options = guess.get_by_role("slider"), guess.get_by_role("radio")
    (slider if slider.count() else options.first).click()
    guess.get_by_role("button", name="Lock my guess").click()
    page.goto(f"{page.home}/index.html")
    expect(page.locator(".moe-done")).to_have_text("05")
    assert coloured(page) == [5]
    expect(page.locator(".moe-lessons li").nth(5).locator("small")).to_have_attribute("data-done", " · 1 done")
    page.evaluate("""() => {
        const start = `moe ${location.pathname.replace(/[^/]*$/, "")} `;
        const kept = { "exercise 03.route": { solved: true }, "exercise 04.training_step": { solved: false },
            "challenge 06.seven": { won: 1200 }, "quiz 07": { tries: {} } };
        for (const [key, value] of Object.entries(kept)) localStorage.setItem(start + key, JSON.stringify(value));
        localStorage.setItem("moe /another/ guess 01.neurons", '{"said":1}');
    }""")
    page.reload()
    expect(page.locator(".moe-done")).to_have_text(["03", "05", "06"])
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert coloured(page) == [3, 5, 6]
        assert faults(page, axe, ".moe-lessons") == []
    assert page.wrong == []


def test_a_belief_is_a_question_that_its_claim_answers(open_page, axe):
    page = open_page("index.html")
    belief, answer = page.locator(".moe-belief"), page.locator(".moe-belief > p")
    expect(answer).to_be_hidden()
    for said, reply in (("True", "Measured: false."), ("False", "Right: it is false.")):
        belief.get_by_role("radio", name=said).press("Space")
        expect(answer).to_be_visible()
        expect(answer).to_contain_text(reply, use_inner_text=True)
    expect(answer).not_to_contain_text("Measured: false.", use_inner_text=True)
    assert faults(page, axe, ".moe-belief") == []
    belief.get_by_role("link", name="How it was measured").click()
    expect(page.locator(".moe-claim:target details")).to_have_attribute("open", "")
    assert page.wrong == []
