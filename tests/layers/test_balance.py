import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import vmap

from moe_tutorial.layers import (
    BiasBalancer,
    ExpertChoiceRouter,
    HashRouter,
    QuantileBalancer,
    Router,
    Routing,
    importance,
    importance_loss,
    load_estimate,
    switch_loss,
)
from moe_tutorial.layers.routing import GATES

quick = settings(max_examples=60, deadline=None, derandomize=True)
every_k = pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
every_noise = pytest.mark.parametrize("noise", [0.8, "learned"])
OTHER_ROUTERS = (ExpertChoiceRouter, HashRouter)
LOSSES = (importance_loss, switch_loss)


def tokens(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def build(E=5, k=2, noise="learned", **options):
    """A float64 router for tokens of width 4, its learned noise different for every token and expert."""
    router = Router(4, E, k, noise=noise, **options).double()
    if router.noise_weight is not None:
        nn.init.normal_(router.noise_weight)
    return router


def entropy(shares):
    return float(torch.special.entr(shares).sum() / math.log(len(shares)))


# What the losses should be, as loops over plain numbers.


def loop_cv2(values):
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values) / mean**2


def loop_importance(routing):
    total = [0.0] * routing.probs.shape[1]
    for chosen, weights in zip(routing.indices.tolist(), routing.weights.tolist(), strict=True):
        for e, weight in zip(chosen, weights, strict=True):
            total[e] += weight
    return total


def loop_load(routing):
    (_, E), k = routing.probs.shape, routing.indices.shape[1]
    total = [0.0] * E
    for clean, noisy, std in zip(
        routing.logits.tolist(), routing.noisy_logits.tolist(), routing.noise_std.tolist(), strict=True
    ):
        for e in range(E):
            others = sorted((noisy[j] for j in range(E) if j != e), reverse=True)
            certain = len(others) < k  # all are chosen
            total[e] += 1 if certain else (1 + math.erf((clean[e] - others[k - 1]) / std[e] / math.sqrt(2))) / 2
    return total


def loop_switch(routing):
    (T, E), k = routing.probs.shape, routing.indices.shape[1]
    total = 0.0
    for e in range(E):
        f = sum(row.count(e) for row in routing.indices.tolist()) / (T * k)
        P = sum(row[e] / sum(row) for row in routing.probs.tolist()) / T
        total += f * P
    return E * total


@every_k
@every_noise
@pytest.mark.parametrize("gate", GATES)
def test_every_loss_equals_its_loop(gate, noise, k):
    routing = build(5, k, noise, gate=gate)(2 * tokens(9, 4))
    assert importance(routing).tolist() == pytest.approx(loop_importance(routing), rel=1e-12)
    assert load_estimate(routing).tolist() == pytest.approx(loop_load(routing), rel=1e-12)
    expected = {
        importance_loss: loop_cv2(loop_importance(routing)),
        switch_loss: loop_switch(routing),
    }
    for loss, value in expected.items():
        assert loss(routing).shape == ()
        assert loss(routing).dtype == torch.float64
        assert loss(routing).item() == pytest.approx(value, rel=1e-12, abs=1e-25)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("gate", GATES)
def test_a_stack_of_routings_equals_one_by_one(gate, loss):
    one_by_one = [build(gate=gate)(tokens(7, 4)) for _ in range(4)]
    stack = Routing(*(torch.stack(fields).detach() for fields in zip(*one_by_one, strict=True)))
    alone = torch.stack([loss(Routing(*fields)) for fields in zip(*stack, strict=True)])
    torch.testing.assert_close(vmap(loss, randomness="different")(stack), alone)


@every_k
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradcheck(loss, gate, k):
    routing = build(5, k, gate=gate)(tokens(6, 4))
    order = routing.noisy_logits.sort().values.diff()
    assert order.min() > 1e-5  # no threshold changes its owner within the finite difference
    read = {
        importance_loss: ["weights"],
        switch_loss: ["probs"],
    }[loss]

    def f(*values):
        return loss(routing._replace(**dict(zip(read, values, strict=True))))

    assert torch.autograd.gradcheck(f, [getattr(routing, name).detach().requires_grad_() for name in read])


