import copy

import loop_oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from moe_tutorial.layers import Experts, MixtureOfExperts, Router, Routing
from moe_tutorial.layers.routing import GATES

quick = settings(max_examples=60, deadline=None, derandomize=True)
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
    if moe.router.bias is not None:
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
    "renormalised, scaled, gelu, experts without bias": {
        "expert_bias": False,
        "n_shared": 1,
        "renormalize": True,
        "scale": 1.7,
        "activation": "gelu",
    },
    "bias, other output width, shared": {"bias": True, "d_out": 3, "n_shared": 1},
    "groups, bias, renormalised, gated": {
        **{
            "n_experts": 8,
            "n_groups": 4,
            "top_groups": 2,
            "bias": True,
            "renormalize": True,
            "gated": True,
            "scale": 2.5,
        }
    },
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


@all_three_ways
@pytest.mark.parametrize("gate", GATES)
def test_gradcheck(gate, dispatch):
    moe = build(gate=gate, gated=True, n_shared=1, bias=True, renormalize=True, dispatch=dispatch)
    x = tokens(4, 5)
    gaps = moe.router(x).logits.sort().values.diff()
    assert gaps.min() > 1e-4  # no choice flips within the finite difference
    names, values = zip(*moe.named_parameters(), strict=True)

    def f(x, *values):
        return functional_call(moe, dict(zip(names, values, strict=True)), x)[0]

    assert torch.autograd.gradcheck(f, (x.requires_grad_(), *values))


def test_both_dispatches_are_one_function_of_wide_layers_too():
    sparse = MixtureOfExperts(64, 96, 16, 4, gated=True, n_shared=1)
    dense = copy.deepcopy(sparse)
    dense.dispatch = "dense"
    x = torch.randn(200, 64)
    torch.testing.assert_close(sparse(x)[0], dense(x)[0])


@both_dispatches
@quick
@given(st.data())
def test_permuting_tokens_permutes_outputs(dispatch, data):
    T, E = data.draw(st.integers(0, 9)), data.draw(st.integers(1, 6))
    torch.manual_seed(data.draw(st.integers(0, 10**6)))
    gate = data.draw(st.sampled_from(GATES))
    moe = build(n_experts=E, top_k=data.draw(st.integers(1, E)), gate=gate, bias=True, dispatch=dispatch)
    x, order = tokens(T, 5), torch.randperm(T)
    y, routing = moe(x)
    permuted, routing_of_permuted = moe(x[order])
    torch.testing.assert_close(permuted, y[order])
    assert torch.equal(routing_of_permuted.indices, routing.indices[order])


@both_dispatches
@quick
@given(st.data())
def test_permuting_experts_with_their_router_rows_changes_nothing(dispatch, data):
    n_groups, size = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 3))
    torch.manual_seed(data.draw(st.integers(0, 10**6)))
    E, gate = n_groups * size, data.draw(st.sampled_from(GATES))
    moe = build(
        n_experts=E,
        top_k=data.draw(st.integers(1, size)),
        gate=gate,
        bias=True,
        n_groups=n_groups,
        top_groups=data.draw(st.integers(1, n_groups)),
        dispatch=dispatch,
    )
    # Groups may change places, and experts may within their group.
    order = torch.stack([torch.randperm(size) + g * size for g in torch.randperm(n_groups).tolist()]).flatten()
    other = copy.deepcopy(moe)
    with torch.no_grad():
        for tensor in (*other.experts.parameters(), *other.router.parameters(), *other.router.buffers()):
            tensor.copy_(tensor[order])
    x = tokens(6, 5)
    (y, routing), (other_y, other_routing) = moe(x), other(x)
    torch.testing.assert_close(other_y, y)
    assert torch.equal(order[other_routing.indices], routing.indices)


@both_dispatches
@quick
@given(st.data())
def test_experts_not_chosen_get_exactly_no_gradient(dispatch, data):
    E = data.draw(st.integers(2, 8))
    torch.manual_seed(data.draw(st.integers(0, 10**6)))
    k, gate = data.draw(st.integers(1, E)), data.draw(st.sampled_from(GATES))
    moe = build(n_experts=E, top_k=k, gate=gate, noise=data.draw(st.sampled_from([None, 1.0])), dispatch=dispatch)
    y, routing = moe(tokens(data.draw(st.integers(1, 3)), 5))
    y.sum().backward()
    chosen = set(routing.indices.flatten().tolist())
    for e in range(E):
        touched = [bool((p.grad[e] != 0).any()) for p in moe.experts.parameters()]
        assert (any(touched)) == (e in chosen)


@both_dispatches
def test_eval_is_deterministic_and_training_with_noise_is_not(dispatch):
    moe = build(noise=1.0, dispatch=dispatch)
    x = tokens(20, 5)
    assert not torch.equal(moe(x)[0], moe(x)[0])
    moe.eval()
    assert torch.equal(moe(x)[0], moe(x)[0])
    torch.testing.assert_close(moe(x)[0], loop_oracle.mixture(moe, x))


@pytest.mark.parametrize("options", [{}, {"gated": True, "n_shared": 1, "gate": "sigmoid_topk", "bias": True}])
def test_many_mixtures_train_as_one(options):
    moes = [build(dispatch="dense", **options) for _ in range(5)]
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


