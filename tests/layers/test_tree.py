"""The tree: soft equals hard where decisions are hard, soft is the published answer, and losses mean what they say."""

import math

import fastfeedforward
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from tree_oracle import by_hand, make

from moe_tutorial.layers import FastFeedForward, hardening_loss, hardening_ramp, node_balance_loss


def certain(layer: FastFeedForward) -> FastFeedForward:
    """The same tree with decisions that leave no doubt."""
    with torch.no_grad():
        layer.node_weight.mul_(1e8)
        layer.node_bias.mul_(1e8)
    return layer


# Hard and soft


@settings(max_examples=60, deadline=None)
@given(
    depth=st.integers(0, 12),
    leaf_width=st.integers(1, 64),
    tokens=st.integers(0, 200),
    activation=st.sampled_from(["relu", "gelu", "silu"]),
    seed=st.integers(0, 2**20),
)
def test_soft_equals_hard_where_decisions_are_hard(depth, leaf_width, tokens, activation, seed):
    layer = certain(make(depth, leaf_width, seed=seed, activation=activation))
    tokens = min(tokens, 2**22 // (layer.n_leaves * leaf_width))  # softly, each token meets every neuron
    x = torch.randn(tokens, 6)
    with torch.no_grad():
        soft, whole = layer.train()(x)
        hard, way = layer.eval()(x)
    torch.testing.assert_close(hard, soft, atol=1e-5, rtol=1e-5)
    assert torch.equal(way.leaf, whole.leaf)
    assert whole.weights.shape == (tokens, layer.n_leaves)
    assert torch.equal(whole.weights.argmax(-1), way.leaf) or tokens == 0


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize(("depth", "leaf_width"), [(0, 3), (1, 1), (2, 7), (5, 4)])
def test_the_hard_answer_is_the_definition(depth, leaf_width, activation):
    layer, x = make(depth, leaf_width, activation=activation).eval(), torch.randn(50, 6)
    with torch.no_grad():
        y, descent = layer(x)
        expected, leaf = by_hand(layer, x)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    assert descent.leaf.tolist() == leaf


def test_every_kind_of_input_gets_the_same_answer():
    layer, x = make(leaf_width=3).eval(), torch.randn(2, 7, 6)
    flat, spread = x.reshape(-1, 6), x.reshape(-1, 6).T.contiguous().T  # one column after the other in memory
    with torch.no_grad():
        y, descent = layer(x)
        torch.testing.assert_close(layer(x[0, 0])[0], y[0, 0])
        for same in (layer(flat)[0], layer(spread)[0], layer.double()(x.double())[0].float()):
            torch.testing.assert_close(same.reshape(2, 7, 5), y)
    assert y.shape == (2, 7, 5)
    assert descent.leaf.shape == (14,)


def test_a_parametrised_tree_still_answers():
    layer, x = make().eval(), torch.randn(9, 6)
    before = layer(x)[0].detach()
    nn.utils.parametrize.register_parametrization(layer, "node_weight", nn.Identity())
    nn.utils.parametrize.register_parametrization(layer.leaves, "w_in", nn.Identity())
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], before)


def test_dense_dispatch_gives_the_hard_answer_from_all_leaves():
    layer, x = make().eval(), torch.randn(40, 6)
    y, descent = layer(x)
    layer.dispatch = "dense"
    dense, whole = layer(x)
    torch.testing.assert_close(dense, y, atol=1e-6, rtol=1e-5)
    assert torch.equal(whole.leaf, descent.leaf)
    assert (whole.weights.sum(-1) == 1).all()


def test_nan_goes_left_and_harms_no_other_token():
    layer, x = make().eval(), torch.randn(30, 6)
    broken = x.clone()
    broken[7, 2] = math.nan
    y, descent = layer(broken)
    assert descent.leaf[7] == 0
    assert y[7].isnan().all()
    others = torch.arange(30) != 7
    torch.testing.assert_close(y[others], layer(x)[0][others])


# The published layer


def published(layer: FastFeedForward) -> fastfeedforward.FFF:
    """The authors' layer with our weights."""
    leaves = layer.leaves
    theirs = fastfeedforward.FFF(layer.d_in, leaves.d_hidden, layer.d_out, layer.depth)
    with torch.no_grad():
        theirs.node_weights.copy_(layer.node_weight)
        theirs.node_biases.copy_(layer.node_bias[:, None])
        theirs.w1s.copy_(leaves.w_in.transpose(1, 2))
        theirs.b1s.copy_(leaves.b_in)
        theirs.w2s.copy_(leaves.w_out)
        theirs.b2s.copy_(leaves.b_out)
    return theirs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # compiled, and plain
@pytest.mark.parametrize("depth", [0, 1, 3, 5])
def test_the_soft_answer_is_the_published_one(depth, dtype):
    layer, x = make(depth), torch.randn(20, 6)
    theirs = published(layer)(x)
    ours = layer.to(dtype)(x.to(dtype))[0].float()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [1, 20])  # a kernel has a way of its own for few