def test_a_loss_stays_finite_where_everything_underflows():
    # Sigmoid scores, all exactly 0 in float32.
    x = torch.full((3, 4), 100.0)
    router = Router(4, 5, 2, gate="sigmoid_topk")
    nn.init.constant_(router.weight, -1.0)
    routing = router(x)
    assert (routing.probs == 0).all()
    for loss in (importance_loss, switch_loss):
        assert loss(routing) == 0
        assert torch.autograd.grad(loss(routing), router.weight, retain_graph=True)[0].isfinite().all()


# Load


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [-5.0, -20.0, -200.0])
def test_load_estimate_stays_finite_where_the_noise_vanishes(size, dtype):
    router = Router(4, 5, 2, noise="learned").to(dtype)
    nn.init.constant_(router.noise_weight, size)  # softplus is then about exp(size * sum(x)): in float32 it becomes 0
    different = torch.rand(50, 4, dtype=dtype) + 0.5
    for x in (torch.ones_like(different), different):
        routing = router(x)
        estimate = load_estimate(routing)
        assert ((estimate >= 0) & (estimate <= 50)).all()
        gradients = torch.autograd.grad(load_estimate(routing).square().sum(), router.parameters())
        assert all(gradient.isfinite().all() for gradient in gradients)
    counts = routing.indices.flatten().bincount(minlength=5)
    torch.testing.assert_close(estimate.detach(), counts.to(dtype))  # without noise to speak of, the count itself


# The bias


def test_one_step_of_the_balancer():
    bias, before = torch.zeros(4), torch.zeros(4)
    BiasBalancer(0.5).update(bias, torch.tensor([[0, 1], [0, 2], [0, 1], [1, 2]]))  # loads 3, 3, 2, 0; mean 2
    assert bias.tolist() == [-0.5, -0.5, 0, 0.5]
    BiasBalancer(0.5).update(before, torch.tensor([[0, 1], [2, 3]]))
    BiasBalancer(0.5).update(before, torch.zeros(0, 2, dtype=torch.int64))
    assert before.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("leading", [(5,), (2, 3)])
def test_seeds_are_balanced_one_by_one(leading):
    indices = tokens(*leading, 20, 6).topk(2).indices
    together = tokens(*leading, 6)
    alone = together.clone()
    BiasBalancer(0.3).update(together, indices)
    for bias, own in zip(alone.view(-1, 6), indices.view(-1, 20, 2), strict=True):
        BiasBalancer(0.3).update(bias, own)
    assert torch.equal(together, alone)


# The bias by quantiles


def loop_quantile(scores, bias, k):
    """The bias of one batch, as loops over plain numbers."""
    T, E, new = len(scores), len(bias), []
    bars = [sorted((s + b for s, b in zip(row, bias, strict=True)), reverse=True)[k] for row in scores]
    for j in range(E):
        gaps = sorted(bar - row[j] for bar, row in zip(bars, scores, strict=True))
        low, part = divmod(k / E * (T - 1), 1)
        new.append(gaps[int(low)] + part * (gaps[min(int(low) + 1, T - 1)] - gaps[int(low)]))
    return [b - sum(new) / E for b in new]


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_the_bias_by_quantiles_equals_its_loop_for_each_seed(leading, k):
    scores, bias = torch.rand(*leading, 21, 5), torch.randn(*leading, 5)
    before = bias.clone()
    QuantileBalancer(k).update(bias, scores)
    for new, old, own in zip(bias.view(-1, 5), before.view(-1, 5), scores.view(-1, 21, 5), strict=True):
        assert new.tolist() == pytest.approx(loop_quantile(own.tolist(), old.tolist(), k), abs=1e-5)
    QuantileBalancer(k).update(again := bias.clone(), scores[..., :0, :])
    assert torch.equal(again, bias)


def test_a_skewed_router_is_even_in_a_few_updates_and_not_by_the_sign_rule():
    """Source: Su 2026 (https://kexue.fm/archives/11619)."""
    E, k = 16, 2
    logits = torch.randn(2000, E) + torch.linspace(0, 3, E)
    scores = logits.softmax(-1)

    def busiest(update):
        bias = torch.zeros(E)
        for _ in range(20):
            update(bias, (scores + bias).topk(k).indices)
        return (scores + bias).topk(k).indices.flatten().bincount(minlength=E).max() / (2000 * k / E)

    assert busiest(lambda bias, indices: QuantileBalancer(k).update(bias, scores)) < 1.1
    assert busiest(lambda bias, indices: BiasBalancer(0.001).update(bias, indices)) > 1.5


