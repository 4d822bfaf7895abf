"""The GPT to type into, on a page with no kernel and no network: who answers, who is off, and what a link keeps."""

import re

import torch
from playwright.sync_api import expect

from moe_tutorial.layers import GPT, GPTConfig
from moe_tutorial.show.widgets.live_gpt import Dare, dequantised, live_gpt
from moe_tutorial.study import CHARACTERS, decode, encode, texts
from moe_tutorial.study.language import without_experts
from moe_tutorial.tools.site.content.trained import MORE, fallen, letters

TEXT = "The 12 monkeys ate 7*8=56 bananas"
STILL = {"reduced_motion": "reduce"}


def gpt(seed=1):
    torch.manual_seed(seed)
    model = GPT(GPTConfig(len(CHARACTERS), d_model=16, n_heads=2, d_hidden=16, feed_forward="moe")).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight)  # so that experts differ
    with torch.no_grad():
        model.position.weight *= 2  # and what it writes does not repeat itself
    return model


def view(text=TEXT, seed=1, link=False, dares=()):
    return live_gpt(gpt(seed), text, link=link, dares=dares)


def model_without(off):
    """The model as the page has it, without these experts (block, number)."""
    model = dequantised(gpt())
    return without_experts(model, [[(b, e) in off for e in range(8)] for b in range(len(model.blocks))])


@torch.no_grad()
def read(text, off=()):
    """Each block's first choices for a text."""
    _, _, records = model_without(off)(encode(text)[None])
    return [r.indices[:, 0].tolist() for r in records]


def numbers(page):
    """The experts' numbers below the characters, as the page draws them."""
    cells = page.locator(".moe-live-cell")
    return cells.evaluate_all("(all) => all.map((c) => +getComputedStyle(c, '::after').content.slice(1, -1))")


def tile(page, b, e):
    return page.locator(".moe-live-layer").nth(b).locator(".moe-live-tile").nth(e)


def lit(page):
    asked = "(all) => all.flatMap((t, e) => t.matches('.moe-live-lit') ? [e] : [])"
    return [each.locator(".moe-live-tile").evaluate_all(asked) for each in page.locator(".moe-live-layer").all()]


def score(page):
    return " ".join(page.locator(".moe-live-score p").inner_text().split())


def rule(page):
    return page.locator(".moe-live-rule").inner_text()


def title(page):
    return page.locator(".moe-title").inner_text()


def rows(page):
    """How the sentence goes on with all experts and without some, and how many letters glow."""
    lines = page.locator(".moe-live-goes p")
    written = ["".join(line.locator("span:not(.moe-live-begun)").all_text_contents()) for line in lines.all()]
    with_all, without = (text.replace("·", " ").replace("⏎", "\n") for text in written)
    return with_all, without, lines.locator(".moe-live-fell").count()


@torch.no_grad()
def goes_on(text, off=(), length=12):
    return decode(model_without(off).generate(encode(text)[None], length, temperature=0)[0, len(text) :])


def dare(text, length=10):
    right = goes_on(text, length=length)
    written = {(b, e): goes_on(text, [(b, e)], length) for b in range(2) for e in range(8)}
    broken = [(*at, each) for at, each in written.items() if 2 * fallen(right, each) >= letters(right)]
    return Dare(text, right, broken, "a book"), written


def test_what_is_shown_are_the_models_numbers(show):
    page = show(view(), **STILL)
    assert page.locator("textarea").input_value() == TEXT
    first, second = read(TEXT)
    assert numbers(page) == first
    assert lit(page) == [[first[-1]], [second[-1]]]
    assert page.locator(".moe-live-ways path").count() == 2
    page.get_by_role("radio", name="Layer 2").check()
    assert numbers(page) == second
    page.get_by_role("radio", name="Layer 1").check()
    right = goes_on(TEXT)
    assert rows(page) == (right, "?" * 12, 0)
    e = max(set(first), key=lambda e: fallen(right, goes_on(TEXT, [(0, e)])))
    switch = tile(page, 0, e)
    switch.click()
    others, _ = read(TEXT, [(0, e)])
    assert numbers(page) == others != first
    written = goes_on(TEXT, [(0, e)])
    fell = fallen(right, written)
    assert rows(page) == (right, written, fell)  # what is red is counted
    assert fell > 1
    assert f"{fell} of {letters(right)} letters change" in title(page)
    assert title(page).startswith("Broken") == (2 * fell >= letters(right))
    assert title(page) in page.locator("[aria-live=polite]").inner_text()
    switch.click()
    assert numbers(page) == first
    assert rows(page) == (right, "?" * 12, 0)


