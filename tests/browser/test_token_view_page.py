"""The token view on a page with no kernel and no network: the tints, the title, what is picked, and who is lit."""

import re

import pytest
import torch
from sampled import sampled

from moe_tutorial.show.widgets.token_view import token_view

PROSE, CODE, SUMS = (
    "The <b>late</b> train & its lamps.\nAll is lost. ",
    "def f(x):\n\treturn x * 2\n",
    "12+30=42\n7*8=56\n9-4=5\n",
)
TEXT = PROSE + CODE + SUMS
LABELS = [("prose", len(PROSE)), ("code", len(CODE)), ("arithmetic", len(SUMS))]
T = len(TEXT)


def routing(blocks=2, n_experts=8, k=1, lead=20):
    """Digits go to expert 3 and everything else to 0, 1 and 2 in the last block; in the others all is mixed."""
    logits = torch.randn(blocks, T, n_experts, generator=torch.Generator().manual_seed(0))
    for i, character in enumerate(TEXT):
        logits[-1, i, 3 if character.isdigit() else i % 3] += lead
    probs = logits.softmax(-1)
    return probs, probs.topk(k)


def view(blocks=2, n_experts=8, k=1, lead=20, **options):
    probs, best = routing(blocks, n_experts, k, lead)
    return token_view(TEXT, best.indices, best.values, n_experts, **{"probs": probs, "labels": LABELS} | options)


def title(page):
    return page.locator(".moe-title").inner_text().replace("\u00a0", " ")


def cells(page):
    return page.get_by_role("option")


def numbers(page):
    """The expert's number at each character, as the page draws it."""
    return cells(page).evaluate_all("(all) => all.map((c) => getComputedStyle(c, '::after').content.slice(1, -1))")


def picked(page):
    return int(page.locator("[aria-selected]").get_attribute("data-i"))


def test_every_character_stands_there_as_it_is_with_its_experts_number_and_tint(show):
    page = show(view())
    _, best = routing()
    assert page.locator(".moe-line").evaluate_all("(lines) => lines.map((l) => l.textContent).join('')") == TEXT
    assert page.locator("main b b, main late").count() == 0  # the text's own tags are text
    assert numbers(page) == [str(e) for e in best.indices[-1, :, 0].tolist()]
    tints = page.evaluate(
        """[...document.querySelectorAll('[role=option]')].map((c) => {
            const probe = document.createElement('i');
            probe.style.backgroundColor = `var(--moe-t${getComputedStyle(c, '::after').content.slice(1, -1)})`;
            c.append(probe);
            const same = getComputedStyle(probe).backgroundColor === getComputedStyle(c).backgroundColor;
            probe.remove();
            return same})"""
    )
    assert all(tints)


def test_another_block_has_other_numbers_shares_and_title(show):
    page = show(view())
    _, best = routing()
    digits = sum(character.isdigit() for character in TEXT)
    last = title(page)
    assert last.startswith("Block 2: ")
    assert last.endswith("expert 3 handles 100 % of the digits; 4 of 8 are dead")
    page.get_by_role("radio", name="Block 1").check()
    assert numbers(page) == [str(e) for e in best.indices[0, :, 0].tolist()]
    assert title(page).startswith("Block 1: ")
    assert title(page).endswith("no kind of character has an expert of its own")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="Block 2").is_checked()
    assert title(page) == last
    rows = [row.split() for row in page.locator(".moe-takes li").all_inner_texts()]
    assert rows[3][:3] == ["3", f"{100 * digits / T:.0f}", "%"]
    assert rows[7][:2] == ["7", "dead"]
    # Who handles which part of the text: the busiest expert of each is named.
    parts = [row.split() for row in page.locator(".moe-domains tr").all_inner_texts()]
    start = 0
    for (name, length), row in zip(LABELS, parts, strict=True):
        counts = best.indices[-1, start : start + length].flatten().bincount(minlength=8)
        start += length
        assert row[0] == name
        assert row[-3:] == [str(int(counts.argmax())), f"{100 * counts.max() / length:.0f}", "%"]


def test_the_title_says_what_most_of_an_experts_characters_are(show):
    indices = torch.tensor(
        [[[2 if c == " " else 5 if c.isdigit() else i % 2] for i, c in enumerate("ab cd 12 3 " * 20)]]
    )
    page = show(token_view("ab cd 12 3 " * 20, indices, torch.ones(indices.shape), 8))
    assert title(page) == "Block 1: expert 2 takes 36 % of the characters, most of them spaces; 4 of 8 are dead"
    assert page.get_by_role("radio").count() == 0  # one block leaves nothing to choose
    assert "space" in page.locator(".moe-panel .moe-subtitle").inner_text()
    every = torch.arange(2).expand(1, 3, 2)
    assert title(show(token_view("abc", every, every + 1, 2))) == "Block 1: all 2 experts handle every character"