# Both other routers


@pytest.mark.parametrize("kind", OTHER_ROUTERS)
def test_shapes_and_empty_batches(kind):
    router = kind(4, 5, 2)
    x = torch.randn(2, 3, 4)
    assert all(torch.equal(a, b) for a, b in zip(router(x), router(x.reshape(6, 4)), strict=True))
    for routing in (router(x), router(x[0, 0]), router(x[:, :0])):
        T = len(routing.logits)
        assert routing.logits.shape == routing.probs.shape == routing.noisy_logits.shape == (T, 5)
        assert routing.noise_std.shape == (T, 0)
        assert routing.indices.shape == routing.weights.shape
        assert not routing.noisy


# Expert choice


@quick
@given(st.data())
def test_every_expert_takes_its_best_tokens_and_no_more(data):
    T, E = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 6))
    k = data.draw(st.integers(1, E))
    torch.manual_seed(data.draw(st.integers(0, 10**6)))
    router, x = ExpertChoiceRouter(4, E, k).double(), 2 * tokens(T, 4)
    routing = router(x)
    taken = [[] for _ in range(T)]  # by token
    for e in range(E):
        probs = [math.exp(row[e]) / sum(map(math.exp, row)) for row in (x @ router.weight.T).tolist()]
        for t in sorted(range(T), key=lambda t: -probs[t])[: math.ceil(T * k / E)]:
            taken[t].append((probs[t], e))
    for t in range(T):
        best_first = sorted(taken[t], reverse=True)
        assert sorted(routing.indices[t].tolist()) == list(range(E))
        assert routing.indices[t, : len(best_first)].tolist() == [e for _, e in best_first]
        assert routing.weights[t].tolist() == pytest.approx(
            [weight for weight, _ in best_first] + [0] * (E - len(best_first)), rel=1e-12, abs=0
        )
    if k < E:  # it learns through the weights
        assert torch.autograd.grad(routing.weights.square().sum(), router.weight)[0].any()


# Hash


def cloud(kind, n=2000):
    return torch.randn(n, 64) if kind == "standardised" else 2 * torch.rand(n, 2) - 1


every_cloud = pytest.mark.parametrize("kind", ["standardised", "plane"])


@every_cloud
@pytest.mark.parametrize("E", [2, 8, 32])
def test_hashing_is_even_and_blind_to_what_a_token_is(kind, E):
    for seed in range(20):
        torch.manual_seed(seed)
        x = cloud(kind)
        router = HashRouter(x.shape[1], E)
        first = router(x).indices[:, 0]
        assert entropy(first.bincount(minlength=E) / len(x)) > 0.99
        near = router(x + 0.01 * torch.randn_like(x)).indices[:, 0]
        assert (near == first).float().mean().item() == pytest.approx(1 / E, abs=0.05)
        assert torch.equal(router(x + 0.0).indices[:, 0], first)


@every_cloud
def test_a_tokens_hash_depends_on_nothing_but_the_token(kind):
    x = cloud(kind)
    router = HashRouter(x.shape[1], 8, 2)
    whole = router(x).indices
    assert torch.equal(whole, torch.cat([router(token).indices for token in x]))
    other = HashRouter(x.shape[1], 8, 2)
    assert not list(other.parameters())  # it learns nothing, and is stored:
    other.load_state_dict(router.state_dict())
    assert torch.equal(other.eval()(x).indices, whole)
    order = torch.randperm(x.shape[1])  # nor on the order in which a processor adds up
    other.direction = router.direction[order]
    assert torch.equal(other(x[:, order]).indices, whole)
    assert not torch.equal(HashRouter(x.shape[1], 8, 2)(x).indices, whole)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_hashing_gives_k_different_experts_of_equal_weight(k):
    routing = HashRouter(4, 6, k)(torch.randn(50, 4))
    assert (routing.indices.diff(dim=-1) % 6 == 1).all()
    assert routing.indices.min() >= 0
    assert (routing.weights == 1 / k).all()
    assert (routing.logits == 0).all()
    chosen = torch.zeros(50, 6).scatter(-1, routing.indices, 1.0)
    assert torch.equal(routing.probs, chosen / k)
