"""The region widgets' Python side: what goes into the page, and what is refused."""

import gzip

import numpy as np
import pytest
import torch
from torch import nn

from moe_tutorial.layers import MixtureOfExperts, Router
from moe_tutorial.show.regions import FRAME_BUDGET, explore_router, grid, watch_training, watch_usage

POINTS = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = (POINTS[:, 0] > 0).long()


def linear(n_experts=4, seed=0):
    weight = torch.randn(n_experts, 2, generator=torch.Generator().manual_seed(seed))
    return lambda x: x @ weight.to(x.dtype).T


def recorded(n_frames=5, n_experts=4, resolution=16):
    places = grid(POINTS, resolution)
    return torch.stack([linear(n_experts, seed=s)(places) for s in range(n_frames)])


def floats(data, *shape):
    return np.frombuffer(data, np.float32).reshape(*shape)


def test_grid_covers_the_points_row_by_row_from_the_top():
    places = grid(POINTS, 10)
    assert places.shape == (100, 2)
    assert (places.min(0).values < POINTS.min(0).values).all()
    assert (places.max(0).values > POINTS.max(0).values).all()
    assert (places[:10, 1] == places[0, 1]).all()
    assert places[0, 1] > places[-1, 1]
    assert places[0, 0] < places[9, 0]
    with pytest.raises(ValueError, match="resolution must be an integer from 8 to 128, got 4"):
        grid(POINTS, 4)


def test_the_page_gets_the_learners_own_logits():
    router = linear()
    widget = explore_router(router, POINTS, LABELS)
    np.testing.assert_allclose(floats(widget.point_logits, 60, 4), router(POINTS).numpy(), atol=1e-6)
    np.testing.assert_allclose(floats(widget.logits, 64 * 64, 4), router(grid(POINTS, 64)).numpy(), atol=1e-6)
    assert list(widget.labels) == LABELS.tolist()


def test_a_router_may_return_logits_a_routing_or_an_output_with_its_routing():
    torch.manual_seed(0)
    router = Router(2, 4, top_k=2)
    expected = router(POINTS).logits.detach().numpy()
    moe = MixtureOfExperts(2, 8, 4, top_k=2)
    moe_expected = moe(POINTS)[1].logits.detach().numpy()
    for asked, logits, k in [(router, expected, 2), (moe, moe_expected, 2), (lambda x: router(x).logits, expected, 1)]:
        widget = explore_router(asked, POINTS)
        np.testing.assert_allclose(floats(widget.point_logits, 60, 4), logits, atol=1e-6)
        assert widget.settings["k"] == k


def test_a_module_is_asked_in_eval_mode_without_a_gradient_and_left_as_it_was():
    router = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.9))
    router[0].eval()
    widget = explore_router(router, POINTS)
    assert (router.training, router[0].training, router[1].training) == (True, False, True)
    np.testing.assert_allclose(floats(widget.point_logits, 60, 4), router[0](POINTS).detach().numpy(), atol=1e-6)


def test_packed_frames_keep_who_is_best_and_how_sure_the_router_is():
    frames = recorded() * 5
    widget = watch_training(list(frames), POINTS, steps=range(5), shares=raced())
    below = widget.settings["span"] * (np.frombuffer(widget.frames, np.uint8).reshape(frames.shape) / 255) ** 2
    back, true = torch.from_numpy(-below).softmax(-1), frames.softmax(-1)
    assert (back - true).abs().max() < 0.03
    lead = true.topk(2).values.diff().abs().squeeze(-1)
    assert (back.argmax(-1) == true.argmax(-1))[lead > 0.01].all()


def test_a_page_stays_small_however_long_the_training():
    frames = recorded(n_frames=300, n_experts=8, resolution=40)
    widget = watch_training(frames, POINTS, steps=range(300), score=torch.rand(300), shares=torch.rand(300, 8))
    kept = len(widget.settings["steps"])
    assert len(widget.frames) == kept * 1600 * 8 <= FRAME_BUDGET
    assert (widget.settings["steps"][0], widget.settings["steps"][-1]) == (0, 299)
    assert len(widget.settings["score"]) == len(widget.settings["shares"]) == kept
    assert len(gzip.compress(widget.frames)) < 1_000_000
    explorer = explore_router(linear(16), POINTS)
    assert sum(len(v) for v in explorer.get_state().values() if isinstance(v, bytes | str)) < 400_000


def raced(n_frames=5, n_experts=4):
    return torch.rand(n_frames, n_experts, generator=torch.Generator().manual_seed(0)).softmax(-1)


def test_usage_keeps_its_shares_and_a_long_one_its_ends():
    widget = watch_usage(raced(), range(0, 50, 10), score=[0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(widget.settings["shares"], raced().numpy(), atol=1e-3)
    assert (widget.settings["steps"], widget.settings["score"][-1]) == ([0, 10, 20, 30, 40], 0.5)
    steps = watch_usage(raced(1001, 8), range(1001)).settings["steps"]
    assert (steps[0], steps[-1], len(steps)) == (0, 1000, 160)


EXPLORE = {"call": explore_router, "router": linear(), "points": POINTS}
WATCH = {"call": watch_training, "frames": recorded(), "points": POINTS, "steps": range(5), "shares": raced()}
USAGE = {"call": watch_usage, "shares": raced(), "steps": range(5)}


@pytest.mark.parametrize(
    ("usual", "change", "message"),
    [
        (EXPLORE, {"points": torch.rand(60, 3)}, r"points has shape \(60, 3\); allowed is \(N, 2\)"),
        (EXPLORE, {"points": torch.rand(2001, 2)}, "N from 1 to 2000"),
        (EXPLORE, {"points": torch.full((60, 2), float("nan"))}, "points holds 120 values that are NaN"),
        (EXPLORE, {"labels": LABELS[:59]}, r"labels has shape \(59,\); allowed is \(60,\)"),
        (EXPLORE, {"labels": LABELS + 9}, "labels holds 10; allowed are whole numbers from 0 to 9"),
        (EXPLORE, {"router": linear(17)}, "router has 17 experts; allowed are 1 to 16"),
        (EXPLORE, {"router": lambda x: x.sum(-1)}, r"router returns shape \(\d+,\)"),
        (WATCH, {"frames": torch.rand(5, 15, 4)}, r"frames has shape \(5, 15, 4\)"),
        (WATCH, {"frames": torch.rand(5, 36, 4)}, "places along each side must be an integer from 8 to 128, got 6"),
        (WATCH, {"steps": [0, 1, 2]}, "allowed are 5 rising numbers"),
        (WATCH, {"steps": [0, 1, 2, 2, 3]}, "rising"),
        (WATCH, {"k": 5}, "k must be an integer from 1 to n_experts = 4, got 5"),
        (WATCH, {"shares": torch.rand(5, 3)}, r"shares has shape \(5, 3\); allowed is \(5, 4\)"),
        (WATCH, {"score": torch.rand(4)}, r"score has shape \(4,\); allowed is \(5,\)"),
        (USAGE, {"shares": torch.rand(5)}, r"shares has shape \(5,\); allowed is \(F, experts\)"),
        (USAGE, {"shares": torch.full((5, 4), 0.5)}, "shares sums to 2 in row 0; allowed are parts of 1"),
        (USAGE, {"shares": torch.tensor([[1.5, -0.5]] * 5)}, "allowed are parts of 1"),
    ],
)
def test_it_refuses_with_name_value_and_what_is_allowed(usual, change, message):
    arguments = usual | change
    with pytest.raises((TypeError, ValueError), match=message):
        arguments.pop("call")(**arguments)
