"""What a layer or a loss cannot use is named: the argument, what is allowed, and what was given."""

import math

import pytest
import torch

from moe_tutorial.layers import (
    GPT,
    BiasBalancer,
    ClampedSwiGLU,
    ExpertChoiceRouter,
    Experts,
    FastFeedForward,
    GPTConfig,
    HashRouter,
    MixtureOfExperts,
    Router,
    Routing,
    hardening_loss,
    hardening_ramp,
    importance,
    importance_loss,
    load_estimate,
    load_loss,
    node_balance_loss,
    switch_loss,
    z_loss,
)


def experts(**changes):
    return Experts(**{"n_experts": 2, "d_model": 4, "d_hidden": 4, **changes})


def mixture(**changes):
    return MixtureOfExperts(**{"d_model": 4, "d_hidden": 3, "n_experts": 4, "top_k": 2, **changes})


def router(kind=Router, **changes):
    return kind(**{"d_model": 4, "n_experts": 8, "top_k": 2, **changes})


def tree(**changes):
    return FastFeedForward(**{"d_in": 4, "d_out": 4, "depth": 2, "leaf_width": 3, **changes})


def gpt(feed_forward="moe", **changes):
    sizes = {"context": 16, "n_heads": 2, "d_model": 16, "d_hidden": 24, "n_experts": 4}
    return GPT(GPTConfig(20, feed_forward=feed_forward, **sizes | changes))


def text(*shape):
    return torch.zeros(shape, dtype=torch.int64)


COUNT, K = "must be an integer of at least", "top_k must be an integer from 1 to n_experts = 8, got"
NOISE = "noise must be None, 'learned' or a finite number of at least 0, got"
KIND = "activation must be one of 'relu', 'gelu', 'silu', got 'tanh'"
WAY, WHICH = "dispatch must be one of 'sparse', 'dense', got 'fast'", "router must have"
ARGUMENTS = [
    (lambda: experts(n_experts=0), ValueError, f"n_experts {COUNT} 1, got 0"),
    (lambda: experts(d_model=2.0), TypeError, f"d_model {COUNT} 1, got 2.0"),
    (lambda: experts(d_hidden=True), TypeError, f"d_hidden {COUNT} 1, got True"),
    (lambda: experts(activation="tanh"), ValueError, KIND),
    (lambda: experts(activation=ClampedSwiGLU(7.0)), ValueError, r"'silu' without gated=True, got ClampedSwiGLU\(lim"),
    (lambda: ClampedSwiGLU(0), ValueError, "limit must be a finite number above 0, got 0"),
    (lambda: mixture(n_shared=-1), ValueError, f"n_shared {COUNT} 0, got -1"),
    (lambda: mixture(n_shared=1, d_shared=0), ValueError, f"d_shared {COUNT} 1, got 0"),
    (lambda: mixture(d_shared=8), ValueError, "d_shared must be None without shared experts .*, got 8"),
    (lambda: mixture(dispatch="fast"), ValueError, WAY),
    (lambda: mixture(gates="sigmoid_topk"), TypeError, "unexpected keyword argument 'gates'"),
    (lambda: mixture(router=3), TypeError, "router must be a Router or a callable that returns a Routing, got 3"),
    (lambda: mixture(router=Router(6, 4, 2)), ValueError, f"{WHICH} d_model = 4 like the mixture, got 6"),
    (lambda: mixture(router=Router(4, 3, 2)), ValueError, f"{WHICH} n_experts = 4 like the mixture, got 3"),
    (lambda: mixture(router=Router(4, 4, 1)), ValueError, f"{WHICH} top_k = 2 like the mixture, got 1"),
    (lambda: mixture(router=Router(4, 4, 2), gate="x"), TypeError, "router or router options, not both; .* and gate"),
    (lambda: router(top_k=9), ValueError, f"{K} 9"),
    (lambda: router(ExpertChoiceRouter, top_k=9), ValueError, f"{K} 9"),
    (lambda: router(HashRouter, top_k=9), ValueError, f"{K} 9"),
    (lambda: router(gate="softmax"), ValueError, "gate must be one of 'softmax_topk', .*, got 'softmax'"),
    (lambda: router(noise=-0.1), ValueError, f"{NOISE} -0.1"),
    (lambda: router(noise="gaussian"), ValueError, f"{NOISE} 'gaussian'"),
    (lambda: router(noise=True), TypeError, f"{NOISE} True"),
    (lambda: router(scale=math.inf), ValueError, "scale must be a finite number of at least 0, got inf"),
    (lambda: router(n_groups=4), ValueError, "go together, got n_groups=4 and top_groups=None"),
    (lambda: router(n_groups=3, top_groups=1), ValueError, "n_groups must divide n_experts = 8 .*, got 3"),
    (lambda: router(n_groups=8, top_groups=1), ValueError, "groups of at least 2 experts, got 8"),
    (lambda: router(n_groups=4, top_groups=5), ValueError, "top_groups must be .* to n_groups = 4, got 5"),
    (lambda: router(n_groups=4, top_groups=1, top_k=3), ValueError, "top_k = 3 experts .*, got 1 groups of 2"),
    (lambda: tree(depth=-1), ValueError, f"depth {COUNT} 0, got -1"),
    (lambda: tree(leaf_width=0), ValueError, f"leaf_width {COUNT} 1, got 0"),
    (lambda: tree(activation="tanh"), ValueError, KIND),
    (lambda: tree(dispatch="fast"), ValueError, WAY),
    (lambda: tree(region_leak=0.7), ValueError, "region_leak must be a number from 0 to 0.5, got 0.7"),
    (lambda: hardening_ramp(0, 5, 5, 1.0), ValueError, "end must be after start = 5, got 5"),
    (lambda: BiasBalancer(0), ValueError, "rate must be a finite number above 0, got 0"),
    (lambda: BiasBalancer("0.1"), TypeError, "rate must be a finite number above 0, got '0.1'"),
    (lambda: GPTConfig(0), ValueError, f"vocab_size {COUNT} 1, got 0"),
    (lambda: GPTConfig(20, n_heads=3), ValueError, "n_heads must divide d_model = 64, got 3"),
    (lambda: gpt("wide"), ValueError, "feed_forward must be one of 'dense', 'moe', 'fff', got 'wide'"),
    (lambda: gpt(dispatch="fast"), ValueError, WAY),
    (lambda: gpt("dense", d_hidden=0), ValueError, f"d_hidden {COUNT} 1, got 0"),
    (lambda: gpt()(torch.rand(1, 3)), TypeError, "tokens must be a tensor of integers, got torch.float32"),
    (lambda: gpt()(text(3)), ValueError, r"tokens must be \(B, T\) with T of at least 1, got \(3,\)"),
    (lambda: gpt()(text(1, 17)), ValueError, "tokens must be at most context = 16, got 17"),
    (lambda: gpt().generate(text(1, 2), -1), ValueError, f"n_new {COUNT} 0, got -1"),
    (lambda: gpt().generate(text(1, 2), 1, -1.0), ValueError, "temperature must be a finite number"),
]


