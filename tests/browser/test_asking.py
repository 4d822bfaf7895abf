"""Guess, reveal, quiz and score card on a page with no kernel: keyboard, storage, and what they say."""

import json
import re
from types import SimpleNamespace

import pytest
from on_page import faults
from playwright.sync_api import expect
from sampled import sampled

from moe_tutorial.course import guess, guesses, quiz, reveal, score_card
from moe_tutorial.course.exercises import EXERCISES
from moe_tutorial.course.quizzes import questions
from moe_tutorial.show.web import bundle, style
from moe_tutorial.tools.site.content.puzzles import puzzle

QUESTIONS = [
    {"id": "one", "kind": "choose", "ask": "Which one?", "choices": {"this": "Not this.", "that": ""}, "why": "That."},
    {"id": "two", "kind": "number", "ask": "How many?", "unit": "of 8", "answer": 0.5, "tolerance": 0.01}
    | {"traps": [[8, "Those are all."]], "otherwise": "Far.", "why": "A half."},
    {"id": "three", "kind": "order", "ask": "In which order?", "why": "They grow."}
    | {"items": {"zero": "Zero is least.", "one": "One is less than two.", "two": ""}},
    {"id": "four", "kind": "match", "ask": "What is what?", "why": "Of course."}
    | {"pairs": [["dog", "animal", "A dog is alive."], ["pen", "thing", "A pen is no animal."]]},
]


@pytest.fixture(autouse=True)
def _builds_page(monkeypatch):
    monkeypatch.setenv("MOE_SITE", "1")
    monkeypatch.setattr(guesses, "_asked", {})


@pytest.fixture
def small_quiz(tmp_path, monkeypatch):
    (tmp_path / "03.json").write_text(json.dumps(QUESTIONS))
    monkeypatch.setattr(questions, "FOLDER", tmp_path)
    return quiz("03")


def sixty(measured=60):
    asked = guess("05.sixty", "In how many of the sixty?", slider=(0, 60, 1, "of 60"))
    return asked, reveal(
        "05.sixty", measured, says="Nobody asked for `this`.\n\nSee [lesson 06](https://example.org/06)."
    )


def card(page, label):
    return page.locator(".moe-ask", has_text=label)


def lock(page):
    """Take the value in the middle of the first open slider, and lock it."""
    page.get_by_role("slider").first.click()
    page.get_by_role("button", name="Lock my guess").first.click()


def test_a_guess_is_locked_by_keyboard_and_set_beside_the_measurement(visit):
    page = visit(*sixty())
    measured = card(page, "Your guess, answered")
    assert "60 of 60" not in measured.inner_text()
    page.keyboard.press("Tab")
    slider = page.get_by_role("slider", name="In how many of the sixty?")
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("aria-valuetext", "move it")
    page.get_by_role("button", name="Lock my guess").press("Enter")
    expect(page.get_by_text("Move the slider first.")).to_be_visible()
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "20 of 60")
    expect(page.get_by_text("Move the slider first.")).to_have_count(0)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    told = card(page, "Guess first").get_by_role("status")
    expect(told).to_have_text("You said 20 of 60. Locked: the lesson answers further down.")
    expect(told).to_be_focused()
    expect(measured.get_by_role("status")).to_have_text("You said: 20 of 60. The answer: 60 of 60.")
    expect(measured.locator(".moe-answer")).to_have_text(["Nobody asked for this.", "See lesson 06."])
    assert page.get_by_role("slider").count() == page.get_by_role("button").count() == 0
    page.reload()
    expect(measured.get_by_role("status")).to_have_text("You said: 20 of 60. The answer: 60 of 60.")
    assert page.get_by_role("button").count() == 0


def test_who_did_not_guess_is_led_there_or_shown_the_answer(visit):
    page = visit(*sixty())
    page.get_by_role("link", name="Lock your guess first").press("Enter")
    expect(page.get_by_role("slider")).to_be_focused()
    page.get_by_role("button", name="Show it").press("Enter")
    told = card(page, "Your guess, answered").get_by_role("status")
    expect(told).to_have_text("You made no guess here. The answer: 60 of 60.")
    expect(told).to_be_focused()


def test_each_site_of_a_host_keeps_its_own(visit):
    lock(visit(*sixty()))
    assert visit(*sixty()).get_by_role("button", name="Lock my guess").count() == 0
    assert visit(*sixty(), site="other").get_by_role("button", name="Lock my guess").count() == 1


def test_a_browser_that_keeps_nothing_is_said_and_the_page_works_all_the_same(visit, small_quiz):
    page = visit(*sixty(), small_quiz, score_card(), blocked=True)
    lock(page)
    expect(card(page, "Guess first")).to_contain_text("this browser keeps nothing for it")
    expect(card(page, "Your guess, answered")).to_contain_text("You said: 30 of 60. The answer: 60 of 60.")
    expect(card(page, "Your guess, answered")).to_contain_text("Not this time. 30 off.")
    page.get_by_label("that").check()
    page.get_by_role("button", name="Check").first.click()
    expect(card(page, "Your score card").locator("tfoot")).to_contain_text("1 far off1 of 4 right")
    page.reload()
    expect(page.get_by_role("button", name="Lock my guess")).to_be_visible()


