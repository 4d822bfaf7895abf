"""What a layer or a loss cannot use is named: the argument, what is allowed, and what was given.

Tokens of another dtype than the weights: one line says what to do, and where both may meet, they do.
"""

import re

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
    PathLayer,
    QuantileBalancer,
    Router,
    Routing,
    hardening_loss,
    hardening_ramp,
    importance,
    importance_loss,
    load_estimate,
    node_balance_loss,
    switch_loss,
)


def experts(**changes):
    return Experts(**{"n_experts": 2, "d_model": 4, "d_hidden": 4, **changes})


def mixture(**changes):
    return MixtureOfExperts(**{"d_model": 4, "d_hidden": 3, "n_experts": 4, "top_k": 2, **changes})


def router(kind=Router, **changes):
    return kind(**{"d_model": 4, "n_experts": 8, "top_k": 2, **changes})


def tree(**changes):
    return FastFeedForward(**{"d_in": 4, "d_out": 4, "depth": 2, "leaf_width": 3, **changes})


def path(**changes):
    return PathLayer(**{"d_in": 4, "d_out": 4, "depth": 2, **changes})


def gpt(feed_forward="moe", **changes):
    sizes = {"context": 16, "n_heads": 2, "d_model": 16, "d_hidden": 24, "n_experts": 4}
    return GPT(GPTConfig(20, feed_forward=feed_forward, **sizes | changes))


def text(*shape):
    return torch.zeros(shape, dtype=torch.int64)


