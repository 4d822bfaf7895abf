import math

import loop_oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, vmap

from moe_tutorial.layers import (
    BiasBalancer,
    ExpertChoiceRouter,
    HashRouter,
    MixtureOfExperts,
    Router,
    Routing,
    importance,
    importance_loss,
    load_estimate,
    load_loss,
    switch_loss,
    z_loss,
)
from moe_tutorial.layers.routing import GATES

quick = settings(max_examples=60, deadline=None, derandomize=True)
both_dispatches = pytest.mark.parametrize("dispatch", ["sparse", "dense"])
every_k = pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
every_noise = pytest.mark.parametrize("noise", [0.8, "learned"])
OTHER_ROUTERS = (ExpertChoiceRouter, HashRouter)
LOSSES = (importance_loss, load_loss, switch_loss, z_loss)


def tokens(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def build(E=5, k=2, noise="learned", **options):
    """A float64 router for tokens of width 4, its learned noise different for every token and expert."""
    router = Router(4, E, k, noise=noise, **options).double()
    if router.noise_weight is not None:
        nn.init.normal_(router.noise_weight)
    return router


def settled(indices, n_experts, probs=None):
    """A routing from these choices (T, k), weights 1 / k, and probabilities (even ones if none are given)."""
    indices = torch.as_tensor(indices)
    if probs is None:
        probs = torch.full((len(indices), n_experts), 1 / n_experts, dtype=torch.float64)
    weights = torch.full(indices.shape, 1 / indices.shape[1], dtype=torch.float64)
    return Routing(torch.as_tensor(probs).log(), torch.as_tensor(probs), indices, weights)


def shares(routing, n_experts):
    """Fraction of the choices that went to each expert; a weight of 0 is no choice."""
    counts = routing.indices[routing.weights > 0].bincount(minlength=n_experts)
    return counts / counts.sum()


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


def loop_z(routing):
    return sum(math.log(sum(map(math.exp, row))) ** 2 for row in routing.logits.tolist()) / len(routing.logits)


@every_k
@every_noise
@pytest.mark.parametrize("gate", GATES)
def test_every_loss_equals_its_loop(gate, noise, k):
    routing = build(5, k, noise, gate=gate)(2 * tokens(9, 4))
    assert importance(routing).tolist() == pytest.approx(loop_importance(routing), rel=1e-12)
    assert load_estimate(routing).tolist() == pytest.approx(loop_load(routing), rel=1e-12)
    expected = {
        importance_loss: loop_cv2(loop_importance(routing)),
        load_loss: loop_cv2(loop_load(routing)),
        switch_loss: loop_switch(routing),
        z_loss: loop_z(routing),
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
    leaves = [field.requires_grad_() for field in stack if field.is_floating_point()]
    together = vmap(loss, randomness="different")(stack)
    alone = torch.stack([loss(Routing(*fields)) for fields in zip(*stack, strict=True)])
    torch.testing.assert_close(together, alone)
    for a, b in zip(gradients(together.sum(), leaves), gradients(alone.sum(), leaves), strict=True):
        torch.testing.assert_close(a, b)
    assert any((gradient != 0).any() for gradient in gradients(together.sum(), leaves))


def gradients(loss, leaves):
    return torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)


@every_k
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradcheck(loss, gate, k):
    routing = build(5, k, gate=gate)(tokens(6, 4))
    order = routing.noisy_logits.sort().values.diff()
    assert order.min() > 1e-5  # no threshold changes its owner within the finite difference
    read = {
        importance_loss: ["weights"],
        load_loss: ["logits", "noisy_logits", "noise_std"],
        switch_loss: ["probs"],
        z_loss: ["logits"],
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
        assert gradients(loss(routing), [router.weight])[0].isfinite().all()


# Load


def wrong_units(routing):
    """Logits against thresholds that went through a softmax."""
    k = routing.indices.shape[1]
    best = routing.noisy_logits.softmax(-1).topk(k + 1).values
    to_beat = torch.where(routing.noisy_logits.softmax(-1) > best[:, k:], best[:, k:], best[:, k - 1 : k])
    return torch.special.ndtr((routing.logits - to_beat) / routing.noise_std).sum(0)


def wrong_threshold(routing):
    """The chosen have to beat the k-th best of all, which may be themselves."""
    k = routing.indices.shape[1]
    kth = routing.noisy_logits.topk(k).values[:, -1:]
    return torch.special.ndtr((routing.logits - kth) / routing.noise_std).sum(0)


def simulated_load(routing, repeats=4000):
    """How many tokens choose each expert when its own noise is drawn again, and the standard error of that mean."""
    (T, E), k = routing.probs.shape, routing.indices.shape[1]
    means, errors = torch.zeros(E).double(), torch.zeros(E).double()
    for e in range(E):
        again = routing.noisy_logits.detach().expand(repeats, T, E).clone()
        again[..., e] = routing.logits[:, e].detach() + routing.noise_std[:, e].detach() * tokens(repeats, T)
        chosen = (again.topk(k).indices == e).any(-1).double()  # (repeats, T)
        means[e] = chosen.mean(0).sum()
        errors[e] = (chosen.var(0).sum() / repeats).sqrt()
    return means, errors


def rejects(estimate, means, errors):
    """Whether the estimate is more than 5 standard errors off for some expert (and a hair, for what is certain)."""
    return bool(((estimate - means).abs() > 5 * errors + 1e-3).any())


@every_noise
@pytest.mark.parametrize(("E", "k"), [(2, 1), (4, 1), (4, 2), (4, 3), (8, 2), (8, 7), (1, 1), (4, 4)])
def test_load_estimate_is_the_expectation_over_an_experts_own_noise(E, k, noise):
    routing = build(E, k, noise)(tokens(8, 4))
    means, errors = simulated_load(routing)
    assert not rejects(load_estimate(routing).detach(), means, errors)
    if k == E:
        assert load_estimate(routing).tolist() == [8.0] * E
    else:  # the check is sharp: both mistakes are seen
        assert rejects(wrong_units(routing).detach(), means, errors)
        assert rejects(wrong_threshold(routing).detach(), means, errors)


@every_noise
def test_load_loss_may_be_the_whole_loss_when_all_are_chosen(noise):
    router = build(4, 4, noise)
    load_loss(router(tokens(30, 4))).backward()
    assert (router.weight.grad == 0).all()


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
        assert all(gradient.isfinite().all() for gradient in gradients(load_loss(routing), list(router.parameters())))
    counts = routing.indices.flatten().bincount(minlength=5)
    torch.testing.assert_close(estimate.detach(), counts.to(dtype))  # without noise to speak of, the count itself


def test_tied_logits_share_a_threshold():
    routing = build(4, 2, 1.0)(tokens(1, 4))
    tied = routing._replace(logits=0 * routing.logits, noisy_logits=0 * routing.noisy_logits)
    torch.testing.assert_close(load_estimate(tied), torch.full((4,), 0.5, dtype=torch.float64))


# Switch


@pytest.mark.parametrize("E", [1, 2, 3, 7])
def test_switch_loss_is_1_at_uniform_use_for_every_k(E):
    for k in range(1, E + 1):
        indices = (torch.arange(E).unsqueeze(1) + torch.arange(k)) % E
        assert abs(switch_loss(settled(indices, E)).item() - 1) < 1e-14
        one_certain = torch.zeros(E, E, dtype=torch.float64)
        one_certain[:, :k] = 1 / k
        worst = switch_loss(settled(torch.arange(k).expand(E, k), E, one_certain))
        assert worst.item() == pytest.approx(E / k, rel=1e-12)


def masked_switch_loss(routing):
    """The wrong version: P is the softmax over the chosen only."""
    T, k = routing.indices.shape
    mask = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1.0)
    P = routing.logits.masked_fill(mask == 0, -torch.inf).softmax(-1).mean(0)
    return routing.probs.shape[1] * (mask.sum(0) / (T * k) * P).sum()


@pytest.mark.parametrize("gate", GATES)
def test_switch_loss_reaches_experts_that_nobody_chooses(gate):
    router = build(5, 2, noise=None, gate=gate, bias=True)
    router.bias[3] = -100.0
    x = tokens(30, 4)
    assert 3 not in router(x).indices
    (right,) = gradients(switch_loss(router(x)), [router.weight])
    (wrong,) = gradients(masked_switch_loss(router(x)), [router.weight])
    assert right.norm(dim=-1).min() > 1e-4
    assert (wrong[3] == 0).all()
    assert wrong[:3].norm() > 1e-4


@pytest.mark.parametrize("loss", [importance_loss, load_loss, switch_loss])
def test_each_balance_loss_balances(loss):
    x = tokens(400, 4) + 2  # off centre, so that two experts get nearly all
    router = Router(4, 6, 2, gate="topk_softmax", noise=0.3).double()
    before = shares(router.eval()(x), 6).max()
    optimizer = torch.optim.Adam(router.parameters(), lr=0.02)
    router.train()
    for _ in range(150):
        optimizer.zero_grad()
        loss(router(x)).backward()
        optimizer.step()
    assert before > 0.4
    limit = 0.36 if loss is importance_loss else 0.25  # even use is .167; the next test says what the first misses
    assert shares(router(x), 6).max() < limit


def test_importance_loss_cannot_raise_the_dead_and_load_loss_can():
    # With weights that sum to 1 over the chosen, an expert that nobody chooses takes no part in the importance.
    router = Router(4, 5, 2, gate="topk_softmax", noise=0.3).double()
    x = tokens(30, 4).abs()
    with torch.no_grad():
        router.weight[3] = router.weight.amin(0) - 0.5
    routing = router(x)
    assert 3 not in routing.indices
    assert (gradients(importance_loss(routing), [router.weight])[0][3] == 0).all()
    assert gradients(load_loss(routing), [router.weight])[0][3].norm() > 1e-6


# The bias


@pytest.mark.parametrize("gate", GATES)
def test_the_balancer_evens_the_load_and_touches_nothing_else(gate):
    rate = 0.01 if gate == "topk_softmax" else 0.001  # it ranks logits, which lie farther apart than probabilities
    router, balancer = build(8, 2, noise=None, gate=gate, bias=True), BiasBalancer(rate)
    x = tokens(800, 4) + 1.5
    weight, before = router.weight.detach().clone(), shares(router(x), 8)
    for _ in range(500):
        balancer.update(router.bias, router(tokens(800, 4) + 1.5).indices)
    routing = router(x)
    after = shares(routing, 8)
    assert before.max() > 0.2
    assert before.min() < 0.05
    assert after.max() < 0.16
    assert after.min() > 0.09
    assert torch.equal(router.weight, weight)
    assert router.weight.grad is None
    chosen = routing.logits.gather(-1, routing.indices)
    unbiased = chosen.softmax(-1) if gate == "topk_softmax" else routing.probs.gather(-1, routing.indices)
    assert torch.equal(routing.weights, unbiased)


def test_one_step_of_the_balancer():
    bias, before = torch.zeros(4), torch.zeros(4)
    BiasBalancer(0.5).update(bias, torch.tensor([[0, 1], [0, 2], [0, 1], [1, 2]]))  # loads 3, 3, 2, 0; mean 2
    assert bias.tolist() == [-0.5, -0.5, 0, 0.5]
    BiasBalancer(0.5).update(before, torch.tensor([[0, 1], [2, 3]]))
    BiasBalancer(0.5).update(before, torch.zeros(0, 2, dtype=torch.int64))
    assert before.tolist() == [0, 0, 0, 0]
    precise = torch.zeros(2, dtype=torch.float64)
    BiasBalancer(0.1).update(precise, torch.tensor([[0]]))
    assert precise.tolist() == [-0.1, 0.1]
    learned = nn.Parameter(torch.zeros(2))
    BiasBalancer(1).update(learned, torch.tensor([[0]]))
    assert learned.tolist() == [-1, 1]
    assert learned.requires_grad


@pytest.mark.parametrize("leading", [(5,), (2, 3)])
def test_seeds_are_balanced_one_by_one(leading):
    indices = tokens(*leading, 20, 6).topk(2).indices
    together = tokens(*leading, 6)
    alone = together.clone()
    BiasBalancer(0.3).update(together, indices)
    for bias, own in zip(alone.view(-1, 6), indices.view(-1, 20, 2), strict=True):
        BiasBalancer(0.3).update(bias, own)
    assert torch.equal(together, alone)


# Both other routers


@pytest.mark.parametrize("kind", OTHER_ROUTERS)
@both_dispatches
def test_a_mixture_with_this_router_equals_a_loop(kind, dispatch):
    moe = MixtureOfExperts(4, 3, 5, 2, kind(4, 5, 2), dispatch=dispatch).double()
    x = tokens(9, 4)
    y, routing = moe(x)
    for t in range(9):
        expected = torch.zeros(4, dtype=torch.float64)
        for e, weight in zip(routing.indices[t].tolist(), routing.weights[t], strict=True):
            if weight > 0:
                expected = expected + weight * loop_oracle.answer(moe.experts, e, x[t])
        torch.testing.assert_close(y[t], expected)


@pytest.mark.parametrize("kind", OTHER_ROUTERS)
def test_shapes_types_and_empty_batches(kind):
    router = kind(4, 5, 2)
    x = torch.randn(2, 3, 4)
    assert all(torch.equal(a, b) for a, b in zip(router(x), router(x.reshape(6, 4)), strict=True))
    for routing in (router(x), router(x[0, 0]), router(x[:, :0])):
        T = len(routing.logits)
        assert routing.logits.shape == routing.probs.shape == routing.noisy_logits.shape == (T, 5)
        assert routing.noise_std.shape == (T, 0)
        assert routing.indices.shape == routing.weights.shape
        assert not routing.noisy
    low = kind(4, 5, 2).to(torch.bfloat16)(x.bfloat16())
    assert {field.dtype for field in low} == {torch.float32, torch.int64}
    double = kind(4, 5, 2).double()(x.double())
    assert {field.dtype for field in double} == {torch.float64, torch.int64}
    assert "top 2 of 5" in repr(router)


# Expert choice


@quick
@given(st.data())
def test_every_expert_takes_its_best_tokens_and_no_more(data):
    T, E = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 6))
    k = data.draw(st.integers(1, E))
    torch.manual_seed(data.draw(st.integers(0, 10**6)))
    router, x = ExpertChoiceRouter(4, E, k).double(), 2 * tokens(T, 4)
    routing = router(x)
    assert 1 <= math.ceil(T * k / E) <= T
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
    torch.testing.assert_close(routing.probs.sum(-1), torch.ones(T, dtype=torch.float64))


