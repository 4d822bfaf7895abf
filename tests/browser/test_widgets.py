"""The widgets on a page with no kernel and no network: their code gets a stub of the model, with the state alone."""

import re
from types import SimpleNamespace

import pytest
import torch
from in_lab import picture
from on_page import FRAMES

from moe_tutorial.show.regions import explore_router, grid, watch_training, watch_usage

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


@pytest.mark.parametrize("make", [explorer, trained, raced])
def test_it_is_drawn_in_both_themes(show, make):
    page = show(make(), 320, reduced_motion="reduce")  # a film stands still
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    light = [(canvas.element_handle(), picture(canvas)) for canvas in page.locator("canvas").all()]
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    for canvas, picture_in_light in light:
        page.wait_for_function("([canvas, light]) => canvas.toDataURL() !== light", arg=[canvas, picture_in_light])


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
    page.get_by_label("Order").select_option("top-k, then softmax")
    assert page.locator("tfoot td").inner_text() == "1.00"


def test_films_show_the_shares_that_were_recorded(show):
    page = show(trained(), reduced_motion="reduce")
    first = 100 * ((POINTS @ WEIGHT).argmax(-1) == 0).float().mean()
    assert re.findall(r"[\d.]+(?=\xa0%)", title(page)) == ["100", f"{first:.1f}"]
    assert page.locator(".moe-shares .moe-dead").count() == 7
    page = show(raced(), reduced_motion="reduce")
    for step, share in ((10, 100), (5, 56)):
        page.get_by_role("slider", name="Step").fill(str(step))
        assert title(page).startswith(f"By step {step}00 expert 3 takes {share}\xa0% of the choices, up from 13\xa0%")
        assert page.locator(".moe-shares li").nth(3).inner_text().split() == ["3", str(share), "%"]


def test_training_plays_only_when_asked_and_in_leaps_with_reduced_motion(show):
    page = show(raced(), reduced_motion="reduce")
    at_end = title(page)
    page.evaluate("""() => {
      const title = document.querySelector(".moe-title");
      window.titles = [];
      new MutationObserver(() => titles.push(title.textContent)).observe(title, { childList: true });
    }""")
    page.evaluate(FRAMES)
    assert page.evaluate("titles") == []
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Play").wait_for()  # it says Pause while it plays
    first, last = page.evaluate("titles")  # nothing of the nine frames between
    assert first.startswith("At step 0")
    assert last == at_end


def test_a_film_plays_once_from_step_0_when_it_comes_into_sight(show):
    page = show(raced(), height=60)
    assert title(page).startswith("At step 0")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    at_end = title(page)
    assert at_end.startswith("By step 1000")
    for height in (60, 900):
        page.set_viewport_size({"width": 1280, "height": height})
        page.evaluate(FRAMES)
    assert title(page) == at_end


def test_paper_shows_a_films_last_step(show):
    page = show(raced(), height=300)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert title(page).startswith("By step 1000")