def test_the_published_evaluation_leaves_out_the_leaves_output_bias_and_ours_does_not(tokens):
    layer, x = make().eval(), torch.randn(tokens, 6)
    with torch.no_grad():
        y, descent = layer(x)
        theirs = published(layer).eval()(x)
    torch.testing.assert_close(theirs + layer.leaves.b_out[descent.leaf], y, atol=1e-5, rtol=1e-5)


def test_the_soft_losses_gradients_are_right():
    layer, x = make(2, 3).double(), torch.randn(4, 6, dtype=torch.float64)
    parameters = dict(layer.named_parameters())

    def loss(*values):
        y, descent = torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x,))
        return y.square().sum() + hardening_loss(descent) + node_balance_loss(descent)

    assert torch.autograd.gradcheck(loss, tuple(parameters.values()))


def test_trees_of_many_seeds_learn_under_vmap_as_each_alone():
    layers, x = [make(3, 4, seed=seed) for seed in range(3)], torch.randn(20, 6)
    stacked, _ = torch.func.stack_module_state(layers)

    def answer(parameters):
        y, descent = torch.func.functional_call(layers[0], parameters, (x,))
        return y, node_balance_loss(descent)

    y, balance = torch.vmap(answer)(stacked)
    gradients = torch.autograd.grad(y.square().sum() + balance.sum(), list(stacked.values()))
    for seed, layer in enumerate(layers):
        alone, descent = layer(x)
        expected = torch.autograd.grad(alone.square().sum() + node_balance_loss(descent), list(layer.parameters()))
        torch.testing.assert_close(y[seed], alone, atol=1e-5, rtol=1e-5)
        for ours, theirs in zip(gradients, expected, strict=True):
            torch.testing.assert_close(ours[seed], theirs, atol=1e-5, rtol=1e-5)


# Losses, region leak


def test_the_hardening_loss_is_the_mean_entropy_of_the_decisions():
    layer = make()
    _, descent = layer(torch.randn(30, 6))
    p = descent.logits.sigmoid()
    torch.testing.assert_close(hardening_loss(descent), (-p * p.log() - (1 - p) * (1 - p).log()).mean())
    undecided = descent._replace(logits=torch.zeros(3, 7))
    assert hardening_loss(undecided).item() == pytest.approx(math.log(2))
    assert hardening_loss(descent._replace(logits=torch.full((3, 7), -200.0))).item() == pytest.approx(0, abs=1e-6)


def test_the_node_balance_loss_is_0_where_all_leaves_get_as_much_and_1_where_one_gets_all():
    _, descent = make()(torch.randn(8, 6))
    assert node_balance_loss(descent._replace(weights=torch.eye(8))).item() == pytest.approx(0)
    one = torch.zeros(8, 8)
    one[:, 5] = 1
    # The three nodes on the way are as uneven as can be; nobody comes to the other four.
    assert node_balance_loss(descent._replace(weights=one)).item() == pytest.approx(3 / 7)
    three_quarters = torch.tensor([[0.25, 0.75]])
    assert node_balance_loss(descent._replace(weights=three_quarters)).item() == pytest.approx(0.25)


def test_the_node_balance_loss_counts_a_token_by_how_much_of_it_arrives():
    layer = make(3)
    with torch.no_grad():
        layer.node_weight.mul_(3)
        layer.node_bias[0] = 3  # most tokens go right at the root, so that few arrive at the nodes on its left
    _, descent = layer(torch.randn(60, 6))
    uneven = []
    for node in range(7):
        arriving, total = [1.0] * 60, 0.0
        for t, logits in enumerate(descent.logits.tolist()):
            below, right = node, 1 / (1 + math.exp(-logits[node]))
            while below:  # up to the root
                above = (below - 1) // 2
                goes_right = 1 / (1 + math.exp(-logits[above]))
                arriving[t] *= goes_right if below == 2 * above + 2 else 1 - goes_right
                below = above
            total += arriving[t] * right
        uneven.append((2 * total / sum(arriving) - 1) ** 2)
    assert node_balance_loss(descent).item() == pytest.approx(sum(uneven) / 7, abs=1e-5)


def test_losses_of_a_tree_without_nodes_are_0_and_have_a_gradient_path():
    _, descent = make(0)(torch.randn(8, 6))
    assert hardening_loss(descent).item() == 0
    assert node_balance_loss(descent).item() == 0


def test_the_ramp_rises_from_start_to_end():
    assert [hardening_ramp(step, 100, 300, 4.0) for step in (0, 100, 150, 200, 300, 999)] == [0, 0, 1, 2, 4, 4]


def test_a_region_leaks_in_training_only_and_as_often_as_asked():
    layer, x = certain(make(3, region_leak=0.2)), torch.randn(4000, 6)
    _, descent = layer(x)
    moved = (descent.weights.argmax(-1) != descent.leaf).float().mean().item()
    assert moved == pytest.approx(1 - 0.8**3, abs=0.03)
    tight = certain(make(3))
    assert torch.equal(layer.eval()(x)[0], tight.eval()(x)[0])
    assert torch.equal(descent.logits, tight.train()(x)[1].logits)