@pytest.mark.parametrize("noise", [0.5, "learned"])
def test_noise_differs_between_mixtures_that_train_as_one(noise):
    moe = build(dispatch="dense", noise=noise)
    base = copy.deepcopy(moe).to("meta")
    state = stack_module_state([moe] * 3)
    x = tokens(8, 5)
    _, routing = vmap(lambda p, b: functional_call(base, (p, b), (x,)), randomness="different")(*state)
    noise = routing.noisy_logits - routing.logits
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[1], noise[2])


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


@both_dispatches
def test_dtypes(dispatch):
    moe = build(n_shared=1, renormalize=True, dispatch=dispatch)
    x = tokens(9, 5)
    y, _ = moe(x)
    assert y.dtype == torch.float64
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.1)):
        low, routing = copy.deepcopy(moe).to(dtype)(x.to(dtype))
        assert low.dtype == dtype
        assert routing.weights.dtype == torch.float32
        torch.testing.assert_close(low.double(), y, rtol=tolerance, atol=tolerance)
    with torch.autocast("cpu", torch.bfloat16):
        low, routing = copy.deepcopy(moe).float()(x.float())
    assert {field.dtype for field in routing} == {torch.float32, torch.int64}
    torch.testing.assert_close(low.double(), y, rtol=0.1, atol=0.1)


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

    moe, x = MixtureOfExperts(5, 3, 4, 2), torch.randn(6, 5)
    own = Own(5, 3, 4, 2)
    own.load_state_dict(moe.state_dict())
    torch.testing.assert_close(own(x)[0], 7 * moe(x)[0])


def test_a_router_may_be_given():
    router = Router(5, 4, 2, gate="topk_softmax", noise=0.5)
    moe = MixtureOfExperts(5, 3, 4, 2, router)
    assert moe.router is router
    assert "router.weight" in moe.state_dict()


@pytest.mark.parametrize("expert_bias", [True, False])
def test_expert_bias_and_selection_bias_are_two_things(expert_bias):
    moe = MixtureOfExperts(5, 3, 4, 2, expert_bias=expert_bias, n_shared=1, bias=not expert_bias)
    assert (moe.experts.b_in is not None) == (moe.shared.b_out is not None) == expert_bias
    assert (moe.router.bias is not None) == (not expert_bias)


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


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"top_k": 5}, ValueError, "top_k must be an integer from 1 to n_experts = 4, got 5"),
        ({"d_hidden": 0}, ValueError, "d_hidden must be an integer of at least 1, got 0"),
        ({"n_shared": -1}, ValueError, "n_shared must be an integer of at least 0, got -1"),
        ({"n_shared": 1, "d_shared": 0}, ValueError, "d_shared must be an integer of at least 1, got 0"),
        ({"d_shared": 8}, ValueError, "d_shared must be None without shared experts .*, got 8"),
        ({"dispatch": "fast"}, ValueError, "dispatch must be one of 'sparse', 'dense', got 'fast'"),
        ({"activation": "tanh"}, ValueError, "activation must be one of 'relu', 'gelu', 'silu', got 'tanh'"),
        ({"noise": -1}, ValueError, "noise must be .* at least 0, got -1"),
        ({"gates": "sigmoid_topk"}, TypeError, ".*unexpected keyword argument 'gates'.*"),
        ({"router": 3}, TypeError, "router must be a Router or a callable that returns a Routing, got 3"),
        ({"router": Router(6, 4, 2)}, ValueError, "router must have d_model = 5 like the mixture, got 6"),
        ({"router": Router(5, 3, 2)}, ValueError, "router must have n_experts = 4 like the mixture, got 3"),
        ({"router": Router(5, 4, 1)}, ValueError, "router must have top_k = 2 like the mixture, got 1"),
        (
            {"router": Router(5, 4, 2), "noise": 1.0, "gate": "sigmoid_topk"},
            TypeError,
            "pass router or router options, not both; got router and noise, gate",
        ),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        MixtureOfExperts(**{"d_model": 5, "d_hidden": 3, "n_experts": 4, "top_k": 2, **changes})


@both_dispatches
def test_bad_input_is_named(dispatch):
    moe = build(dispatch=dispatch)
    with pytest.raises(ValueError, match=r"x must have shape \(..., d_model = 5\), got \(3, 4\)"):
        moe(tokens(3, 4))
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got dtype torch.int64"):
        moe(torch.zeros(3, 5, dtype=torch.int64))


def test_a_bad_routing_is_named():
    def moe(*fields):
        routing = Routing(*fields) if len(fields) == 4 else fields
        return MixtureOfExperts(5, 3, 4, 1, lambda x: routing)

    x, one, ones = torch.randn(2, 5), torch.ones(2, 1, dtype=torch.int64), torch.ones(2, 1)
    with pytest.raises(TypeError, match="router must return a Routing, got tuple"):
        moe(one, ones)(x)
    with pytest.raises(ValueError, match=r"one shape \(T = 2, k\), got \(2, 1\) and \(2, 2\)"):
        moe(ones, ones, one, torch.ones(2, 2))(x)
    with pytest.raises(ValueError, match=r"one shape \(T = 3, k\), got \(2, 1\) and \(2, 1\)"):
        moe(ones, ones, one, ones)(torch.randn(3, 5))
    with pytest.raises(ValueError, match="the router chose expert 9, but there are only 4"):
        moe(ones, ones, 9 * one, ones)(x)
