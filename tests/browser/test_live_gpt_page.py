"""The GPT to type into, on a page with no kernel and no network: who answers, who is off, and what a link keeps."""

import math
import re

import pytest
import torch
from on_page import page_of
from playwright.sync_api import expect
from sampled import TWO_LOOKS

from moe_tutorial.layers import GPT, GPTConfig
from moe_tutorial.show.widgets.live_gpt import dequantised, live_gpt
from moe_tutorial.study import CHARACTERS, encode
from moe_tutorial.study.language import without_experts

TEXT = "The 12 monkeys ate 7*8=56 bananas"
STILL = {"reduced_motion": "reduce"}
ADDRESS = "http://localhost:1/"  # is never asked: the test answers


def gpt(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "n_heads": 2, "d_hidden": 16, "n_experts": 8, "feed_forward": "moe"}
    model = GPT(GPTConfig(len(CHARACTERS), **sizes | changes)).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)  # so that experts differ
    return model


def view(text=TEXT, seed=0, link=False, **changes):
    return live_gpt(gpt(seed, **changes), text, link=link)


def none(model):
    return [[False] * model.config.n_experts for _ in model.blocks]


@torch.no_grad()
def read(text, off=(), **changes):
    """What the model does with a text: scores (T, V), each block's first choices, the mean loss in nats."""
    model = dequantised(gpt(**changes))
    gone = none(model)
    for b, e in off:
        gone[b][e] = True
    ids = encode(text)[None]
    logits, _, records = without_experts(model, gone)(ids)
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]).item()
    return logits[0], [r.indices[:, 0].tolist() for r in records], loss


def numbers(page):
    """The experts' numbers below the characters, as the page draws them."""
    cells = page.locator(".moe-live-cell")
    return cells.evaluate_all("(all) => all.map((c) => +getComputedStyle(c, '::after').content.slice(1, -1))")


def tile(page, b, e):
    return page.locator(".moe-live-layer").nth(b).locator(".moe-live-tile").nth(e)


def lit(page):
    return [
        layer.locator(".moe-live-tile").evaluate_all(
            "(all) => all.flatMap((t, e) => t.matches('.moe-live-lit') ? [e] : [])"
        )
        for layer in page.locator(".moe-live-layer").all()
    ]


def figure(page):
    return " ".join(page.locator(".moe-live-verdict p").inner_text().split())


def test_the_sentence_types_itself_in_the_colours_of_its_experts_and_then_ends(show):
    page = show(view())
    area = page.get_by_role("textbox", name="Type into this sentence.")
    assert 0 < len(area.input_value()) < len(TEXT)
    assert page.locator(".moe-title").inner_text() == "Each character is answered by one of eight experts"
    height = page.locator(".moe-live-line").bounding_box()["height"]
    expect(area).to_have_value(TEXT, timeout=30_000)
    assert page.locator(".moe-live-line").bounding_box()["height"] == height
    _, (first, second), _ = read(TEXT)
    assert numbers(page) == first
    tints = page.locator(".moe-live-cell").evaluate_all(
        """(all) => all.map((c) => {
            const probe = document.createElement('i');
            probe.style.backgroundColor = `var(--moe-t${c.dataset.e})`;
            c.append(probe);
            const same = getComputedStyle(probe).backgroundColor === getComputedStyle(c, '::before').backgroundColor;
            probe.remove();
            return same})"""
    )
    assert all(tints)
    assert lit(page) == [[first[-1]], [second[-1]]]
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    page.get_by_role("radio", name="Layer 2").check()
    assert numbers(page) == second


def test_a_typed_key_ends_the_typing_at_once(show):
    page = show(view())
    page.locator("textarea").press_sequentially("Q9")
    typed = page.locator("textarea").input_value()
    assert typed.endswith("Q9")
    assert TEXT.startswith(typed[:-2])
    page.wait_for_timeout(800)  # nothing more may come
    assert page.locator("textarea").input_value() == typed
    assert numbers(page) == read(typed)[1][0]


def test_it_types_only_while_it_is_in_sight(show):
    page = show(view("x " * 50))
    page.evaluate("document.body.style.paddingBottom = '5000px'; scrollTo(0, 4000)")
    page.wait_for_timeout(600)  # the observer has seen it
    before = page.locator("textarea").input_value()
    page.wait_for_timeout(800)  # nothing more may come
    assert page.locator("textarea").input_value() == before
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("n => document.querySelector('textarea').value.length > n", arg=len(before))