def answered(page, number):
    return card(page, f"Question {number} of 4")


def test_each_kind_of_question_is_answered_wrong_and_right(visit, small_quiz, axe):
    page = visit(small_quiz, width=360)
    one, two, three, four = (answered(page, n) for n in (1, 2, 3, 4))

    def says(question, text):
        question.get_by_role("button", name="Check").press("Enter")
        expect(question.get_by_role("status")).to_have_text(text)

    says(one, "Choose an answer first.")
    one.get_by_label("this").check()
    says(one, "✗ Not so. Not this.")
    one.get_by_label("that").check()
    says(one, "✓ Right. That.")
    expect(one.get_by_role("status")).to_be_focused()

    says(two, "Type a number first, such as 0.25.")
    for text, said in (
        ("8", "✗ Not so. Those are all."),
        ("2", "✗ Not so. Far."),
        ("0,505", "✓ Right. A half."),
    ):
        two.get_by_label("Your number").fill(text)
        two.get_by_label("Your number").press("Enter")
        expect(two.get_by_role("status")).to_have_text(said)

    says(three, "✗ Not so. Zero is least.")  # one, two, zero
    three.get_by_role("button", name="Move up: zero").press("Enter")
    expect(three.get_by_role("button", name="Move up: zero")).to_be_focused()
    page.keyboard.press("Enter")
    says(three, "✓ Right. They grow.")

    for dog, said in (
        ("thing", "Row 1: A dog is alive. Row 2: A pen is no animal."),
        ("animal", "Row 2: A pen is no animal."),
    ):
        four.get_by_label("dog").select_option(dog)
        four.get_by_label("pen").select_option("animal")
        says(four, f"✗ Not so. {said}")
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert faults(page, axe, "main") == []
    four.get_by_label("pen").select_option("thing")
    says(four, "✓ Right. Of course.")

    expect(page.locator(".moe-note")).to_contain_text("4 of 4 right, 0 at the first try.")
    page.reload()
    expect(two.get_by_role("status")).to_have_text("✓ Right. A half.")
    assert page.get_by_role("button").count() == 0


def test_the_score_card_counts_what_this_browser_keeps_and_forgets_it_when_asked_twice(visit, small_quiz):
    page = visit(score_card())
    assert page.locator("tr").count() == 0
    asked = guess("03.order", "How much?", choices=["not at all", "a little"])
    other = visit(*sixty(30), asked, reveal("03.order", "not at all"), small_quiz)
    lock(other)
    other.get_by_label("a little").check()
    other.get_by_role("button", name="Lock my guess").click()
    answered(other, 1).get_by_label("that").check()
    answered(other, 1).get_by_role("button", name="Check").click()
    page.evaluate("dispatchEvent(new Event('focus'))")  # as a reader comes back to it
    rows = [row.split("\t") for row in page.locator("tr").all_inner_texts()]
    assert rows == [
        ["Lesson", "Guesses", "Quiz"],
        ["03", "1 far off", "1 of 4 right, 1 at the first try"],
        ["05", "1 right", "–"],
        ["All", "1 right, 1 far off", "1 of 4 right, 1 at the first try"],
    ]
    page.get_by_role("button", name="Forget all of it").click()
    expect(page.locator("tr")).to_have_count(4)
    page.get_by_role("button", name="Forget it? Press again").click()
    expect(page.locator("tr")).to_have_count(0)
    other.reload()
    assert other.get_by_role("button", name="Lock my guess").count() == 2


def shuffled(id):
    """The puzzle of an exercise."""
    state = {"kind": "exercise", "id": id, "place": "browser", "puzzle": puzzle(EXERCISES[id])}
    return SimpleNamespace(get_state=lambda: state, _esm=bundle("web/ask/puzzle.js"), _css=style("web/ask/ask.css"))


def lines(page):
    """The lines of a puzzle in their order, each with its indentation, or "-" if it is left out."""
    read = "nodes => nodes.map(n => [n.matches('.moe-left-out') ? '-' : '', n.querySelector('code').textContent])"
    return ["".join(line) for line in page.locator(".moe-lines li").evaluate_all(read)]


def handle(page, text):
    """The handle of a puzzle's line."""
    return page.get_by_role("button", name=f"Move: {text}", exact=True)


