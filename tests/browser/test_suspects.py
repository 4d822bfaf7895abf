"""The detective on a page with no kernel: suspects are probed, accused and solved by mouse, keys and touch."""

import re

import pytest
from on_page import faults
from playwright.sync_api import expect
from torch import nn, ones

from moe_tutorial.course import detective, score_card
from moe_tutorial.course.quizzes.detective import SOUND

FAILS = {SOUND: "", "softmax twice": "certain", "late tokens": "alone certain", "last wins": "alone certain"}


@pytest.fixture(autouse=True)
def _builds_page(monkeypatch):
    monkeypatch.setenv("MOE_SITE", "1")


class Suspect(nn.Module):
    """It fails the probes that its bug fails."""

    def __init__(self, bug):
        super().__init__()
        self.fails = FAILS[bug]

    def forward(self, x):
        return x


def probe(name, tokens):
    """A probe at this price."""

    def asks(moe, x):
        """It answers by what it is."""
        moe(x[:tokens])
        return float(name in moe.fails)

    asks.__name__ = name
    return asks


def stops(moe, x):
    """It cannot run."""
    raise RuntimeError("not written")


def board():
    """Two rounds of four suspects, three probes, and one that stops."""
    bugs = dict(zip("ABCD", FAILS, strict=True)), dict(zip("ABCD", reversed(FAILS), strict=True))
    rounds = [{letter: (bug, Suspect(bug), ones(2000, 1)) for letter, bug in each.items()} for each in bugs]
    probes = [probe("alone", 7), probe("certain", 1500), probe("twice", 14), stops]
    return detective(
        "14.suspects",
        rounds,
        probes,
        {"softmax twice": "A softmax of a softmax."},
        {"softmax twice": "The second softmax evens out."},
    )


def suspect(page, letter):
    return page.locator(".moe-detective ol > li").filter(has=page.get_by_text(letter, exact=True))


def choose(page, name):
    page.locator(".moe-probes button", has_text=name).click()


def run(page, name, letters):
    choose(page, name)
    for letter in letters:
        page.get_by_role("button", name=f"run: {name} on {letter}").click()


def say(page, **verdicts):
    for letter, bug in verdicts.items():
        page.get_by_label(f"Verdict on {letter}").select_option(bug)


def solve(page):
    run(page, "certain", "ABCD")
    run(page, "alone", "BC")
    say(page, A=SOUND, B="softmax twice", C="late tokens", D="last wins")
    page.get_by_role("button", name="Accuse").click()


def stamps(page, letter):
    return [re.sub(r"\s+", " ", text) for text in suspect(page, letter).locator("ul li").all_inner_texts()]


def test_a_run_is_stamped_and_paid_and_a_wrong_verdict_is_answered_by_what_was_run(visit, axe):
    page = visit(board(), score_card())
    told, bill, accuse = page.locator(".moe-told"), page.locator(".moe-bill"), page.get_by_role("button", name="Accuse")
    expect(bill).to_have_text("Bill: 0 tokens")
    accuse.click()
    expect(told).to_have_text("Run a probe and choose a verdict first.")
    choose(page, "certain")
    expect(page.locator(".moe-asks")).to_have_text("It answers by what it is. 1,500 tokens a run.")
    run(page, "certain", "AD")
    run(page, "stops", "D")
    assert stamps(page, "A") == ["certain ✓ pass"]
    assert stamps(page, "D") == ["certain ✗ FAILS", "stops ✗ FAILS stopped with RuntimeError: not written"]
    expect(bill).to_have_text("Bill: 3,000 tokens")
    expect(page.get_by_role("button", name="run: stops on D")).to_be_disabled()

    say(page, A="softmax twice", B="late tokens", C="last wins", D=SOUND)
    expect(suspect(page, "A").locator("p")).to_have_text("A softmax of a softmax.")
    expect(suspect(page, "B").locator("p")).to_be_hidden()
    accuse.click()
    expect(told).to_have_text("0 of 4 right: 9,084 tokens, 4 wrong verdicts (6,084 tokens of it).")
    expect(page.get_by_label("Verdict on A")).to_be_focused()
    for letter, said in {
        "A": "softmax twice would fail certain, too, and A passed it.",
        "B": "You have not run alone on B. It would tell.",
        "C": "last wins fails what C fails: no probe here tells the two apart.",
        "D": f"With {SOUND} it would pass certain, and D failed it.",
    }.items():
        expect(suspect(page, letter).locator("p")).to_have_text(f"✗ No. {said}")
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert faults(page, axe, "main") == []
    run(page, "alone", "B")
    reason = suspect(page, "B").locator("p")
    expect(reason).to_have_text("✗ No. late tokens would fail alone, too, and B passed it.")
    say(page, B="softmax twice")
    expect(reason).to_have_text("A softmax of a softmax.")
    accuse.click()
    also = "Your runs on it would also fit “nothing is wrong”."
    expect(reason).to_have_text(f"✓ Right. It fails certain, stops. The second softmax evens out. {also}")
    expect(page.get_by_label("Verdict on B")).to_be_disabled()
    expect(told).to_contain_text("1 of 4 right: 9,091 tokens, 4 wrong verdicts (6,084 tokens of it).")