def test_an_expert_that_is_off_is_answered_for_and_one_number_says_the_cost(show):
    page = show(view(), **STILL)
    _, (first, _), loss = read(TEXT)
    e = max(set(first), key=first.count)
    switch = tile(page, 0, e)
    assert switch.get_attribute("aria-pressed") == "true"
    switch.click()
    scores, (others, _), dearer = read(TEXT, [(0, e)])
    assert numbers(page) == others != first
    expected = f"× {math.exp(loss - dearer):.2f} the probability of the right character "
    expected += f"({abs(dearer - loss):.2f} nats a character {'worse' if dearer > loss else 'better'})"
    assert figure(page) == expected
    taken = f"Expert {e} of layer 1 is off: {first.count(e)} of {len(TEXT)} characters change hands"
    assert page.locator(".moe-title").inner_text() == taken
    spoken = page.locator("[aria-live=polite]").inner_text()
    assert spoken == f"Expert {e} of layer 1 is off. {taken}. {expected}."
    assert (
        page.get_by_role("button", name=f"Expert {e} of layer 1, off (not asked)").get_attribute("aria-pressed")
        == "false"
    )
    best = scores[-1].softmax(-1).topk(5)
    shown = [row.split()[-2] for row in page.locator(".moe-live-bars li").all_inner_texts()]
    assert [float(part) for part in shown] == pytest.approx((100 * best.values).tolist(), abs=0.6)
    ahead = page.locator(".moe-live-then .moe-mono")
    expect(ahead).to_have_count(2)
    with_it_off = ahead.first.inner_text()
    page.get_by_role("button", name="Go on").click()
    written = page.locator("textarea").input_value()[len(TEXT) :]
    assert written.replace(" ", "·").replace("\n", "⏎") == with_it_off
    assert figure(page) == expected  # what the model writes itself does not count
    switch.click()
    assert numbers(page) == read(TEXT + written)[1][0]
    assert page.locator("[aria-live=polite]").inner_text() == f"Expert {e} of layer 1 is on. All are on."


def test_one_expert_of_a_layer_stays_on(show):
    page = show(view(n_experts=2), **STILL)
    tile(page, 1, 0).click()
    tile(page, 1, 1).click()
    assert figure(page) == "Layer 2 needs an expert."
    assert page.locator("[aria-pressed=false]").count() == 1


def test_keys_alone_do_all(show):
    page = show(view(), **STILL)
    page.keyboard.press("Tab")  # Go on
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("a=1 ")
    assert numbers(page) == read("a=1 ")[1][0]
    page.keyboard.press("ArrowLeft")  # the way of the character before the caret
    page.keyboard.press("ArrowLeft")
    scores, (first, second), _ = read("a=")
    assert lit(page) == [[first[-1]], [second[-1]]]
    best = CHARACTERS[scores[-1].argmax()]
    mark = {" ": "·", "\n": "⏎"}.get(best, best)
    assert page.locator(".moe-live-bars li .moe-mono").first.inner_text() == mark
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert len(page.locator("textarea").input_value()) == 4 + 24
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("radio", name="Layer 2").is_checked()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.firstChild.ariaLabel") == "Expert 7 of layer 1, off"


def test_what_the_model_does_not_know_is_refused_with_a_word(show):
    page = show(view("abc"), **STILL)
    area = page.locator("textarea")
    area.press("End")
    area.press("ArrowLeft")
    page.keyboard.insert_text("xéyß")
    assert area.input_value() == "abxyc"
    assert page.get_by_role("status").inner_text() == "The model has never seen “é ß”"
    page.keyboard.type("z")
    assert area.input_value() == "abxyzc"
    assert page.get_by_role("status").inner_text() == ""
    area.fill("")
    assert page.locator(".moe-live-cell, .moe-live-bars li, .moe-live-lit").count() == 0
    assert page.get_by_role("button", name="Go on").is_disabled()
    assert (page.locator(".moe-title").inner_text(), figure(page)) == ("Type something", "")
    area.fill("a" * 121)
    assert page.get_by_role("status").inner_text() == "It takes at most 120 characters"


def test_with_reduced_motion_nothing_moves_by_itself(show):
    page = show(view(), **STILL)
    assert page.locator("textarea").input_value() == TEXT
    assert page.evaluate("document.getAnimations().length") == 0


def test_the_model_writes_until_it_is_stopped(show):
    page = show(view("abc"))
    expect(page.locator("textarea")).to_have_value("abc", timeout=10_000)
    page.get_by_role("button", name="Go on").click()
    page.wait_for_function("document.querySelector('textarea').value.length > 5")
    page.get_by_role("button", name="Stop").click()
    written = page.locator("textarea").input_value()
    page.wait_for_timeout(500)  # nothing more may come
    assert page.locator("textarea").input_value() == written
    assert len(written) < 3 + 24


