import pickle

import loop_oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_tutorial.layers import BiasBalancer, Router
from moe_tutorial.layers.routing import GATES

quick = settings(max_examples=200, deadline=None, derandomize=True)


@st.composite
def routers(draw):
    """A float64 router of any kind without noise, its bias random, and tokens for it."""
    n_groups, group_size = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    E = n_groups * group_size
    grouped = draw(st.booleans())
    top_groups = draw(st.integers(1, n_groups)) if grouped else None
    k = draw(st.integers(1, top_groups * group_size if grouped else E))
    torch.manual_seed(draw(st.integers(0, 10**6)))
    router = Router(
        d_model=3,
        n_experts=E,
        top_k=k,
        gate=draw(st.sampled_from(GATES)),
        renormalize=draw(st.booleans()),
        bias=draw(st.booleans()),
        n_groups=n_groups if grouped else None,
        top_groups=top_groups,
        scale=draw(st.sampled_from([1.0, 2.5])),
        logit_bias=draw(st.booleans()),
    ).double()
    if router.bias is not None:
        router.bias.normal_()
    return router, 2 * torch.randn(draw(st.integers(0, 5)), 3, dtype=torch.float64)


@quick
@given(routers())
def test_the_choice_is_valid_and_equals_the_loop(case):
    router, x = case
    routing = router(x)
    T, E, k = len(x), router.n_experts, router.top_k
    assert routing.logits.shape == routing.probs.shape == (T, E)
    assert routing.indices.shape == routing.weights.shape == (T, k)
    bias = 0 if router.logit_bias is None else router.logit_bias
    torch.testing.assert_close(routing.logits, x @ router.weight.T + bias)
    for t, token in enumerate(x):
        torch.testing.assert_close(routing.probs[t], torch.stack(loop_oracle.scores(router, list(routing.logits[t]))))
        chosen = routing.indices[t].tolist()
        assert len(set(chosen)) == k
        assert set(chosen) <= set(range(E))
        indices, weights = loop_oracle.route(router, token)
        assert chosen == indices
        torch.testing.assert_close(routing.weights[t], torch.stack(weights))


@quick
@given(routers())
def test_without_noise_train_and_eval_agree(case):
    router, x = case
    train, evaluation = router.train()(x), router.eval()(x)
    assert all(torch.equal(a, b) for a, b in zip(train, evaluation, strict=True))
    assert not train.noisy
    assert torch.equal(train.noisy_logits, train.logits)


@pytest.mark.parametrize("gate", GATES)
def test_the_bias_picks_and_never_scales(gate):
    x = torch.randn(50, 4, dtype=torch.float64)
    plain = Router(4, 6, 2, gate=gate).double()
    biased = Router(4, 6, 2, gate=gate, bias=True).double()
    biased.weight = plain.weight
    assert torch.equal(biased.bias, torch.zeros(6))
    assert all(torch.equal(a, b) for a, b in zip(plain(x), biased(x), strict=True))

    biased.bias += torch.tensor([100.0, 0, 0, 90, 0, 0])
    routing = biased(x)
    assert torch.equal(routing.indices, torch.tensor([[0, 3]]).expand(50, 2))
    picked = plain(x).logits[:, [0, 3]]
    weights = picked.softmax(-1) if gate == "topk_softmax" else plain(x).probs[:, [0, 3]]
    torch.testing.assert_close(routing.weights, weights)
    torch.testing.assert_close(routing.probs, plain(x).probs)
    assert "bias" not in dict(biased.named_parameters())
    assert "bias" in biased.state_dict()


def test_a_group_is_as_good_as_its_two_best():
    # Group 0 holds the single best expert, group 1 the best pair: the pair's group wins.
    router = Router(6, 6, 2, gate="sigmoid_topk", n_groups=2, top_groups=1, bias=True, scale=3.0)
    scores = torch.tensor([0.9, 0.1, 0.1, 0.6, 0.7, 0.2])
    torch.nn.init.eye_(router.weight)
    routing = router(scores.logit())
    assert routing.indices.tolist() == [[4, 3]]
    torch.testing.assert_close(routing.weights, torch.tensor([[2.1, 1.8]]))
    router.bias[1] = 0.5  # now group 0 is worth .9 + .6 against 1.3; expert 1 is picked, and weighs what it did: .1
    routing = router(scores.logit())
    assert routing.indices.tolist() == [[0, 1]]
    torch.testing.assert_close(routing.weights, torch.tensor([[2.7, 0.3]]))


def gate_gradient(**options):
    """The router's gradient when its weights scale fixed random answers."""
    router = Router(8, 6, **options).double()
    routing = router(torch.randn(40, 8, dtype=torch.float64))
    (routing.weights * torch.randn(40, router.top_k, dtype=torch.float64)).sum().backward()
    return router.weight.grad


def test_scores_that_underflow_leave_the_gradient_finite():
    router = Router(4, 6, 2, gate="sqrtsoftplus_topk", renormalize=True)
    router.weight.data[:5] = -1.0
    for x in (torch.full((1, 4), 100.0), torch.randn(1, 4)):
        (gradient,) = torch.autograd.grad((router(x).weights * torch.randn(1, 2)).sum(), router.weight)
        assert gradient.isfinite().all()