@pytest.mark.parametrize(("make", "error", "message"), ARGUMENTS, ids=[message[:40] for _, _, message in ARGUMENTS])
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


LAYERS = {
    "experts": experts,
    "mixture": mixture,
    "dense mixture": lambda: mixture(dispatch="dense"),
    "router": router,
    "expert choice": lambda: router(ExpertChoiceRouter),
    "hash": lambda: router(HashRouter),
    "tree": tree,
    "hard tree": lambda: tree().eval(),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_bad_tokens_are_named(layer):
    layer = LAYERS[layer]()
    for x in (torch.zeros(3, 5), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"x must have shape \(..., d_model = 4\), got \("):
            layer(x)
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got dtype torch\.int32"):
        layer(torch.zeros(3, 4, dtype=torch.int32))
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor of shape .*, got list"):
        layer([[1.0] * 4])


ONE, ONES = torch.ones(2, 1, dtype=torch.int64), torch.ones(2, 1)


@pytest.mark.parametrize(
    ("routing", "x", "error", "message"),
    [
        ((ONE, ONES), 2, TypeError, "router must return a Routing, got tuple"),
        (Routing(ONES, ONES, ONE, torch.ones(2, 2)), 2, ValueError, r"got \(2, 1\) and \(2, 2\)"),
        (Routing(ONES, ONES, ONE, ONES), 3, ValueError, r"one shape \(T = 3, k\), got \(2, 1\) and \(2, 1\)"),
    ],
)
def test_a_bad_routing_is_named(routing, x, error, message):
    with pytest.raises(error, match=message):
        mixture(top_k=1, router=lambda _: routing)(torch.randn(x, 4))


FIELDS = [torch.ones(3, 2), torch.ones(3, 2), torch.zeros(3, 1, dtype=torch.int64), torch.ones(3, 1)]


@pytest.mark.parametrize("loss", [importance_loss, load_loss, switch_loss, z_loss, importance, load_estimate])
def test_what_a_loss_cannot_use_is_named(loss):
    for routing, error, message in (
        ((torch.zeros(3, 4), Routing(*FIELDS)), TypeError, r"^routing must be a Routing, got tuple$"),
        (Routing(*(f.unsqueeze(0) for f in FIELDS)), ValueError, r"must be of one batch, .*, got probs \(1, 3, 2\)$"),
        (Routing(*(f[:0] for f in FIELDS)), ValueError, r"with at least one token .*, got probs \(0, 2\)$"),
    ):
        with pytest.raises(error, match=message):
            loss(routing)
    if loss in (load_estimate, load_loss):
        for routing in (Routing(*FIELDS), router(noise="learned").eval()(torch.randn(3, 4))):
            with pytest.raises(ValueError, match=r"needs noise: use a router with noise in train\(\), got .* without"):
                loss(routing)


@pytest.mark.parametrize("loss", [hardening_loss, node_balance_loss])
def test_a_loss_says_that_a_hard_descent_is_not_enough(loss):
    with pytest.raises(ValueError, match=f"{loss.__name__} needs the decisions of all nodes: call the tree in train()"):
        loss(tree().eval()(torch.randn(8, 4))[1])


BIAS, INDICES = torch.zeros(4), torch.zeros(5, 2, dtype=torch.int64)
TYPES = "bias must be a floating-point tensor and indices an int64 tensor, got "


@pytest.mark.parametrize(
    ("bias", "indices", "error", "message"),
    [
        (None, INDICES, ValueError, "bias must be the router's selection bias, got None: .* with bias=True"),
        (BIAS, INDICES.float(), TypeError, TYPES + "torch.float32 and torch.float32"),
        (BIAS, Routing(*FIELDS), TypeError, TYPES + "Tensor and Routing"),
        (BIAS, INDICES[0], ValueError, "same leading dimensions, got"),
        (BIAS[None], INDICES, ValueError, "same leading dimensions, got"),
        (BIAS, INDICES + torch.tensor([0, 4]), ValueError, "^indices must run from 0 to 3, got 0 to 4$"),
        (BIAS, INDICES - 1, ValueError, "^indices must run from 0 to 3, got -1 to -1$"),
    ],
)
def test_what_a_balancer_cannot_use_is_named(bias, indices, error, message):
    with pytest.raises(error, match=message):
        BiasBalancer(0.1).update(bias, indices)
    assert (BIAS == 0).all()