def test_the_sentence_types_itself_while_it_is_in_sight_until_a_key_is_pressed(show):
    page = show(view("x " * 30))
    area = page.locator("textarea")
    page.evaluate("document.body.style.paddingBottom = '5000px'; scrollTo(0, 4000)")
    page.wait_for_timeout(600)  # the observer has seen it
    before = area.input_value()
    page.wait_for_timeout(400)  # nothing more may come
    assert area.input_value() == before
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("n => document.querySelector('textarea').value.length > n", arg=len(before))
    area.press_sequentially("Q9")
    typed = area.input_value()
    assert typed.endswith("Q9")
    page.wait_for_timeout(400)  # nothing more may come
    assert area.input_value() == typed
    assert numbers(page) == read(typed)[0]


def test_one_expert_of_a_layer_stays_on(show):
    page = show(view(), **STILL)
    for e in range(8):
        tile(page, 1, e).click()
    assert "needs an expert" in rule(page)
    assert page.locator("[aria-pressed=false]").count() == 7


def test_keys_alone_do_all(show):
    page = show(view(), **STILL)
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("a=1 ")
    assert numbers(page) == read("a=1 ")[0]
    page.keyboard.press("ArrowLeft")  # the way of the character before the caret
    page.keyboard.press("ArrowLeft")
    first, second = read("a=")
    assert lit(page) == [[first[-1]], [second[-1]]]
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
    page.keyboard.type("zß")
    assert area.input_value() == "abxyzc"
    assert status.inner_text().count("ß") == 1  # it stands there until the sentence is another
    area.fill("")
    assert status.inner_text() == ""
    assert page.locator(".moe-live-cell, .moe-live-goes p span, .moe-live-lit").count() == 0
    assert rule(page) == score(page) == ""
    area.fill("a" * 121)
    assert "120" in status.inner_text()


def test_a_link_shows_the_sentence_and_the_experts_that_are_off_in_a_fresh_window(visit):
    page = visit(view(link=True), **STILL)
    page.locator("textarea").fill('a & b="7+8%",\n')
    tile(page, 0, 3).click()
    tile(page, 1, 5).click()
    assert score(page).startswith("2 tries")
    link = page.get_by_role("button", name=re.compile("Link|address bar"))
    link.click()
    expect(link).to_have_text(re.compile("Link copied|address bar"))

    def state(page):
        return page.locator("textarea").input_value(), numbers(page), rows(page), title(page), score(page)

    words = page.url.partition("#")[2]
    assert state(visit(view(link=True), fragment=words)) == state(page)
    other = visit(view(seed=2, link=True), fragment=words)  # of another build of the site
    assert other.locator("textarea").input_value() == 'a & b="7+8%",\n'
    assert other.locator("[aria-pressed=false]").count() == 0
    expect(other.get_by_role("status")).not_to_be_empty()
    odd = visit(view(link=True), fragment=re.sub("off=[^&]*", "off=1.3,9.9,x,2", words).replace("layer=2", "layer=9"))
    assert odd.locator("[aria-pressed=false]").count() == 1


def test_a_click_on_a_character_puts_the_caret_there_and_shows_its_way(show):
    """The letters of the field stand on their cells: each line breaks where the cells' does."""
    text = "def route(self, x):\n    return self.experts[0](x) + 12 * 34 if x else None\n\n"
    page = show(view(text), 360, **STILL)
    for i in (0, 47):
        box = page.locator(".moe-live-cell").nth(i).bounding_box()
        page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
        assert page.evaluate("document.querySelector('textarea').selectionStart") in (i, i + 1)
        first, second = read(text[: i + 1])
        assert lit(page) == [[first[-1]], [second[-1]]]