def test_at_k_1_a_router_whose_weights_sum_to_1_gets_no_gradient():
    assert (gate_gradient(top_k=1, gate="topk_softmax") == 0).all()
    assert gate_gradient(top_k=1, gate="softmax_topk", renormalize=True).abs().max() < 1e-12
    assert gate_gradient(top_k=1, gate="sigmoid_topk", renormalize=True).abs().max() < 1e-12
    assert gate_gradient(top_k=1, gate="softmax_topk").norm() > 0.1
    assert gate_gradient(top_k=1, gate="sigmoid_topk").norm() > 0.1
    assert gate_gradient(top_k=2, gate="topk_softmax").norm() > 0.1


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("noise", [0.7, "learned"])
def test_noise_moves_choice_and_weights_in_train_only(gate, noise):
    router = Router(4, 6, 2, gate=gate, noise=noise).double()
    x = torch.randn(60, 4, dtype=torch.float64)
    first, second = router(x), router(x)
    assert first.noisy
    assert not torch.equal(first.indices, second.indices)
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(first.logits, x @ router.weight.T)
    assert torch.equal(first.probs, Router.probabilities(router, first.logits))  # clean
    for t in range(60):  # choice and weights both follow from the noisy logits
        indices, weights = loop_oracle.route(router, x[t], logits=list(first.noisy_logits[t]))
        assert first.indices[t].tolist() == indices
        torch.testing.assert_close(first.weights[t], torch.stack(weights))

    router.eval()
    first, second = router(x), router(x)
    assert not first.noisy
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_noise_has_the_stated_size():
    x = torch.randn(1, 3, dtype=torch.float64).expand(20_000, 3)
    fixed = Router(3, 4, 1, noise=0.7).double()(x)
    assert (fixed.noise_std == 0.7).all()
    learned = Router(3, 4, 1, noise="learned").double()
    torch.testing.assert_close(learned(x).noise_std, torch.full((20_000, 4), 2.0, dtype=torch.float64).log())
    learned.noise_weight.data.normal_()
    learned = learned(x)
    for routing in (fixed, learned):
        noise = routing.noisy_logits - routing.logits
        torch.testing.assert_close(noise.std(0), routing.noise_std[0], rtol=0.03, atol=0)
        assert (noise.mean(0).abs() < 0.03 * routing.noise_std[0]).all()
        assert torch.corrcoef(noise.T).fill_diagonal_(0).abs().max() < 0.03  # independent for every expert
    assert len(set(learned.noise_std[0].tolist())) == 4


def test_learned_noise_is_learned_and_equals_its_formula():
    router = Router(3, 4, 2, noise="learned").double()
    router.noise_weight.data.normal_()
    x = torch.randn(20, 3, dtype=torch.float64)
    routing = router(x)
    torch.testing.assert_close(routing.noise_std, (1 + (x @ router.noise_weight.T).exp()).log())
    (routing.weights * torch.randn(20, 2, dtype=torch.float64)).sum().backward()
    assert router.noise_weight.grad.norm() > 1e-3


def test_low_precision_tokens_are_routed_in_float32():
    router = Router(8, 4, 2, bias=True, noise="learned", logit_bias=True).to(torch.bfloat16)
    x = torch.randn(64, 8).bfloat16()
    routing = router(x)
    logits = x.float() @ router.weight.float().T + router.logit_bias.float()
    torch.testing.assert_close(routing.logits, logits)  # bfloat16 would be off by 1e-2
    assert routing.noise_std.dtype == torch.float32


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("noise", [None, 0.7, "learned"])
def test_autocast_lowers_nothing_forward_and_backward(gate, noise):
    router = Router(8, 6, 2, gate=gate, noise=noise, bias=True, renormalize=True, logit_bias=True)
    if noise == "learned":
        torch.nn.init.normal_(router.noise_weight)
    x, found = torch.randn(40, 8, requires_grad=True), []
    for lowered in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
            routing = router(x)
        # The gradient of all that a loss can use, also of the noise.
        smooth = (routing.logits, routing.probs, routing.weights, routing.noisy_logits, routing.noise_std)
        total = sum((field * torch.randn_like(field)).sum() for field in smooth)
        found.append((routing, torch.autograd.grad(total, [x, *router.parameters()])))
    assert {field.dtype for field in found[1][0]} == {torch.float32, torch.int64}
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    "cast",
    [
        lambda router: router.bfloat16(),
        lambda router: router.half().float(),
        lambda router: pickle.loads(pickle.dumps(router.bfloat16())),
    ],
    ids=["bfloat16", "there and back", "pickled"],
)
def test_no_cast_rounds_the_selection_bias(cast):
    router, kept = Router(4, 6, 2, bias=True), torch.rand(6) + 7
    router.bias.copy_(kept)
    router = cast(router)
    assert router.bias.dtype == torch.float32
    assert torch.equal(router.state_dict()["bias"], kept)
    loaded = Router(4, 6, 2, bias=True).bfloat16()
    loaded.load_state_dict(router.state_dict())
    assert torch.equal(loaded.bias, kept)


def test_two_thousand_small_steps_move_a_bias_by_all_of_them():
    router = Router(4, 2, 1, bias=True).bfloat16()
    balancer, chosen = BiasBalancer(0.001), torch.zeros(5, 1, dtype=torch.int64)
    for _ in range(2000):
        balancer.update(router.bias, chosen)
    torch.testing.assert_close(router.bias, torch.tensor([-2.0, 2.0]), rtol=0, atol=1e-3)