def test_what_the_model_writes_after_a_sentence_that_was_stopped_does_not_count(show):
    page = show(view())
    page.get_by_role("button", name="Stop").click()
    begun = page.locator("textarea").input_value()
    assert len(begun) < len(TEXT)
    first = read(begun)[1][0]
    tile(page, 0, max(set(first), key=first.count)).click()
    cost = figure(page)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible(timeout=10_000)
    assert len(page.locator("textarea").input_value()) > len(begun)
    assert figure(page) == cost


@pytest.fixture
def opened(chromium):
    """A function that opens a page with an address of its own, as the site's have."""
    contexts = []

    def opened(widget, address=ADDRESS):
        contexts.append(chromium.new_context(**STILL))
        page = contexts[-1].new_page()
        page.route("**", lambda route: route.fulfill(body=page_of(widget), content_type="text/html"))
        page.goto(address)
        page.locator(".moe-widget").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()


def test_a_link_shows_the_sentence_and_the_experts_that_are_off_in_a_fresh_window(opened):
    page = opened(view(link=True))
    page.locator("textarea").fill('a & b="7+8%",\n')
    tile(page, 0, 3).click()
    tile(page, 1, 5).click()
    page.get_by_role("button", name="Link").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("^Link copied$|^The link is in the address bar$"))
    fresh = opened(view(link=True), page.url)
    assert fresh.locator("textarea").input_value() == 'a & b="7+8%",\n'
    off = ["Expert 3 of layer 1, off", "Expert 5 of layer 2, off"]
    assert fresh.locator("[aria-pressed=false]").evaluate_all("(all) => all.map((t) => t.firstChild.ariaLabel)") == off
    assert (numbers(fresh), figure(fresh)) == (numbers(page), figure(page))
    assert fresh.get_by_role("status").inner_text() == ""

    other = opened(view(seed=1, link=True), page.url)
    assert other.get_by_role("status").inner_text().startswith("This link is from another build of the site")
    assert other.locator("textarea").input_value() == 'a & b="7+8%",\n'
    assert other.locator("[aria-pressed=false]").count() == 0

    odd = opened(view(link=True), re.sub("off=[^&]*", "off=1.3,9.9,x,2", page.url).replace("layer=2", "layer=9"))
    assert odd.locator("[aria-pressed=false]").count() == 1
    assert odd.get_by_role("radio", name="Layer 2").is_checked()
    assert opened(view(), page.url).locator("textarea").input_value() == TEXT  # it keeps no links
    assert opened(view()).get_by_role("button", name="Link").count() == 0


@pytest.mark.parametrize(("width", "theme"), TWO_LOOKS)
@pytest.mark.parametrize("sizes", [{}, {"n_layers": 4, "n_experts": 16, "top_k": 2}])
def test_axe_finds_nothing_and_it_fits_a_phone(show, axe, width, theme, sizes):
    page = show(view(**sizes), width, theme=theme, **STILL)
    tile(page, 0, 2).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(axe)
    found = page.evaluate("axe.run('.moe-widget')")["violations"]
    assert [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found] == []


def test_the_letters_stand_on_their_tints_while_it_types(show):
    """The field would not yet have wrapped a word of which the first letters are there."""
    page = show(view("aaaaaaaaaa " * 9), 360)
    field, cells = (page.locator(f".moe-live-line {part}") for part in ("textarea", ".moe-live-cells"))
    colours = [each.evaluate("n => getComputedStyle(n).color") for each in (field, cells)]
    assert colours[0] == "rgba(0, 0, 0, 0)" != colours[1]
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # into the field, which ends the typing
    assert [each.evaluate("n => getComputedStyle(n).color") for each in (field, cells)] == colours[::-1]


def test_a_line_break_has_a_tint_at_the_end_of_its_line(show):
    page = show(view("ab\n\ncd"), **STILL)
    tops, lefts = ([page.locator(".moe-live-cell").nth(i).bounding_box()[side] for i in range(6)] for side in "yx")
    assert tops[0] == tops[1] == tops[2] < tops[3] < tops[4] == tops[5]
    assert lefts[0] == lefts[3] == lefts[4] < lefts[1] < lefts[2]


def test_the_way_follows_the_mouse(show):
    page = show(view(), **STILL)
    page.locator(".moe-live-cell").nth(4).hover(force=True)
    _, (first, second), _ = read(TEXT[:5])
    assert lit(page) == [[first[-1]], [second[-1]]]


def test_the_letters_of_the_field_stand_on_their_cells(show):
    """Each line breaks where the cells' does: a click on a cell puts the caret beside its character."""
    page = show(view("def route(self, x):\n    return self.experts[0](x) + 12 * 34 if x else None\n\n"), 360, **STILL)
    cells = page.locator(".moe-live-cell")
    for i in (0, 18, 21, 30, 47, 60, 70):
        box = cells.nth(i).bounding_box()
        page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
        assert page.evaluate("document.querySelector('textarea').selectionStart") in (i, i + 1)