def test_a_probe_runs_on_all_who_have_not_met_it(visit):
    page = visit(board(), score_card())
    run(page, "alone", "B")
    everyone = page.get_by_role("button", name="run on all")
    expect(everyone).to_have_text("run on all: 21 tokens")
    everyone.click()
    expect(everyone).to_be_hidden()
    assert [len(stamps(page, letter)) for letter in "ABCD"] == [1, 1, 1, 1]
    expect(page.locator(".moe-bill")).to_have_text("Bill: 28 tokens")


def test_a_solved_board_is_kept_and_counted_at_once_and_there_are_other_suspects(visit):
    page = visit(board(), score_card())
    solve(page)
    told, label = page.locator(".moe-told"), page.locator(".moe-detective .moe-label")
    expect(told).to_contain_text("✓ Solved: 6,014 tokens, 0 wrong verdicts.")
    expect(page.get_by_role("button", name="Accuse")).to_be_hidden()
    expect(page.locator("tbody")).to_have_text("141 of 2 boards solved, 6,014 tokens")
    expect(label).to_have_text("The detective, suspects 1 of 2")
    page.get_by_role("button", name="Other suspects").click()
    expect(label).to_have_text("The detective, suspects 2 of 2")
    expect(page.get_by_role("button", name="alone 7")).to_be_focused()
    assert stamps(page, "A") == []
    run(page, "twice", "A")
    page.reload()
    assert stamps(page, "A") == ["twice ✓ pass"]
    page.get_by_role("button", name="Other suspects").click()
    expect(told).to_contain_text("✓ Solved: 6,014 tokens, 0 wrong verdicts.")
    assert stamps(page, "B") == ["certain ✗ FAILS", "alone ✓ pass"]


def test_it_is_solved_by_keys(visit):
    page = visit(board())
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="alone 7", pressed=True)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="certain 1,500", pressed=True)).to_be_focused()
    for letter, bug in zip("ABCD", FAILS, strict=True):
        page.get_by_role("button", name=f"run: certain on {letter}").press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_label(f"Verdict on {letter}")).to_be_focused()
        page.keyboard.type(bug)
        expect(page.get_by_label(f"Verdict on {letter}")).to_have_value(bug)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".moe-told")).to_contain_text("✓ Solved: 6,000 tokens, 0 wrong verdicts.")
    expect(page.locator(".moe-told")).to_be_focused()


def test_it_is_solved_by_touch_on_a_phone(visit):
    page = visit(board(), width=390, has_touch=True)
    page.locator(".moe-probes button", has_text="certain").tap()
    page.get_by_role("button", name="run: certain on B").tap()
    assert stamps(page, "B") == ["certain ✗ FAILS"]
    say(page, A=SOUND, B="softmax twice", C="late tokens", D="last wins")
    page.get_by_role("button", name="Accuse").tap()
    expect(page.locator(".moe-told")).to_contain_text("✓ Solved: 1,500 tokens")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [node.bounding_box() for node in page.locator(".moe-detective :is(button, select)").all()]
    assert all(box is None or box["height"] >= 44 for box in boxes)


def test_its_link_shows_the_solved_board_and_leaves_the_readers_own_board_alone(visit):
    page = visit(board())
    solve(page)
    page.get_by_role("link", name="A link that shows your solved board").click()
    label = page.locator(".moe-detective .moe-label")
    expect(label).to_have_text("The detective, suspects 1 of 2, solved")
    address = page.url

    other = visit(board(), score_card(), blocked=True)  # another reader
    run(other, "twice", "A")
    other.goto(address)
    other.reload()
    expect(label_of := other.locator(".moe-detective .moe-label")).to_contain_text("solved")
    expect(other.locator(".moe-told")).to_have_text("✓ Solved: 6,014 tokens, 0 wrong verdicts. ")
    assert stamps(other, "C") == ["certain ✗ FAILS", "alone ✗ FAILS"]
    assert other.get_by_role("button", name="alone 7").is_disabled()
    assert other.locator("tr").count() == 0
    other.get_by_role("button", name="Play it yourself").click()
    expect(label_of).to_have_text("The detective, suspects 2 of 2")  # whose answers the link has not shown
    assert stamps(other, "C") == []
    assert "#" not in other.url
    other.goto(re.sub(r"=\w+", "=another", address))  # from another edition of the lesson
    expect(label_of).to_have_text("The detective, suspects 2 of 2")
