"""The playground in a browser: what it shows is what it computed, a link is an experiment, and it is kind."""

import math
import re
import time

import pytest
import torch
from on_page import FRAMES, faults
from playing import SETTLED, Opened, names, pages, visit, wide
from playwright.sync_api import expect
from sampled import sampled

from moe_tutorial.show import playground
from moe_tutorial.show.widgets.cards import percent
from moe_tutorial.study.data import Dataset

__all__ = ["pages", "visit", "wide"]  # fixtures
MIXTURE = {"E": 5, "k": 2, "noise": 0.5, "balance": "switch", "data": "spirals"}
# What the page shows must be what this computes, from the same settings and as many steps.
ENGINE = """async ([settings, steps]) => {
  const { createMixture } = await import("/playground/mixture/model.js");
  const model = createMixture(settings);
  model.train(steps);
  const seen = model.evaluate();
  return { ...seen, shares: [...seen.shares], gradient: model.recent().routerGradient };
}"""
ENGINE_OF_TREE = """async ([settings, steps]) => {
  const { createTree } = await import("/playground/tree/model.js");
  const tree = createTree(settings);
  tree.train(steps);
  const { shares, soft, hard, dead, undecided } = tree.evaluate();
  return { shares: [...shares], dead, undecided, soft: soft.accuracy, hard: hard.accuracy };
}"""
NEAREST = """async ([i, across, down]) => {
  const { makeData } = await import("/playground/experiment/data.js");
  const d = makeData("regimes", 0, true), [l, r, b, t] = d.extent, u = l + across * (r - l), v = t - down * (t - b);
  const far = (j) => Math.hypot(d.x[2 * j] - u, d.x[2 * j + 1] - v), pixel = (r - l) / 300;
  return [...Array(300).keys()].every((j) => far(i) <= far(j) + pixel);
}"""


def in_words(shares):
    return [percent(share) if share >= 0.01 else "dead" for share in shares]


def label(opened, picture):
    return opened.root.locator(f"[data-picture={picture}]").get_attribute("aria-label")


def test_the_numbers_shown_are_the_engines(visit):
    opened = visit(fragment="#E=5&k=2&noise=0.5&balance=switch&data=spirals&steps=300")
    truth = opened.page.evaluate(ENGINE, [MIXTURE, 300])
    assert opened.shares() == in_words(truth["shares"])
    reads = opened.readouts()
    assert reads["Dead experts"] == f"{truth['dead']} of 5"
    assert reads["Right, held out"] == f"{100 * truth['accuracy']:.0f} %"
    assert reads["Usage entropy"] == f"{truth['entropy']:.2f} of 1"
    assert reads["Specialisation"] == f"{truth['nmi']:.2f} NMI"
    gradient = re.search(r"Router gradient ([\d.]+),", opened.root.locator(".pg-more").text_content())[1]
    assert float(gradient) == pytest.approx(truth["gradient"], abs=5e-4)


@pytest.mark.parametrize("steps", [63, 600])
def test_the_shares_are_called_near_equal_only_if_each_is(visit, steps):
    words = label(visit(fragment=f"#preset=rules&steps={steps}"), "shares")
    shares = {who: float(share) for who, share in re.findall(r"(expert \d) ([\d.]+)\xa0%", words)}
    even = len(shares) == 4 and all(12.5 <= share <= 37.5 for share in shares.values())
    assert ("near equal" in words) == even


def test_the_numbers_shown_of_a_tree_are_the_engines(visit):
    opened = visit(fragment="#layer=tree&node_balance=0.3&steps=300")
    truth = opened.page.evaluate(ENGINE_OF_TREE, [{"node_balance": 0.3}, 300])
    assert opened.shares() == in_words(truth["shares"])
    captions = opened.root.locator(".pg-cap").all_inner_texts()
    assert [text.split("\n")[-1] for text in captions] == in_words(truth["shares"])
    reads = opened.readouts()
    assert reads["Dead leaves"] == f"{truth['dead']} of 8"
    assert reads["Right, one leaf"] == f"{100 * truth['hard']:.0f} %"
    assert reads["Right, all mixed"] == f"{100 * truth['soft']:.0f} %"
    assert reads["Undecided"] == f"{truth['undecided'] / math.log(2):.2f} of 1"