@pytest.mark.parametrize(
    "id", sampled(["03.route", "03.my_mixture", "04.training_step", "10.fetched"], ["03.my_mixture"])
)
def test_a_puzzle_is_solved_by_keys(visit, id):
    page = visit(shuffled(id))
    told = page.locator(".moe-told")
    exercise = EXERCISES[id]
    right = exercise.parts[1]

    for place, (text, _) in enumerate(right):
        for _ in range(next(i for i, other in enumerate(lines(page)) if other.strip() == text) - place):
            handle(page, text).press("ArrowUp")
    page.get_by_role("button", name="Check").click()
    wrong = next(text for text in lines(page) if text in exercise.puzzle)
    expect(told).to_have_text(f"✗ Not yet. {wrong}: {exercise.puzzle[wrong]}".replace("`", ""))
    for text in exercise.puzzle:
        handle(page, text).press("Delete")
    if any(indent for _, indent in right):
        page.get_by_role("button", name="Check").click()
        expect(told).to_contain_text("is indented wrongly")
    for text, indent in right:
        for _ in range(indent):
            handle(page, text).press("ArrowRight")  # where Python leaves no choice, the line is indented already
            expect(handle(page, text)).to_be_focused()
    page.get_by_role("button", name="Check").click()
    why = [f"Why not {text}? {reason}".replace("`", "") for text, reason in exercise.puzzle.items()]
    expect(told).to_have_text(" ".join(["✓ Right.", *why]))
    page.reload()
    expect(told).to_contain_text("✓ Solved.")
    assert lines(page)[: len(right)] == ["    " * indent + text for text, indent in right]


def test_lines_that_may_change_places_may(visit):
    page = visit(shuffled("04.training_step"))
    zero, others = "optimizer.zero_grad()", [text for text, _ in EXERCISES["04.training_step"].parts[1]]
    order = [zero, *(text for text in others if text != zero)]
    for place, text in enumerate(order):
        for _ in range(lines(page).index(text) - place):
            handle(page, text).press("ArrowUp")
    for text in EXERCISES["04.training_step"].puzzle:
        page.get_by_role("button", name=f"Leave out: {text}").click()
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".moe-told")).to_contain_text("✓ Right.")


def test_a_line_follows_a_finger(visit):
    page = visit(shuffled("03.route"), width=390, has_touch=True)
    first, *_, last = lines(page)
    boxes = [page.locator(".moe-lines button:first-child").nth(place).bounding_box() for place in (0, 4)]
    (x, start), (_, end) = ((box["x"] + 20, box["y"] + 15) for box in boxes)
    touch = page.context.new_cdp_session(page)

    def send(kind, *points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for y in points]})

    send("touchStart", start)
    for part in range(1, 11):
        send("touchMove", start + (end - start) * part / 10)
    send("touchEnd")
    assert lines(page)[-2:] == [last, first]


def test_a_tap_indents_a_line_only_where_python_leaves_a_choice(visit):
    page = visit(shuffled("03.my_mixture"), width=390, has_touch=True)
    loop = EXERCISES["03.my_mixture"].parts[1][0][0]
    handle(page, loop).press("Delete")  # without the loop, all stands at the left
    expect(page.get_by_role("button", name="Indent:")).to_have_count(0)
    page.get_by_role("button", name="Use:").click()
    for _ in range(5):
        handle(page, loop).press("ArrowUp")
    _, below, second, *_ = lines(page)
    assert below.startswith("    ")  # below a colon Python leaves no choice
    expect(page.locator(".moe-lines li").nth(1).get_by_role("button", name="Indent:")).to_have_count(0)
    deeper = page.locator(".moe-lines li").nth(2).get_by_role("button", name="Indent:")
    for indent in ("    ", ""):
        deeper.tap()
        expect(deeper).to_be_focused()
        assert lines(page)[2] == indent + second


def test_a_line_that_is_taken_by_a_tap_goes_where_the_next_tap_is(visit):
    page = visit(shuffled("03.route"), width=390, has_touch=True)
    first, *others = lines(page)
    handle(page, first).tap()
    expect(handle(page, first)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("Press the line that it should replace")).to_be_in_viewport()
    handle(page, others[2]).locator("+ code").tap()
    assert lines(page) == [*others[:3], first, *others[3:]]
    expect(handle(page, first)).to_be_focused()
    expect(page.locator("[aria-pressed=true]")).to_have_count(0)


def test_the_last_line_of_a_short_exercise_is_chosen(visit):
    page = visit(shuffled("04.gate_gradient"))
    told = page.locator(".moe-told")
    page.get_by_role("button", name="Check").click()
    expect(told).to_have_text("✗ Not yet. Choose a line first.")
    page.get_by_label("return s + p * s.sum()").check()
    page.get_by_role("button", name="Check").click()
    expect(told).to_contain_text(re.compile(r"✗ Not yet\. \w+"))
    page.get_by_label("return s - p * s.sum()").check()
    page.get_by_role("button", name="Check").click()
    expect(told).to_contain_text("✓ Right.")
    expect(visit(score_card()).locator("tbody")).to_have_text("041 solved")