@both_dispatches
def test_expert_choice_learns_through_the_gate(dispatch):
    moe = MixtureOfExperts(4, 3, 5, 2, ExpertChoiceRouter(4, 5, 2), dispatch=dispatch).double()
    x, direction = tokens(9, 4), tokens(9, 4)

    def f(weight):
        return (functional_call(moe, {"router.weight": weight}, x)[0] * direction).sum()

    assert gradients((moe(x)[0] * direction).sum(), [moe.router.weight])[0].norm() > 1e-3
    assert torch.autograd.gradcheck(f, moe.router.weight)


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
        assert entropy(shares(router(x), E)) > 0.99
        half = first[x[:, 0] > 0].bincount(minlength=E)  # whatever side a token lies on
        assert entropy(half / half.sum()) > 0.98
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
    assert all(len(set(row.tolist())) == k for row in routing.indices)
    assert routing.indices.min() >= 0
    assert (routing.weights == 1 / k).all()
    assert (routing.logits == 0).all()
    chosen = torch.zeros(50, 6).scatter(-1, routing.indices, 1.0)
    assert torch.equal(routing.probs, chosen / k)


def test_hashing_learns_nothing_and_is_stored():
    router = HashRouter(4, 6)
    assert router.top_k == 1
    assert not list(router.parameters())
    assert list(router.state_dict()) == ["direction"]
