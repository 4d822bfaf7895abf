import copy
import math

import loop_oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

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


@pytest.mark.parametrize("loss", LOSSES)
def test_many_routers_train_as_one(loss):
    # What a training loop over seeds does: the mixture under vmap, then the loss under vmap, then one backward pass.
    moes = [MixtureOfExperts(4, 3, 5, 2, noise="learned", dispatch="dense") for _ in range(3)]
    base = copy.deepcopy(moes[0]).to("meta")
    parameters, buffers = stack_module_state(moes)
    _, routing = vmap(lambda p, b, x: functional_call(base, (p, b), (x,)), randomness="different")(
        parameters, buffers, torch.randn(3, 20, 4)
    )
    losses = vmap(loss)(routing)
    assert losses.dtype == torch.float32
    losses.sum().backward()
    for s in range(3):
        torch.testing.assert_close(losses[s], loss(Routing(*(field[s] for field in routing))))
        assert parameters["router.weight"].grad[s].norm() > 1e-4


@pytest.mark.parametrize("loss", [*LOSSES, importance, load_estimate])
def test_autocast_lowers_no_loss(loss):
    router, x, found = build().float(), torch.randn(40, 4), []
    for lowered in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
            value = loss(router(x))
        found.append((value, torch.autograd.grad(value.sum(), list(router.parameters()), allow_unused=True)))
    assert found[1][0].dtype == torch.float32
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


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


@pytest.mark.parametrize("noise", [0.8, "learned"])
def test_nothing_is_made_on_a_device_of_its_own(noise):
    # The meta device stands for any device that is not the CPU: mixing the two raises.
    x = torch.zeros(7, 4, device="meta")
    routing = Router(4, 5, 2, noise=noise).to("meta")(x)
    assert {loss(routing).device.type for loss in LOSSES} == {"meta"}
    for kind in OTHER_ROUTERS:
        assert {field.device.type for field in kind(4, 5, 2).to("meta")(x)} == {"meta"}


@pytest.mark.parametrize("E", [1, 2, 5])
def test_importance_loss_runs_from_0_to_one_less_than_the_experts(E):
    even = settled(torch.arange(E).repeat(3).unsqueeze(1), E)
    one_has_all = settled(torch.zeros(12, 1, dtype=torch.int64), E)
    assert importance_loss(even) == 0
    assert importance_loss(one_has_all) == pytest.approx(E - 1, rel=1e-12)
    assert importance(one_has_all).tolist() == [12.0] + [0.0] * (E - 1)


def test_importance_counts_weights_where_load_counts_tokens():
    # Shazeer et al.: equal importance may hide unequal load. One token of weight 1 here equals four of .25 there.
    uneven = settled([[0]] + [[1]] * 4, 2)._replace(weights=torch.tensor([[1.0], *[[0.25]] * 4]))
    assert importance(uneven).tolist() == [1, 1]
    assert importance_loss(uneven) == 0
    assert shares(uneven, 2).tolist() == pytest.approx([0.2, 0.8])


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
@pytest.mark.parametrize(("E", "k"), [(2, 1), (4, 2), (8, 2), (8, 7), (4, 4)])
def test_load_estimate_sums_to_the_number_of_choices(E, k, noise):
    router = build(E, k, noise)
    routings = [router(tokens(1000, 4)) for _ in range(40)]

    def too_far_from_k(estimate):
        """Whether the choices a token are more than 5 standard errors off."""
        sums = torch.stack([estimate(routing).sum() / 1000 for routing in routings])
        return bool((sums.mean() - k).abs() > 5 * sums.std() / math.sqrt(len(sums)) + 1e-9)

    assert not too_far_from_k(load_estimate)
    if k < E:
        assert too_far_from_k(wrong_units)
        assert too_far_from_k(wrong_threshold)
    # Not only the sum: it tells how the tokens spread.
    for routing in routings[:3]:
        counts = routing.indices.flatten().bincount(minlength=E)
        assert (load_estimate(routing) - counts).abs().max() < 0.1 * 1000


def test_load_loss_has_a_gradient_for_logits_and_learned_noise():
    router = build(5, 2)
    load_loss(router(tokens(30, 4))).backward()
    assert router.weight.grad.norm() > 1e-3
    assert router.noise_weight.grad.norm() > 1e-3


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


def test_switch_loss_of_sigmoids_reads_their_proportions():
    softmax, scores = settled([[0, 1], [2, 0]], 3, tokens(2, 3).softmax(-1)), torch.tensor([[0.3], [7.0]])
    torch.testing.assert_close(switch_loss(softmax._replace(probs=softmax.probs * scores)), switch_loss(softmax))


