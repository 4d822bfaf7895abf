"""The path layer: both ways of computing are the definition, which is UltraFastBERT's, and its nodes learn."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from moe_tutorial.layers import PathLayer
from moe_tutorial.study import digits, train

ACTIVATION = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


def make(depth=3, activation="gelu", seed=0):
    torch.manual_seed(seed)
    return PathLayer(6, 5, depth, activation)


def by_hand(layer, token):
    """One token's answer, and where it leaves the tree."""
    node, y = 0, torch.zeros(layer.d_out)
    while node < len(layer.w_in):
        score = layer.w_in[node] @ token + layer.b_in[node]
        y += ACTIVATION[layer.activation](score) * layer.w_out[node]
        node = 2 * node + (2 if score >= 0 else 1)
    return y, node - len(layer.w_in)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 50), st.sampled_from(sorted(ACTIVATION)), st.integers(0, 2**20))
def test_both_ways_of_computing_are_the_definition(depth, tokens, activation, seed):
    layer, x = make(depth, activation, seed), torch.randn(tokens, 6)
    with torch.no_grad():
        expected = [by_hand(layer, token) for token in x]
        for found, descent in (layer.train()(x), layer.eval()(x)):
            torch.testing.assert_close(found, torch.stack([y for y, _ in expected]) if tokens else torch.zeros(0, 5))
            assert descent.leaf.tolist() == [leaf for _, leaf in expected]


@pytest.mark.parametrize(("trees", "depth"), [(1, 4), (3, 3)])
def test_their_sum_is_ultrafastberts_layer(trees, depth):
    """Its equations for all trees at once: a mask over all nodes, and one output matrix without a bias."""
    parts = [make(depth, seed=seed).double() for seed in range(trees)]
    x = torch.randn(20, 6, dtype=torch.float64)
    scores = torch.stack([x @ part.w_in.T + part.b_in for part in parts], 1)  # (T, trees, nodes)
    node, mask = torch.zeros(20, trees, dtype=torch.long), torch.zeros_like(scores)
    for level in range(depth):
        mask.scatter_(2, node[..., None], 1)
        in_level = 2 * (node - (2**level - 1)) + (scores.gather(2, node[..., None])[..., 0] > 0)
        node = in_level + 2 ** (level + 1) - 1
    theirs = (F.gelu(scores) * mask).flatten(1) @ torch.cat([part.w_out for part in parts])
    for training in (True, False):
        torch.testing.assert_close(sum(part.train(training)(x)[0] for part in parts), theirs)


def test_a_score_of_zero_goes_right():
    layer = make(2)
    torch.nn.init.zeros_(layer.w_in)
    torch.nn.init.zeros_(layer.b_in)
    for training in (True, False):
        assert layer.train(training)(torch.randn(3, 6))[1].leaf.tolist() == [3, 3, 3]


def test_only_the_nodes_on_the_way_learn_and_in_both_ways_of_computing_alike():
    layer, x = make(4), torch.randn(1, 6)
    gradients = []
    for training in (True, False):
        layer.zero_grad()
        layer.train(training)(x)[0].square().sum().backward()
        gradients.append([parameter.grad for parameter in layer.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
        assert (one.flatten(1).any(-1) if one.dim() > 1 else one != 0).sum() == 4


def test_what_it_records():
    layer, x = make(3), torch.randn(2, 7, 6)
    y, descent = layer(x)
    assert y.shape == (2, 7, 5)
    torch.testing.assert_close(descent.logits, x.reshape(-1, 6) @ layer.w_in.T + layer.b_in)
    assert torch.equal(descent.weights.argmax(-1), descent.leaf)
    assert torch.equal(descent.weights.sum(-1), torch.ones(14))
    assert layer.eval()(x)[1].logits is None


def test_many_seeds_are_trained_at_once():
    data = digits("standardised")
    trained = train(lambda: PathLayer(64, 10, 4), data, [0, 1], steps=60)
    assert trained.accuracy(data.x_test, data.y_test).min() > 0.5
    assert trained.shares(data.x_test).shape == (2, 16)
    one = trained.one(1).eval()
    with torch.no_grad():
        torch.testing.assert_close(one(data.x_test)[0], trained.scores(data.x_test)[1], atol=1e-5, rtol=1e-5)