def test_a_dare_is_broken_by_one_expert_alone_and_the_tries_are_counted(show):
    (one, written), (other, _) = dare(TEXT), dare("if x is not")
    page = show(view(dares=[one, other]), **STILL)
    assert "cannot do without" in title(page)
    assert rows(page)[0] == one.right
    broken = {(b, e) for b, e, _ in one.experts}
    spared = next(at for at in written if at not in broken)
    for (b, e), clicks, says in ((spared, 7, "4 tries."), (next(iter(broken)), 1, "Found in 5 tries")):
        for _ in range(clicks):
            tile(page, b, e).click()
        assert page.locator("[aria-pressed=false]").count() == 1  # the one before is on again
        assert rows(page)[1] == written[b, e]
        assert title(page).startswith("Broken") == ((b, e) in broken)
        assert score(page).startswith(says)
        assert rule(page).startswith("Why?" if (b, e) in broken else ("Not broken", "Close, but not broken"))
        assert (f"look in layer {one.experts[0][0] + 1}" in rule(page)) == (clicks > 1)  # after four tries
    page.locator("textarea").press_sequentially("!")
    assert "cannot do without" not in title(page)
    assert rows(page)[:2] == (goes_on(f"{TEXT}!"), goes_on(f"{TEXT}!", [(b, e)]))
    for each in (one, other):
        page.get_by_role("button", name="Another").click()
        assert (page.locator("textarea").input_value(), rows(page)[0]) == (each.text, each.right)
    assert page.locator("[aria-pressed=false]").count() == 0


def test_a_link_to_a_broken_dare_asks_first_and_then_shows_how(visit):
    (one, written), (other, _) = dare(TEXT), dare("if x is not")
    b, e, _ = one.experts[0]
    page = visit(view(link=True, dares=[one]), **STILL)
    tile(page, b, e).dblclick()  # on again: the link has what broke it
    page.get_by_role("button", name="Link").click()
    friend = visit(view(link=True, dares=[one, other]), fragment=page.url.partition("#")[2])
    assert "cannot do without" in title(friend)
    assert score(friend).startswith("Somebody broke it in 1 try.")
    friend.get_by_role("button", name="Show me").click()
    assert rows(friend)[1] == written[b, e]
    friend.get_by_role("button", name="Another").click()
    assert "#" not in friend.url


def test_a_dare_types_itself_and_says_at_once_what_to_do(show):
    page = show(view(dares=[dare(TEXT)[0]]))
    assert "cannot do without" in title(page)
    assert page.locator("textarea").input_value() != TEXT
    expect(page.locator("textarea")).to_have_value(TEXT)


# Switches off each expert, with which the one before is on again. Returns whether this broke the sentence.
BROKEN = """() => [...document.querySelectorAll(".moe-live-tile")].map((tile) => {
  tile.click();
  return document.querySelector(".moe-title").textContent.startsWith("Broken");
})"""


def test_the_front_pages_dares_are_finished_rightly_and_broken_by_one_or_two_experts(open_page):
    """By the page's own numbers: at least eight, with eight letters or more each, from text that it never read."""
    page = open_page("index.html", **STILL)
    page.locator(".moe-late[data-mounted]").wait_for()
    read, more = texts(), texts(MORE)
    streams = zip(read.train[:2], more.train[:2], more.test[:2], strict=True)
    known, unread = zip(*((decode(a), decode(torch.cat([b, c])[len(a) :])) for a, b, c in streams), strict=True)
    found = {}
    while (text := page.locator("textarea").input_value()) not in found:
        right, _, _ = rows(page)
        assert letters(right) >= 8
        assert any(text + right in each for each in unread)
        assert not any(text[-16:] + right in each for each in known)
        found[text] = page.evaluate(BROKEN)
        assert sum(found[text]) in (1, 2)
        page.get_by_role("button", name="Another").click()
        assert title(page).startswith(("One of these sixteen", "Two of these sixteen"))
    assert len(found) >= 8
    assert max(list(found.values()).count(broken) for broken in found.values()) <= 2  # or the answer would be known
    assert page.wrong == []
