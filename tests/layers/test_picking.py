"""The compiled softmax and top-k of a router equals its plain way, in choices, gradients, and what no row should be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call, stack_module_state, vmap

from moe_tutorial.layers import Router
from moe_tutorial.layers.fast import pick

pytest.importorskip("numba")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from([0, 1, 2, 7, 130]),
    st.sampled_from([1, 2, 3, 8, 17, 64]),
    st.integers(1, 9),
    st.sampled_from([0.1, 1.0, 5.0]),
    st.sampled_from([(True, True), (True, False), (False, True)]),
    st.booleans(),
)
def test_it_equals_the_plain_way_in_choice_and_gradients(T, E, k, size, asked, renormalize):
    torch.manual_seed(T + E)
    router, logits = Router(3, E, min(k, E), renormalize=renormalize), (size * torch.randn(T, E)).requires_grad_()
    by_probs, by_weights = torch.randn(T, E), torch.randn(T, min(k, E))
    found = []
    for probs, indices, weights in (pick(router, logits), router.pick(logits)):
        score = sum(
            (values * by).sum()
            for values, by, wanted in zip((probs, weights), (by_probs, by_weights), asked, strict=True)
            if wanted
        )
        found.append([probs, indices, weights, *torch.autograd.grad(score, logits)])
        assert not indices.requires_grad
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("renormalize", [False, True])
def test_the_gradient_of_a_gradient_is_that_of_the_plain_way(renormalize):
    router, logits, found = Router(3, 6, 2, renormalize=renormalize), torch.randn(9, 6, requires_grad=True), []
    for probs, _, weights in (pick(router, logits), router.pick(logits)):
        (slope,) = torch.autograd.grad(weights.pow(3).sum() + probs.pow(3).sum(), logits, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), logits)[0])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_row_that_is_not_finite_is_what_torch_makes_of_it(bad):
    router, logits = Router(3, 5, 2), torch.randn(4, 5)
    logits[1, 3] = bad
    probs, indices, weights = pick(router, logits)
    expected = logits.softmax(-1)
    torch.testing.assert_close(probs, expected, equal_nan=True)
    torch.testing.assert_close(weights, expected.gather(-1, indices), equal_nan=True)


def test_among_equals_it_names_k_different_experts():
    probs, indices, weights = pick(Router(3, 7, 4), torch.zeros(5, 7))
    assert (indices.sort(-1).values.diff() > 0).all()
    torch.testing.assert_close(weights, torch.full((5, 4), 1 / 7))
    torch.testing.assert_close(probs, torch.full((5, 7), 1 / 7))


@pytest.mark.parametrize(
    "options", [{"gate": "topk_softmax"}, {"gate": "sigmoid_topk"}, {"bias": True}, {"n_groups": 2, "top_groups": 1}]
)
def test_a_router_that_ranks_otherwise_goes_its_plain_way(options):
    assert pick(Router(3, 6, 2, **options), torch.randn(4, 6)) is None


def test_a_subclass_that_chooses_in_its_own_way_is_asked():
    class Worst(Router):
        def choose(self, ranking):
            return (-ranking).topk(self.top_k).indices

    routing = Worst(3, 6, 1)(torch.randn(20, 3))
    assert torch.equal(routing.indices, routing.probs.argmin(-1, keepdim=True))


def test_other_dtypes_layouts_and_no_numba_go_the_plain_way(monkeypatch):
    router, logits = Router(3, 6, 2), torch.randn(4, 6)
    assert pick(router, logits) is not None
    assert pick(router, logits.double()) is None
    assert pick(router, torch.randn(6, 4).T) is None
    monkeypatch.setattr("moe_tutorial.layers.fast.picking.load", lambda name: None)
    assert pick(router, logits) is None


def test_routers_that_train_as_one_are_not_touched():
    routers, x = [Router(3, 6, 2) for _ in range(3)], torch.randn(8, 3)
    parameters, buffers = stack_module_state(routers)
    together = vmap(lambda p, b: functional_call(routers[0], (p, b), (x,)).probs)(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([router(x).probs for router in routers]))


@pytest.mark.parametrize("size", [1e-6, 100.0])
def test_where_probabilities_tie_it_names_others_of_the_same(size):
    """Logits may differ where their probabilities, in float32, do not: all near 1 / E, or all 0."""
    router, logits = Router(3, 64, 5), size * torch.randn(300, 64)
    (probs, indices, weights), (expected, _, heaviest) = pick(router, logits), router.pick(logits)
    torch.testing.assert_close(probs, expected, atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(weights, heaviest, atol=1e-7, rtol=1e-5)
    assert torch.equal(weights, probs.gather(-1, indices))
    assert (indices.sort(-1).values.diff() > 0).all()