def test_switch_loss_is_no_distance_to_balance():
    # Worse than even use by any measure of use, and yet below the 1 of even use.
    probs = torch.tensor([[0.51, 0.49]] * 90 + [[0.0, 1.0]] * 10, dtype=torch.float64)
    routing = settled(probs.argmax(-1, keepdim=True), 2, probs)
    assert shares(routing, 2).tolist() == pytest.approx([0.9, 0.1])
    assert switch_loss(routing).item() == pytest.approx(2 * (0.9 * 0.459 + 0.1 * 0.541), rel=1e-12)
    assert switch_loss(routing) < 0.935
    assert importance_loss(routing) > 0.6


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


def test_z_loss_of_even_logits_and_what_it_pulls_down():
    even = settled([[0]], 8)._replace(logits=torch.zeros(1, 8))
    assert z_loss(even).item() == pytest.approx(math.log(8) ** 2)
    router = build(5, 2, noise=None)
    with torch.no_grad():
        router.weight *= 20
    x, before = tokens(50, 4), router.weight.norm().item()
    optimizer = torch.optim.SGD(router.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        z_loss(router(x)).backward()
        optimizer.step()
    assert router.weight.norm() < before / 2


def test_bad_routings_are_named():
    fields = [torch.ones(3, 2), torch.ones(3, 2), torch.zeros(3, 1, dtype=torch.int64), torch.ones(3, 1)]
    for function in (*LOSSES, importance, load_estimate):
        with pytest.raises(TypeError, match=r"^routing must be a Routing, got tuple$"):
            function((torch.zeros(3, 4), Routing(*fields)))  # what a mixture returns
        with pytest.raises(ValueError, match=r"^routing must be of one batch, .*, got probs \(1, 3, 2\)$"):
            function(Routing(*(field.unsqueeze(0) for field in fields)))
        with pytest.raises(ValueError, match=r"with at least one token .*, got probs \(0, 2\)$"):
            function(Routing(*(field[:0] for field in fields)))
    for function in (load_estimate, load_loss):
        for routing in (Routing(*fields), build().eval()(tokens(3, 4)), build(noise=None)(tokens(3, 4))):
            with pytest.raises(ValueError, match=r"needs noise: use a router with noise in train\(\), got .* without"):
                function(routing)


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


@pytest.mark.parametrize("rate", [0, 0.0, -0.1, math.nan, math.inf])
def test_a_bad_rate_is_named(rate):
    with pytest.raises(ValueError, match=f"^rate must be a finite number above 0, got {rate}$"):
        BiasBalancer(rate)


@pytest.mark.parametrize("rate", ["0.1", None, True])
def test_a_rate_of_another_type_is_named(rate):
    with pytest.raises(TypeError, match=f"^rate must be a finite number above 0, got {rate!r}$"):
        BiasBalancer(rate)


def test_bad_input_of_the_balancer_is_named():
    update, bias, indices = BiasBalancer(0.1).update, torch.zeros(4), torch.zeros(5, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^bias must be the router's selection bias, got None: .* with bias=True$"):
        update(Router(4, 4, 2).bias, indices)
    types = "bias must be a floating-point tensor and indices an int64 tensor, got "
    with pytest.raises(TypeError, match=types + "torch.int64 and torch.int64"):
        update(bias.long(), indices)
    with pytest.raises(TypeError, match=types + "list and Tensor"):
        update([0.0], indices)
    with pytest.raises(TypeError, match=types + "torch.float32 and torch.float32"):
        update(bias, indices.float())
    with pytest.raises(TypeError, match=types + "Tensor and Routing"):
        update(bias, Router(4, 4, 2)(torch.zeros(5, 4)))
    for wrong_bias, wrong_indices in [
        (bias, indices[0]),
        (bias, indices[None]),
        (bias[None], indices),
        (bias[0], bias),
    ]:
        with pytest.raises(ValueError, match=r"must have the same leading dimensions, got \("):
            update(wrong_bias, wrong_indices.long())
    with pytest.raises(ValueError, match=r"^indices must run from 0 to 3, got 0 to 4$"):
        update(bias, indices + torch.tensor([0, 4]))
    with pytest.raises(ValueError, match=r"^indices must run from 0 to 3, got -1 to -1$"):
        update(bias, indices - 1)
    assert (bias == 0).all()


# Both other routers


@pytest.mark.parametrize("kind", OTHER_ROUTERS)
def test_autocast_lowers_no_routing(kind):
    router, x = kind(4, 6, 2), torch.randn(40, 4)
    exact = router(x)
    with torch.autocast("cpu", torch.bfloat16):
        routing = router(x)
    assert {field.dtype for field in routing} == {torch.float32, torch.int64}
    torch.testing.assert_close(routing, exact, rtol=0, atol=0)


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
def test_many_mixtures_with_this_router_train_as_one(kind):
    torch.manual_seed(1)
    moes = [MixtureOfExperts(4, 3, 5, 2, kind(4, 5, 2), dispatch="dense").double() for _ in range(3)]
    base = copy.deepcopy(moes[0]).to("meta")
    x, target = tokens(3, 20, 4), tokens(3, 20, 4)
    parameters, buffers = stack_module_state(moes)

    def one(parameters, buffers, x):
        return functional_call(base, (parameters, buffers), (x,))

    together = torch.optim.SGD(parameters.values(), lr=0.5)
    alone = torch.optim.SGD([p for moe in moes for p in moe.parameters()], lr=0.5)
    losses = []
    for _ in range(10):
        y, routing = vmap(one, randomness="different")(parameters, buffers, x)
        losses.append((y - target).square().mean())
        together.zero_grad()
        (3 * losses[-1]).backward()
        together.step()
        alone.zero_grad()
        for s, moe in enumerate(moes):
            expected_y, expected = moe(x[s])
            torch.testing.assert_close(y[s], expected_y)
            for field in Routing._fields:
                torch.testing.assert_close(getattr(routing, field)[s], getattr(expected, field))
            (expected_y - target[s]).square().mean().backward()
        alone.step()
    assert losses[-1] < losses[0] - 0.05
    for s, moe in enumerate(moes):
        for name, parameter in moe.named_parameters():
            torch.testing.assert_close(parameters[name][s], parameter)


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


@pytest.mark.parametrize("kind", OTHER_ROUTERS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"top_k": 0}, ValueError, "top_k must be an integer from 1 to n_experts = 8, got 0"),
        ({"top_k": 9}, ValueError, "top_k must be an integer from 1 to n_experts = 8, got 9"),
        ({"top_k": 1.5}, TypeError, "top_k must be an integer from 1 to n_experts = 8, got 1.5"),
        ({"n_experts": 0}, ValueError, "n_experts must be an integer of at least 1, got 0"),
        ({"d_model": 0}, ValueError, "d_model must be an integer of at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(kind, arguments, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        kind(**{"d_model": 4, "n_experts": 8, "top_k": 2, **arguments})


@pytest.mark.parametrize("kind", OTHER_ROUTERS)
def test_bad_input_is_named(kind):
    router = kind(4, 8, 2)
    with pytest.raises(ValueError, match=r"x must have shape \(..., d_model = 4\), got \(3, 5\)"):
        router(torch.zeros(3, 5))
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got dtype torch.int32"):
        router(torch.zeros(3, 4, dtype=torch.int32))


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


def test_expert_choice_is_even_where_token_choice_is_not():
    x = torch.randn(64, 4) + 2
    router = Router(4, 8, 2)
    even = ExpertChoiceRouter(4, 8, 2)
    even.weight = router.weight
    assert shares(router(x), 8).max() > 0.25
    routing = even(x)
    assert (shares(routing, 8) == 1 / 8).all()
    experts_of_a_token = (routing.weights > 0).sum(-1)
    assert experts_of_a_token.float().mean() == 2
    assert experts_of_a_token.min() == 0
    assert experts_of_a_token.max() > 2
    assert (even(x[0]).weights > 0).all()  # alone, a token is taken by all


@both_dispatches
def test_expert_choice_learns_through_the_gate(dispatch):
    moe = MixtureOfExperts(4, 3, 5, 2, ExpertChoiceRouter(4, 5, 2), dispatch=dispatch).double()
    x, direction = tokens(9, 4), tokens(9, 4)

    def f(weight):
        return (functional_call(moe, {"router.weight": weight}, x)[0] * direction).sum()

    assert gradients((moe(x)[0] * direction).sum(), [moe.router.weight])[0].norm() > 1e-3
    assert torch.autograd.gradcheck(f, moe.router.weight)


def test_expert_choice_looks_at_later_tokens():
    causal, leaky = Router(4, 6, 2), ExpertChoiceRouter(4, 6, 2)
    x = torch.randn(12, 4)
    later = x.clone()
    later[-3:] = 3 * torch.randn(3, 4)
    assert torch.equal(causal(x).indices[:-3], causal(later).indices[:-3])
    before, after = leaky(x).weights[:-3] > 0, leaky(later).weights[:-3] > 0
    assert not torch.equal(before.sum(-1), after.sum(-1))


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