def test_the_other_kind_begins_with_its_own_experiment_or_with_the_same_points(wide):
    wide.preset("Strong noise")
    wide.button("Tree").click()
    wide.page.wait_for_function("location.hash === '#preset=leaves'")
    assert wide.root.get_by_label("Experiment", exact=True).locator("option:enabled").all_inner_texts() == names("tree")
    wide.choose("Points", "checkerboard").press("Learning rate", "ArrowLeft")
    wide.page.wait_for_function("location.hash.includes('rate=0.018')")
    wide.button("Mixture").click()
    wide.page.wait_for_function("location.hash === '#data=checkerboard&rate=0.018'")


def test_what_was_changed_can_be_chosen_afresh_by_keys_too(wide):
    first = names("mixture")[0]
    menu = wide.preset(first).root.get_by_label("Experiment", exact=True)
    wide.press("Learning rate", "End").button("Step").click()  # on the way: it is still that experiment
    wide.until("step === 601").settle()
    assert wide.experiment() == f"{first}, changed"
    wide.begins(lambda: wide.choose("Experiment", first))
    assert (wide.experiment(), wide.step()) == (first, 0)
    wide.button("Step").click()
    wide.until("step === 1").settle()
    wide.press("Experts, E", "ArrowRight").settle()  # another start
    assert wide.experiment() == "your own settings"
    assert wide.root.locator(".pg-notice").inner_text().startswith("A new run, trained from the start")
    menu.focus()
    for _ in range(3):  # each key starts one
        wide.page.keyboard.press("ArrowDown")
    assert (wide.settle().experiment(), wide.step()) == (names("mixture")[2], 0)
    expect(menu).to_be_focused()


def test_what_a_link_cannot_say_falls_back_with_a_notice_and_an_anchor_is_no_experiment(wide):
    wide.page.evaluate("location.hash = '#E=4&k=7&noise=loud&colour=red'")
    notice = wide.root.locator(".pg-notice")
    notice.get_by_text("there is no setting colour").wait_for()
    assert notice.inner_text().endswith("The rest stands.")
    wide.settle()
    wide.page.wait_for_function("location.hash === '#E=4'")
    wide.preset("Too much penalty")
    assert notice.is_hidden()
    wide.page.evaluate("location.hash = '#the-playground'")
    assert wide.settle().experiment() == "Too much penalty"
    assert notice.is_hidden()


def test_a_click_inspects_the_nearest_point_and_explains_it(visit):
    opened = visit(fragment="#preset=rules&steps=300")
    canvas, tip = opened.root.locator("[data-picture=regions]"), opened.root.locator(".pg-tip")
    assert tip.is_hidden()
    for across, down in ((0.1, 0.1), (0.9, 0.1)):
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        canvas.click(position={"x": across * box["width"], "y": down * box["height"]}, force=True)
        opened.settle()
        assert opened.page.evaluate(NEAREST, [int(opened.slider("Point").input_value()), across, down])
        asked = opened.root.locator(".pg-point tbody tr.moe-on th").inner_text()
        assert f"expert {asked} " in tip.inner_text()
        tip.get_by_role("button", name="Close").click()
    assert tip.is_hidden()


def test_an_expert_can_be_knocked_out_and_comes_back(wide):
    wide.preset("Eight experts, four rules")
    shares = wide.shares()
    best = max(range(8), key=lambda e: float(shares[e].split()[0]) if "%" in shares[e] else 0)
    bar = wide.root.get_by_role("button", name=f"Expert {best} {shares[best]}", exact=True)
    assert bar.get_attribute("title") == "Knock it out"
    bar.press("Enter")
    wide.page.wait_for_function("document.querySelector('.moe-shares').innerText.includes('out')")
    assert wide.settle().shares()[best] == "out"
    wide.knock(best)
    assert wide.settle().shares() == shares
    wide.knock(best).press("Experts, E", "ArrowLeft")
    assert "out" not in wide.settle().shares()  # other experts are new ones