COUNT, K = "must be an integer of at least", "top_k must be an integer from 1 to n_experts = 8, got"
NOISE = "noise must be None, 'learned' or a finite number of at least 0, got"
KIND = "activation must be one of 'relu', 'gelu', 'silu', got 'tanh'"
WAY, WHICH = "dispatch must be one of 'sparse', 'dense', got 'fast'", "router must have"
ROWS = [
    (lambda: experts(n_experts=0), ValueError, f"n_experts {COUNT} 1, got 0"),
    (lambda: experts(d_model=2.0), TypeError, f"d_model {COUNT} 1, got 2.0"),
    (lambda: experts(activation="tanh"), ValueError, KIND),
    (lambda: experts(activation=ClampedSwiGLU(7.0)), ValueError, r"'silu' without gated=True, got ClampedSwiGLU\(lim"),
    (lambda: ClampedSwiGLU(0), ValueError, "limit must be a finite number above 0, got 0"),
    (lambda: mixture(n_shared=-1), ValueError, f"n_shared {COUNT} 0, got -1"),
    (lambda: mixture(d_shared=8), ValueError, "d_shared must be None without shared experts .*, got 8"),
    (lambda: mixture(dispatch="fast"), ValueError, WAY),
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
    (lambda: router(n_groups=4), ValueError, "go together, got n_groups=4 and top_groups=None"),
    (lambda: router(n_groups=3, top_groups=1), ValueError, "n_groups must divide n_experts = 8 .*, got 3"),
    (lambda: router(n_groups=8, top_groups=1), ValueError, "groups of at least 2 experts, got 8"),
    (lambda: router(n_groups=4, top_groups=5), ValueError, "top_groups must be .* to n_groups = 4, got 5"),
    (lambda: router(n_groups=4, top_groups=1, top_k=3), ValueError, "top_k = 3 experts .*, got 1 groups of 2"),
    (lambda: tree(depth=-1), ValueError, f"depth {COUNT} 0, got -1"),
    (lambda: tree(dispatch="fast"), ValueError, WAY),
    (lambda: tree(region_leak=0.7), ValueError, "region_leak must be a number from 0 to 0.5, got 0.7"),
    (lambda: path(depth=0), ValueError, f"depth {COUNT} 1, got 0"),
    (lambda: hardening_ramp(0, 5, 5, 1.0), ValueError, "end must be after start = 5, got 5"),
    (lambda: BiasBalancer(0), ValueError, "rate must be a finite number above 0, got 0"),
    (lambda: QuantileBalancer(0), ValueError, f"top_k {COUNT} 1, got 0"),
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


# Tokens

LAYERS = {
    "experts": experts,
    "gated experts": lambda: experts(gated=True),
    "mixture": mixture,
    "dense mixture, shared": lambda: mixture(n_shared=1, dispatch="dense"),
    "mixture with its own router": lambda: mixture(router=HashRouter(4, 4, 2)),
    "tree in training": tree,
    "gelu tree in training": lambda: tree(activation="gelu"),
    "tree": lambda: tree().eval(),
    "tree of one leaf": lambda: tree(depth=0).eval(),
    "path layer in training": path,
    "path layer": lambda: path().eval(),
    "dense tree": lambda: tree(dispatch="dense").eval(),
}
ROUTERS = {
    "router": lambda: router(noise="learned", bias=True, logit_bias=True),
    "expert choice": lambda: router(ExpertChoiceRouter),
    "hash": lambda: router(HashRouter),
}
WIDTH = r"x must have shape \(..., d_model = 4\), got \("
for build in (LAYERS | ROUTERS).values():
    ROWS += [
        (lambda build=build: build()(torch.zeros(3, 5)), ValueError, WIDTH),
        (lambda build=build: build()(torch.tensor(1.0)), ValueError, WIDTH),
        (
            lambda build=build: build()(torch.zeros(3, 4, dtype=torch.int32)),
            TypeError,
            r"x must be a floating-point tensor, got dtype torch\.int32",
        ),
        (
            lambda build=build: build()([[1.0] * 4]),
            TypeError,
            "x must be a floating-point tensor of shape .*, got list",
        ),
    ]

# Routings

ONE, ONES = torch.ones(2, 1, dtype=torch.int64), torch.ones(2, 1)
FIELDS = [torch.ones(3, 2), torch.ones(3, 2), torch.zeros(3, 1, dtype=torch.int64), torch.ones(3, 1)]


def routed(routing, n_tokens):
    return mixture(top_k=1, router=lambda _: routing)(torch.randn(n_tokens, 4))


ROWS += [
    (lambda: routed((ONE, ONES), 2), TypeError, "router must return a Routing, got tuple"),
    (lambda: routed(Routing(ONES, ONES, ONE, torch.ones(2, 2)), 2), ValueError, r"got \(2, 1\) and \(2, 2\)"),
    (
        lambda: routed(Routing(ONES, ONES, ONE, ONES), 3),
        ValueError,
        r"one shape \(T = 3, k\), got \(2, 1\) and \(2, 1\)",
    ),
]
SEVERAL, NONE = Routing(*(f.unsqueeze(0) for f in FIELDS)), Routing(*(f[:0] for f in FIELDS))
for loss in (importance_loss, switch_loss, importance, load_estimate):
    ROWS += [
        (
            lambda loss=loss: loss((torch.zeros(3, 4), Routing(*FIELDS))),
            TypeError,
            "^routing must be a Routing, got tuple$",
        ),
        (lambda loss=loss: loss(SEVERAL), ValueError, r"must be of one batch, .*, got probs \(1, 3, 2\)$"),
        (lambda loss=loss: loss(NONE), ValueError, r"with at least one token .*, got probs \(0, 2\)$"),
    ]
QUIET = r"needs noise: use a router with noise in train\(\), got .* without"
ROWS += [
    (lambda: load_estimate(Routing(*FIELDS)), ValueError, QUIET),
    (lambda: load_estimate(router(noise="learned").eval()(torch.randn(3, 4))), ValueError, QUIET),
]
for loss in (hardening_loss, node_balance_loss):
    needs = f"{loss.__name__} needs the decisions of all nodes: call the tree in train()"
    ROWS.append((lambda loss=loss: loss(tree().eval()(torch.randn(8, 4))[1]), ValueError, re.escape(needs)))

# Balancing

BIAS, INDICES, SCORES = torch.zeros(4), torch.zeros(5, 2, dtype=torch.int64), torch.rand(5, 4)
TYPES = "bias must be a floating-point tensor and indices an int64 tensor, got "


def balance(bias, indices):
    BiasBalancer(0.1).update(bias, indices)


def set_bias(bias, scores, top_k=1):
    QuantileBalancer(top_k).update(bias, scores)


ROWS += [
    (lambda: balance(None, INDICES), ValueError, "the router's selection bias, got None: .* with bias=True"),
    (lambda: balance(BIAS, INDICES.float()), TypeError, TYPES + "torch.float32 and torch.float32"),
    (lambda: balance(BIAS, Routing(*FIELDS)), TypeError, TYPES + "Tensor and Routing"),
    (lambda: balance(BIAS, INDICES[0]), ValueError, "same leading dimensions, got"),
    (lambda: balance(BIAS[None], INDICES), ValueError, "same leading dimensions, got"),
    (lambda: balance(BIAS, INDICES + torch.tensor([0, 4])), ValueError, "^indices must run from 0 to 3, got 0 to 4$"),
    (lambda: balance(BIAS, INDICES - 1), ValueError, "^indices must run from 0 to 3, got -1 to -1$"),
    (lambda: set_bias(None, SCORES), ValueError, "the router's selection bias, got None: .* with bias=True"),
    (lambda: set_bias(BIAS, INDICES), TypeError, "^scores must be a floating-point tensor, got torch.int64$"),
    (lambda: set_bias(BIAS, Routing(*FIELDS)), TypeError, "^scores must be a floating-point tensor, got Routing$"),
    (lambda: set_bias(BIAS, SCORES[0]), ValueError, r"leading dimensions, got \(4,\) and \(4,\)$"),
    (lambda: set_bias(BIAS, SCORES[:, :3]), ValueError, r"leading dimensions, got \(4,\) and \(5, 3\)$"),
    (lambda: set_bias(BIAS, SCORES, 4), ValueError, "^top_k must leave an expert out, got 4 of 4$"),
]


@pytest.mark.parametrize(("call", "error", "message"), ROWS, ids=[message[:40] for _, _, message in ROWS])
def test_what_cannot_be_used_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert not BIAS.any()  # a balancer changed nothing


# Dtypes

DTYPES = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16", torch.float16: "half"}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(
    ("given", "own"),
    [
        (torch.float64, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.float32, torch.float64),
        (torch.float16, torch.bfloat16),
    ],
)
def test_another_dtype_says_what_to_do_and_that_works(build, given, own):
    x, layer = torch.randn(2, 5, 4).to(given), build().to(own)
    cast_x, cast_layer = DTYPES[own], DTYPES[given]
    names = [str(dtype).removeprefix("torch.") for dtype in (given, own)]
    for grad in (torch.enable_grad(), torch.no_grad()):
        with grad, pytest.raises(TypeError) as caught:
            layer(x)
        assert str(caught.value) == (
            f"x is {names[0]} and the layer's weights are {names[1]}: call x.{cast_x}(), or layer.{cast_layer}()"
        )
    answers = [layer(getattr(x, cast_x)()), getattr(layer, cast_layer)()(x)]
    for y, dtype in zip(answers, (own, given), strict=True):
        assert (y[0] if isinstance(y, tuple) else y).dtype == dtype


