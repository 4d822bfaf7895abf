import copy

import loop_oracle
import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from moe_tutorial.layers import ExpertChoiceRouter, Experts, HashRouter, MixtureOfExperts, Router, Routing
from moe_tutorial.layers.routing import GATES

both_dispatches = pytest.mark.parametrize("dispatch", ["sparse", "dense"])
all_three_ways = pytest.mark.parametrize("dispatch", ["sparse", "plain", "dense"])


class OwnExperts(Experts):
    """Experts of a class of one's own, which a mixture asks in the plain way."""


def build(dispatch="sparse", **changes):
    """A small float64 mixture, its selection bias random if it has one; "plain" is sparse without ``layers/fast``."""
    options = {"d_model": 5, "d_hidden": 3, "n_experts": 4, "top_k": 2, **changes}
    moe = MixtureOfExperts(**options, dispatch="sparse" if dispatch == "plain" else dispatch).double()
    if dispatch == "plain":
        moe.experts.__class__ = OwnExperts
    if getattr(moe.router, "bias", None) is not None:
        moe.router.bias.normal_()
    return moe


def tokens(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def gradients(moe, x, y, direction):
    """The gradients of <y, direction> for the input and every parameter, by name."""
    names = ["x", *dict(moe.named_parameters())]
    grads = torch.autograd.grad(
        (y * direction).sum(), [x, *moe.parameters()], allow_unused=True, materialize_grads=True
    )
    return dict(zip(names, grads, strict=True))


VARIANTS = {
    "plain": {},
    "gated, shared": {"gated": True, "n_shared": 2, "d_shared": 6},
    "renormalised, gelu": {
        "expert_bias": False,
        "n_shared": 1,
        "renormalize": True,
        "scale": 1.7,
        "activation": "gelu",
    },
    "bias, other output width, shared": {"bias": True, "d_out": 3, "n_shared": 1},
    "groups": {"n_experts": 8, "n_groups": 4, "top_groups": 2, "bias": True, "renormalize": True, "scale": 2.5},
    "clamped, every bias": loop_oracle.CLAMPED | {"logit_bias": True, "bias": True, "n_shared": 1},
}


@all_three_ways
@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_and_gradients_equal_the_loop(variant, gate, k, dispatch):
    moe = build(top_k=k, gate=gate, dispatch=dispatch, **VARIANTS[variant])
    x = tokens(7, 5).requires_grad_()
    y, _ = moe(x)
    loop = loop_oracle.mixture(moe, x)
    torch.testing.assert_close(y, loop)
    direction = torch.randn_like(y)
    torch.testing.assert_close(gradients(moe, x, y, direction), gradients(moe, x, loop, direction))


BATCHED = [
    {},
    {"gated": True, "n_shared": 1, "gate": "sigmoid_topk", "bias": True},
    loop_oracle.CLAMPED | {"gate": "sqrtsoftplus_topk", "logit_bias": True},
]


@pytest.mark.parametrize("options", BATCHED)
@pytest.mark.parametrize("kind", [Router, ExpertChoiceRouter, HashRouter])
def test_many_mixtures_train_as_one(kind, options):
    own = {"gate", "bias", "logit_bias"} & options.keys() if kind is not Router else ()
    options = {name: value for name, value in options.items() if name not in own}
    routers = [None if kind is Router else kind(5, 4, 2) for _ in range(5)]
    moes = [build(dispatch="dense", router=router, **options) for router in routers]
    base = copy.deepcopy(moes[0]).to("meta")
    x = tokens(5, 8, 5)

    def one(parameters, buffers, x):
        return functional_call(base, (parameters, buffers), (x,))

    def loss(parameters, buffers, x):
        return one(parameters, buffers, x)[0].square().sum()

    state = stack_module_state(moes)
    y, routing = vmap(one)(*state, x)
    assert isinstance(routing, Routing)
    grads = vmap(torch.func.grad(loss))(*state, x)
    for s, moe in enumerate(moes):
        expected_y, expected = moe(x[s])
        torch.testing.assert_close(y[s], expected_y)
        for field in Routing._fields:
            torch.testing.assert_close(getattr(routing, field)[s], getattr(expected, field))
        expected_y.square().sum().backward()
        for name, parameter in moe.named_parameters():
            torch.testing.assert_close(grads[name][s], parameter.grad)


@both_dispatches
@pytest.mark.parametrize("shape", [(5,), (1, 5), (2, 3, 5), (2, 1, 3, 5), (0, 5), (2, 0, 5)])
def test_any_leading_shape_forward_and_backward(shape, dispatch):
    moe = build(d_out=2, n_shared=1, gated=True, dispatch=dispatch)
    x = tokens(*shape).requires_grad_()
    y, routing = moe(x)
    assert y.shape == (*shape[:-1], 2)
    flat, _ = moe(x.reshape(-1, 5))
    torch.testing.assert_close(y, flat.reshape(y.shape))
    assert len(routing.indices) == x.numel() // 5
    y.sum().backward()
    assert x.grad.shape == shape
    for name, parameter in moe.named_parameters():
        assert parameter.grad is not None, name
        assert len(routing.indices) or (parameter.grad == 0).all(), name


@pytest.mark.parametrize("noise", [None, "learned"])
def test_nothing_is_made_on_a_device_of_its_own(noise):
    # The meta device stands for any device that is not the CPU: mixing the two raises.
    options = {"noise": noise, "bias": True, "n_groups": 2, "top_groups": 1, "n_shared": 1}
    moe = MixtureOfExperts(5, 3, 4, 2, dispatch="dense", **options).to("meta")
    y, routing = moe(torch.zeros(7, 5, device="meta"))
    assert {y.device.type, *(field.device.type for field in routing)} == {"meta"}


@both_dispatches
def test_nothing_is_stored_on_the_module(dispatch):
    moe = build(noise="learned", bias=True, n_shared=1, dispatch=dispatch)
    before = [{**vars(module)} for module in moe.modules()]
    state = copy.deepcopy(moe.state_dict())
    moe(tokens(6, 5))
    assert [{**vars(module)} for module in moe.modules()] == before
    torch.testing.assert_close(moe.state_dict(), state, rtol=0, atol=0)


@pytest.mark.parametrize("n_tokens", [1, 50])
@pytest.mark.parametrize("dispatch", ["sparse", "plain"])
def test_sparse_reads_chosen_experts_only(dispatch, n_tokens):
    moe, x = build(n_experts=30, top_k=1, dispatch=dispatch), tokens(n_tokens, 5)
    chosen = moe.router(x).indices.unique()
    others = torch.ones(30).bool().index_fill_(0, chosen, False)
    assert 0 < others.sum() < 30
    y, _ = moe(x)
    with torch.no_grad():
        for stack in moe.experts.parameters():
            stack[others] = torch.nan
    torch.testing.assert_close(moe(x)[0], y)


def test_a_way_of_ones_own_is_taken():
    class Own(MixtureOfExperts):
        def sparse(self, tokens, routing):
            return 7 * super().sparse(tokens, routing)

    class Loud(Experts):
        def neurons(self, *arguments):
            return 7 * super().neurons(*arguments)

    moe, x = MixtureOfExperts(5, 3, 4, 2, expert_bias=False), torch.randn(6, 5)
    expected = 7 * moe(x)[0]
    own = Own(5, 3, 4, 2, expert_bias=False)
    own.load_state_dict(moe.state_dict())
    torch.testing.assert_close(own(x)[0], expected)
    moe.experts.__class__ = Loud
    torch.testing.assert_close(moe(x)[0], expected)


class Oracle(nn.Module):
    """Sends every token to the expert that its first number names; a router of one's own."""

    def forward(self, x):
        chosen = x[:, :1].long()
        probs = torch.nn.functional.one_hot(chosen[:, 0], 4).to(x)
        return Routing(probs, probs, chosen, torch.ones_like(x[:, :1]))


@both_dispatches
@pytest.mark.parametrize("router", [Oracle(), Oracle().forward], ids=["module", "function"])
def test_anything_that_returns_a_routing_is_a_router(router, dispatch):
    moe = MixtureOfExperts(5, 3, 4, 1, router, dispatch=dispatch).double()
    x = tokens(8, 5)
    x[:, 0] = torch.arange(8) % 4
    y, routing = moe(x)
    assert routing.noise_std is None
    torch.testing.assert_close(y, torch.stack([loop_oracle.answer(moe.experts, t % 4, x[t]) for t in range(8)]))


@both_dispatches
def test_a_router_that_names_an_expert_twice_adds_its_weights(dispatch):
    def twice(x):
        return Routing(x, x, torch.tensor([[2, 2]]), torch.tensor([[0.25, 0.5]], dtype=x.dtype))

    moe = MixtureOfExperts(5, 3, 4, 2, twice, dispatch=dispatch).double()
    x = tokens(1, 5)
    torch.testing.assert_close(moe(x)[0][0], 0.75 * loop_oracle.answer(moe.experts, 2, x[0]))