@pytest.mark.parametrize(
    ("fragment", "width", "theme"),
    [
        ("#preset=rules&steps=700&then=600:balance:none&E=none", 1280, "dark"),
        ("#layer=tree&depth=4&steps=100", 360, "light"),
    ],
)
def test_axe_finds_nothing_with_everything_open(visit, axe, fragment, width, theme):
    opened = visit(fragment=fragment, width=width, has_touch=width == 360)
    opened.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    opened.root.locator("[data-picture=regions]").click(position={"x": 60, "y": 60})
    opened.more().button("Take a tour").click()
    opened.button("Copy as PyTorch").click()
    opened.root.get_by_label("What am I looking at?").first.click()
    opened.settle()
    # A colour on its way to another is nobody's to judge.
    opened.page.evaluate("Promise.allSettled(document.getAnimations().map((moving) => moving.finished))")
    assert faults(opened.page, axe, ".moe-root") == []


def test_two_on_a_page_do_not_disturb_each_other(visit):
    first = visit("two")
    second = Opened(first.page, 1)
    first.page.evaluate("scrollTo(0, document.body.scrollHeight)")  # off-screen it would wait
    second.settle()
    second.fast()
    shown = first.hash(), first.pictures()
    second.button("Play").click()
    first.page.wait_for_function("document.querySelectorAll('.moe-root')[1].dataset.step === '600'")  # its end
    second.settle().choose("Points", "spirals").settle()
    assert (first.step(), (first.hash(), first.pictures())) == (0, shown)
    ids = first.page.evaluate("[...document.querySelectorAll('[id]')].map((n) => n.id)")
    assert len(ids) == len(set(ids))


def test_what_nobody_sees_does_not_compute(visit):
    opened = visit(fragment="#steps=0")
    page = opened.page
    opened.button("Play").click()
    opened.until("step > 20")

    def stands_still():
        page.evaluate(FRAMES)  # the step that was under way ends
        paints, step = opened.data("paints"), opened.step()
        page.evaluate(FRAMES)
        return (opened.data("paints"), opened.step()) == (paints, step)

    page.evaluate("document.body.style.paddingTop = '5000px'")  # off-screen
    assert stands_still()
    page.evaluate("document.body.style.paddingTop = '0'")
    assert not stands_still()
    hide = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide % "true" + tell)
    assert stands_still()
    page.evaluate(hide % "false" + tell)
    assert not stands_still()


def test_with_reduced_motion_the_picture_changes_twice_a_second(visit):
    opened = visit(fragment="#steps=0", reduced_motion="reduce")
    opened.button("Play").click()
    opened.until("step > 0")
    before, begun = int(opened.data("paints")), time.monotonic()
    opened.until("step > 100")
    assert int(opened.data("paints")) - before <= 2 * (time.monotonic() - begun) + 1


def test_ones_own_points_are_learnt_in_the_page(show):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(300, 2, generator=draw)
    y = (x[:, 0] * x[:, 1] > 0).long()
    own = Dataset(x[:200], y[:200], y[:200], x[200:], y[200:], y[200:])
    page = show(playground(data=own, E=4, steps=200))
    page.wait_for_function(SETTLED.format(n=0))
    assert Opened(page).step() == 200
    assert "of 200 training points right" in page.locator(".pg-mixture").inner_text()
    assert page.locator(".pg-points").is_hidden()  # they cannot be changed


@pytest.mark.parametrize("width", sampled([390, 1280], [390]))
def test_the_tour_goes_by_keys_and_stays_in_sight(visit, width):
    opened = visit(width=width)
    opened.more().button("Take a tour").press("Enter")
    for stop in range(1, 8):
        expect(opened.root.get_by_text(f"{stop} of 7")).to_be_in_viewport()
        assert opened.button("End the tour").is_visible() == (stop < 7)
        assert opened.root.locator(".pg-fields").is_visible() == (width == 1280 or stop > 3)  # the drawer is opened
        expect(opened.root.get_by_role("button", name="Done" if stop == 7 else "Next", exact=True)).to_be_in_viewport()
        opened.page.keyboard.press("Enter")
    expect(opened.root.get_by_role("dialog", name="A tour")).to_be_hidden()