@pytest.mark.parametrize("build", ROUTERS.values(), ids=ROUTERS)
@pytest.mark.parametrize("own", DTYPES)
@pytest.mark.parametrize("given", DTYPES)
def test_a_router_takes_every_dtype(build, given, own):
    routing = build().to(own)(torch.randn(5, 4).to(given))
    assert routing.weights.dtype == torch.promote_types(given, torch.float32)


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_under_autocast_dtypes_may_meet_but_float64_may_not(build):
    layer, x = build(), torch.randn(5, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    answer, exact = (found[0] if isinstance(found, tuple) else found for found in (y, layer(x.float())))
    torch.testing.assert_close(answer.float(), exact, rtol=0.1, atol=0.1)
    message = r"^x is float64 and the layer's weights are float32: call x\.float\(\), or layer\.double\(\)$"
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TypeError, match=message):
        layer(x.double())


@pytest.mark.parametrize("kind", ["dense", "moe", "fff"])
def test_a_gpt_of_any_dtype_and_under_autocast(kind):
    tokens = torch.arange(8)[None]
    for training in (True, False):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            assert gpt(kind).to(dtype).train(training)(tokens)[0].dtype == dtype
        with torch.autocast("cpu", torch.bfloat16):
            _, loss, _ = gpt(kind).train(training)(tokens, tokens)
        loss.backward()
