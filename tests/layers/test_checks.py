"""Tokens of another dtype than a layer's weights: one line says what to do, and where both may meet, they do."""

import pytest
import torch

from moe_tutorial.layers import (
    GPT,
    ExpertChoiceRouter,
    Experts,
    FastFeedForward,
    GPTConfig,
    HashRouter,
    MixtureOfExperts,
    Router,
)

LAYERS = {
    "experts": lambda: Experts(4, 6, 3),
    "gated experts": lambda: Experts(4, 6, 3, gated=True),
    "mixture": lambda: MixtureOfExperts(6, 3, 4, 2),
    "dense mixture, shared": lambda: MixtureOfExperts(6, 3, 4, 2, n_shared=1, dispatch="dense"),
    "mixture with its own router": lambda: MixtureOfExperts(6, 3, 4, 2, HashRouter(6, 4, 2)),
    "tree in training": lambda: FastFeedForward(6, 6, 2, 3),
    "gelu tree in training": lambda: FastFeedForward(6, 6, 2, 3, activation="gelu"),
    "tree": lambda: FastFeedForward(6, 6, 2, 3).eval(),
    "tree of one leaf": lambda: FastFeedForward(6, 6, 0, 3).eval(),
    "dense tree": lambda: FastFeedForward(6, 6, 2, 3, dispatch="dense").eval(),
}
ROUTERS = {
    "router": lambda: Router(6, 4, 2, noise="learned", bias=True, logit_bias=True),
    "expert choice": lambda: ExpertChoiceRouter(6, 4, 2),
    "hash": lambda: HashRouter(6, 4, 2),
}
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
    x, layer = torch.randn(2, 5, 6).to(given), build().to(own)
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
    routing = build().to(own)(torch.randn(5, 6).to(given))
    assert routing.weights.dtype == torch.promote_types(given, torch.float32)


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_under_autocast_dtypes_may_meet_but_float64_may_not(build):
    layer, x = build(), torch.randn(5, 6).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    answer, exact = (found[0] if isinstance(found, tuple) else found for found in (y, layer(x.float())))
    torch.testing.assert_close(answer.float(), exact, rtol=0.1, atol=0.1)
    message = r"^x is float64 and the layer's weights are float32: call x\.float\(\), or layer\.double\(\)$"
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TypeError, match=message):
        layer(x.double())


@pytest.mark.parametrize("kind", ["dense", "moe", "fff"])
def test_a_gpt_of_any_dtype_and_under_autocast(kind):
    config = GPTConfig(11, context=8, d_model=8, n_heads=2, feed_forward=kind, d_hidden=4)
    tokens = torch.arange(8)[None]
    for training in (True, False):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            assert GPT(config).to(dtype).train(training)(tokens)[0].dtype == dtype
        with torch.autocast("cpu", torch.bfloat16):
            _, loss, _ = GPT(config).train(training)(tokens, tokens)
        loss.backward()
