"""The widgets on a page with no kernel and no network: their code gets a stub of the model, with the state alone."""

from types import SimpleNamespace

import pytest
import torch
from on_page import FRAMES

from moe_tutorial.show.regions import explore_router, grid, watch_training, watch_usage
from moe_tutorial.show.widgets.sweep import sweep

POINTS = torch.rand(100, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.arange(100) % 10
ANGLE = torch.arange(8) * torch.pi / 4
WEIGHT = 4 * torch.stack([ANGLE.cos(), ANGLE.sin()])


def explorer(k=1):
    def route(x):
        logits = x @ WEIGHT
        return SimpleNamespace(logits=logits, indices=logits.topk(k).indices)

    return explore_router(route, POINTS, LABELS)


def trained():
    places = grid(POINTS, 32)
    collapsed = 0.2 * WEIGHT + 0
    frames = [places @ WEIGHT, places @ collapsed + torch.tensor([9.0] + [0.0] * 7)]
    experts = torch.eye(8)
    shares = torch.stack([experts[(POINTS @ WEIGHT).argmax(-1)].mean(0), experts[0]])
    return watch_training(frames, POINTS, LABELS, steps=[0, 300], shares=shares, score=[0.5, 0.9])


def title(page):
    return page.locator(".moe-title").inner_text()


def raced():
    """Expert 3 wins: from a fair share to almost all."""
    steps = torch.arange(11)
    shares = torch.zeros(11, 8) + ((1 - steps / 10.05) / 8)[:, None]
    shares[:, 3] += 1 - shares.sum(-1)
    return watch_usage(shares, 100 * steps, score=(steps + 1) / 12, score_name="loss")


@pytest.mark.parametrize(("make", "width"), [(explorer, 1280), (trained, 320), (raced, 320)])
def test_it_fits_its_column_and_is_drawn_in_both_themes(show, make, width):
    page = show(make(), width, reduced_motion="reduce")  # a film stands still
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for number, canvas in enumerate(page.locator("canvas").all()):
        assert canvas.evaluate("(c) => c.width === c.clientWidth && c.height === c.clientHeight && c.width > 200")
        light = canvas.evaluate("(c) => c.toDataURL()")
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        changed = "([n, light]) => document.querySelectorAll('canvas')[n].toDataURL() !== light"
        page.wait_for_function(changed, arg=[number, light])
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        page.wait_for_function(f"(a) => !({changed})(a)", arg=[number, light])


def test_the_titles_say_what_is_drawn(show):
    page = show(explorer())
    assert title(page).startswith("All 8 experts have a region; the weight is 0.")
    page.get_by_label("Order").select_option("top-k, then softmax")
    assert title(page).endswith("the weight is exactly 1, whatever the logits say")
    page.get_by_role("slider", name="Chosen per point, k").fill("2")
    assert title(page) == "8 different pairs answer for the points; the weights always sum to 1"
    page.get_by_role("slider", name="Chosen per point, k").fill("8")
    assert "all 8 experts" in title(page)
    page = show(trained(), reduced_motion="reduce")
    first = 100 * ((POINTS @ WEIGHT).argmax(-1) == 0).float().mean()
    assert title(page) == f"By step 300 expert 0 takes 100 % of the points, up from {first:.1f} %; 7 of 8 are dead"
    assert page.locator(".moe-shares .moe-dead").count() == 7


def test_the_inspected_point_shows_the_numbers_that_torch_computes(show):
    page = show(explorer(k=2))
    page.get_by_role("slider", name="Temperature").fill("0.5")
    page.get_by_role("slider", name="Point", exact=True).fill("7")
    probs = (POINTS[7] @ WEIGHT / 10**0.5).softmax(-1)
    best = probs.topk(2)
    shown = [text.strip() for text in page.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert shown == [f"{p:.2f}" for p in probs.tolist()]
    rows = page.locator("tbody tr.moe-on")
    assert {int(row.split()[0]) for row in rows.all_inner_texts()} == set(best.indices.tolist())
    assert page.locator("tfoot td").inner_text() == f"{best.values.sum():.2f}"


def test_training_plays_only_when_asked_and_in_leaps_with_reduced_motion(show):
    page = show(raced(), reduced_motion="reduce")
    at_end = title(page)
    page.evaluate("""() => {
      const title = document.querySelector(".moe-title");
      window.titles = [];
      const note = () => titles.push(title.textContent);
      new MutationObserver(note).observe(title, { childList: true });
    }""")
    for _ in range(2):
        page.evaluate(FRAMES)
    assert page.evaluate("titles") == []
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Play").wait_for()  # it says Pause while it plays
    first, last = page.evaluate("titles")  # nothing of the nine frames between
    assert first.startswith("At step 0")
    assert last == at_end


def test_a_stored_sweep_moves_without_a_kernel_and_one_that_is_not_stored_has_no_dead_control(show, monkeypatch):
    for site, moves in (("1", True), ("", False)):
        monkeypatch.setenv("MOE_SITE", site)
        page = show(sweep(lambda a, b: f"<p>{a} and {b}</p>", a=[1, 2], b=("Second", [3, 4, 5])))
        assert page.locator(".moe-out").inner_text() == "1 and 3"
        assert page.get_by_role("slider").count() == 2 * moves
        if moves:
            page.get_by_role("slider", name="Second").press("End")
            assert page.locator(".moe-out").inner_text() == "1 and 5"
            assert page.get_by_role("slider", name="Second").get_attribute("aria-valuetext") == "5"


def test_a_film_plays_once_from_step_0_when_it_comes_into_sight(show):
    page = show(raced(), height=300)
    assert title(page).startswith("At step 0")
    page.locator("canvas").first.evaluate("(c) => c.scrollIntoView()")
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    at_end = title(page)
    assert at_end.startswith("By step 1000")
    for y in (0, 200):
        page.evaluate(f"scrollTo(0, {y})")
        page.evaluate(FRAMES)
    assert title(page) == at_end


def test_paper_shows_a_films_last_step(show):
    page = show(raced(), height=300)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert title(page).startswith("By step 1000")


def test_a_usage_race_goes_by_its_slider_and_its_title_says_who_leads(show):
    page = show(raced(), reduced_motion="reduce")
    assert title(page) == "By step 1000 expert 3 takes 100 % of the choices, up from 13 %; 7 of 8 are dead"
    canvas = page.locator("canvas").first
    at_end = canvas.evaluate("(c) => c.toDataURL()")
    page.get_by_role("slider", name="Step").fill("5")
    assert title(page) == "By step 500 expert 3 takes 56 % of the choices, up from 13 %; all 8 work"
    assert canvas.evaluate("(c) => c.toDataURL()") != at_end
    assert "expert 3 56 %" in canvas.get_attribute("aria-label")
    assert page.locator(".moe-shares li").nth(3).inner_text().split() == ["3", "56", "%"]
    assert page.locator(".moe-shares b").first.evaluate("fair => fair.style.left") == "12.5%"  # an eighth of the row
    assert page.get_by_text("Loss 0.50, from 0.08").count() == 1
