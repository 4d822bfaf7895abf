"""The GPT to type into, on a page with no kernel and no network: who answers, who is off, and what a link keeps."""

import math
import re

import pytest
import torch
from on_page import page_of
from playwright.sync_api import expect

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


def verdict(page):
    return " ".join(page.locator(".moe-live-verdict p").inner_text().split())


def test_the_numbers_shown_are_the_models(show):
    page = show(view(), **STILL)
    area = page.locator("textarea")
    assert area.input_value() == TEXT
    _, (first, second), loss = read(TEXT)
    assert numbers(page) == first
    assert lit(page) == [[first[-1]], [second[-1]]]
    page.get_by_role("radio", name="Layer 2").check()
    assert numbers(page) == second
    page.get_by_role("radio", name="Layer 1").check()
    e = max(set(first), key=first.count)
    switch = tile(page, 0, e)
    switch.click()
    scores, (others, _), dearer = read(TEXT, [(0, e)])
    assert numbers(page) == others != first
    said = verdict(page)
    factor, nats, direction = re.search(r"^× ([\d.]+) .*\(([\d.]+) nats a character (\w+)\)$", said).groups()
    assert float(factor) == pytest.approx(math.exp(loss - dearer), abs=0.006)
    assert float(nats) == pytest.approx(abs(dearer - loss), abs=0.006)
    assert direction == ("worse" if dearer > loss else "better")
    assert f"{first.count(e)} of {len(TEXT)}" in page.locator(".moe-title").inner_text()
    assert said in page.locator("[aria-live=polite]").inner_text()
    best = scores[-1].softmax(-1).topk(5)
    shown = [row.split()[-2] for row in page.locator(".moe-live-bars li").all_inner_texts()]
    assert [float(part) for part in shown] == pytest.approx((100 * best.values).tolist(), abs=0.6)
    ahead = page.locator(".moe-live-then .moe-mono")
    expect(ahead).to_have_count(2)
    with_it_off = ahead.first.inner_text()
    page.get_by_role("button", name="Go on").click()
    written = area.input_value()[len(TEXT) :]
    assert written.replace(" ", "·").replace("\n", "⏎") == with_it_off
    assert verdict(page) == said  # what the model writes itself does not count
    switch.click()
    assert numbers(page) == read(TEXT + written)[1][0]


def test_the_sentence_types_itself_while_it_is_in_sight_until_a_key_is_pressed(show):
    page = show(view("x " * 50))
    area = page.locator("textarea")
    page.evaluate("document.body.style.paddingBottom = '5000px'; scrollTo(0, 4000)")
    page.wait_for_timeout(600)  # the observer has seen it
    before = area.input_value()
    page.wait_for_timeout(800)  # nothing more may come
    assert area.input_value() == before
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("n => document.querySelector('textarea').value.length > n", arg=len(before))
    area.press_sequentially("Q9")
    typed = area.input_value()
    assert typed.endswith("Q9")
    page.wait_for_timeout(800)  # nothing more may come
    assert area.input_value() == typed
    assert numbers(page) == read(typed)[1][0]


def test_one_expert_of_a_layer_stays_on(show):
    page = show(view(n_experts=2), **STILL)
    tile(page, 1, 0).click()
    tile(page, 1, 1).click()
    assert "needs an expert" in verdict(page)
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
    area, status = page.locator("textarea"), page.get_by_role("status")
    area.press("End")
    area.press("ArrowLeft")
    page.keyboard.insert_text("xéyß")
    assert area.input_value() == "abxyc"
    assert "é ß" in status.inner_text()
    page.keyboard.type("z")
    assert (area.input_value(), status.inner_text()) == ("abxyzc", "")
    area.fill("")
    assert page.locator(".moe-live-cell, .moe-live-bars li, .moe-live-lit").count() == 0
    assert page.get_by_role("button", name="Go on").is_disabled()
    assert verdict(page) == ""
    area.fill("a" * 121)
    assert "120" in status.inner_text()


def test_the_model_writes_until_it_is_stopped(show):
    page = show(view("abc"))
    expect(page.locator("textarea")).to_have_value("abc")
    page.get_by_role("button", name="Go on").click()
    page.wait_for_function("document.querySelector('textarea').value.length > 5")
    page.get_by_role("button", name="Stop").click()
    written = page.locator("textarea").input_value()
    page.wait_for_timeout(500)  # nothing more may come
    assert page.locator("textarea").input_value() == written
    assert len(written) < 3 + 24


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
    expect(page.get_by_role("status")).not_to_be_empty()

    def state(page):
        return page.locator("textarea").input_value(), numbers(page), verdict(page)

    assert state(opened(view(link=True), page.url)) == state(page)
    other = opened(view(seed=1, link=True), page.url)  # of another build of the site
    assert other.locator("textarea").input_value() == 'a & b="7+8%",\n'
    assert other.locator("[aria-pressed=false]").count() == 0
    expect(other.get_by_role("status")).not_to_be_empty()
    odd = opened(view(link=True), re.sub("off=[^&]*", "off=1.3,9.9,x,2", page.url).replace("layer=2", "layer=9"))
    assert odd.locator("[aria-pressed=false]").count() == 1
    unlinked = opened(view(), page.url)
    assert unlinked.locator("textarea").input_value() == TEXT
    assert unlinked.get_by_role("button", name="Link").count() == 0


def test_a_click_on_a_character_puts_the_caret_there_and_shows_its_way(show):
    """The letters of the field stand on their cells: each line breaks where the cells' does."""
    text = "def route(self, x):\n    return self.experts[0](x) + 12 * 34 if x else None\n\n"
    page = show(view(text), 360, **STILL)
    for i in (0, 18, 21, 47, 60):
        box = page.locator(".moe-live-cell").nth(i).bounding_box()
        page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
        assert page.evaluate("document.querySelector('textarea').selectionStart") in (i, i + 1)
        _, (first, second), _ = read(text[: i + 1])
        assert lit(page) == [[first[-1]], [second[-1]]]