@pytest.mark.parametrize("how", ["hover", "keys"])
def test_a_picked_character_shows_its_experts_weights_and_probabilities(show, how):
    page = show(view(blocks=3, n_experts=16, k=2, lead=3))
    probs, best = routing(3, 16, 2, lead=3)
    place = TEXT.index("=")
    if how == "keys":
        cells(page).nth(place + 1).click()
        page.keyboard.press("ArrowLeft")
    else:
        cells(page).nth(place).hover()
    assert picked(page) == place
    panel = page.locator(".moe-panel")
    assert panel.locator(".moe-subtitle").inner_text() == f"Character {place + 1} of {T}: ="
    shown = [step.split() for step in panel.locator(".moe-path li").all_inner_texts()]
    expected = [["Block", str(b + 1)] for b in range(3)]
    for b in range(3):
        for e, w in zip(best.indices[b, place].tolist(), best.values[b, place].tolist(), strict=True):
            expected[b] += [str(e), f"{w:.2f}"]
    assert shown == expected
    most = probs[-1, place].topk(4)
    rows = [row.split() for row in page.locator(".moe-shares:not(.moe-takes) li").all_inner_texts()]
    assert rows == [[str(e), f"{p:.2f}"] for e, p in zip(most.indices.tolist(), most.values.tolist(), strict=True)]
    spoken = panel.locator("[aria-live]").inner_text()
    if how != "hover":  # a moving mouse is not read aloud
        assert spoken.startswith(f"Character {place + 1}, =: block 1 expert {best.indices[0, place, 0]} weight ")


def test_a_click_pins_and_escape_or_a_second_click_lets_go(show):
    page = show(view())
    cells(page).nth(5).click()
    cells(page).nth(9).hover()
    assert picked(page) == 5
    page.keyboard.press("Escape")
    cells(page).nth(12).hover()
    assert picked(page) == 12
    cells(page).nth(12).click()
    cells(page).nth(12).click()
    cells(page).nth(3).hover()
    assert picked(page) == 3


def test_the_arrow_keys_move_through_the_text_which_is_one_tab_stop(show):
    page = show(view(), 360)
    assert page.locator(".moe-text [tabindex='0']").count() == 1
    cells(page).nth(3).click()
    lower = cells(page).nth(3).bounding_box()
    page.keyboard.press("ArrowDown")
    box = page.locator("[aria-selected]").bounding_box()
    assert box["y"] > lower["y"] + 20
    assert abs(box["x"] - lower["x"]) < 12
    page.keyboard.press("ArrowUp")
    assert picked(page) == 3
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert picked(page) == T - 1
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    assert picked(page) == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.moe-takes') !== null")


def test_an_expert_in_the_list_lights_its_characters_only(show):
    page = show(view(k=2))
    _, best = routing(k=2)
    before = numbers(page)
    expected = ["3" if 3 in chosen else "" for chosen in best.indices[-1].tolist()]
    row = page.locator(".moe-takes button").nth(3)
    row.hover()
    assert numbers(page) == expected
    later = [i for i, chosen in enumerate(best.indices[-1].tolist()) if chosen[1] == 3]
    assert all("moe-later" in cells(page).nth(i).get_attribute("class") for i in later[:3])
    page.mouse.move(0, 0)
    assert numbers(page) == before
    row.focus()
    assert numbers(page) == expected
    row.press("Enter")
    row.blur()
    assert (numbers(page), row.get_attribute("aria-pressed")) == (expected, "true")
    page.locator(".moe-takes button").nth(0).press("Escape")
    assert row.get_attribute("aria-pressed") == "false"
    page.evaluate("document.activeElement.blur()")
    assert numbers(page) == before


@pytest.mark.parametrize("theme", sampled(["light", "dark"], kept=["dark"]))
def test_axe_finds_nothing_and_a_button_is_called_what_stands_in_it(show, axe, theme):
    page = show(view(n_experts=16, k=2, lead=3), theme=theme)
    page.evaluate(axe)
    found = page.evaluate("axe.run('.moe-widget')")["violations"]
    assert [(each["id"], len(each["nodes"])) for each in found] == []
    for e, row in enumerate(page.locator(".moe-takes li").all()):
        button = page.locator(".moe-takes").get_by_role(
            "button", name=re.compile(rf"^Expert {e} (\S+ %|dead) most often ")
        )
        assert row.locator("button").element_handle().evaluate("(a, b) => a === b", button.element_handle())
