"""Compiled or plain, the mixture computes and learns alike; and what memory it keeps."""

import copy
import gc

import loop_oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fast import threads
from torch.func import functional_call, grad

from moe_tutorial.layers import MixtureOfExperts, Routing, fast

pytest.importorskip("numba")
from moe_tutorial.layers.fast import gradients, many_tokens, mixing

WAYS = ("few tokens", "many tokens", "by shape", "plain")


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    take(request.param, monkeypatch)
    return request.param


def take(way, monkeypatch):
    """Force one way for all shapes; with gradients the kernel for few tokens is never asked."""
    if way == "plain":
        monkeypatch.setattr(fast, "HAS_NUMBA", False)
    elif way != "by shape":
        monkeypatch.setattr(mixing, "FEW", 10**9 if way == "few tokens" else 0)


def plainly(moe, x):
    """The same numbers from ``mixture.sparse``, which is not touched by any of this."""
    routing = moe.router(x)
    y = moe.sparse(x, routing)
    return y if moe.shared is None else y + moe.shared.mixed(x, x.new_ones(len(x), moe.shared.n_experts))


def slopes(y, x, moe, direction):
    return torch.autograd.grad(y, [x, *moe.parameters()], direction, retain_graph=True)


SIZES = st.fixed_dictionaries(
    {
        "T": st.sampled_from([0, 1, 2, 3, 5, 17, 64, 200]),
        "E": st.sampled_from([1, 2, 5, 12, 48]),
        "d": st.sampled_from([1, 3, 8, 17, 32, 40]),
        "h": st.sampled_from([1, 2, 7, 16]),
        "o": st.sampled_from([None, 1, 6, 16]),
        "k": st.integers(1, 4),
        "gated": st.booleans(),
        "bias": st.booleans(),
        "activation": st.sampled_from(["relu", "gelu", "silu", loop_oracle.CLAMPED["activation"]]),
        "skew": st.sampled_from([0, 30]),  # how much the router prefers the first experts, so that others get nothing
        "threads": st.integers(1, 2),
    }
)


def made(T, E, d, h, o, k, gated, bias, activation, skew, **_):
    gated |= not isinstance(activation, str)
    moe = MixtureOfExperts(d, h, E, min(k, E), d_out=o, gated=gated, expert_bias=bias, activation=activation, bias=True)
    moe.router.bias.copy_(-skew * torch.arange(E) / E)
    return moe, torch.randn(T, d).requires_grad_(), torch.randn(T, o or d)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes=SIZES)
def test_every_way_equals_the_plain_one(way, sizes):
    moe, x, direction = made(**sizes)
    with pytest.MonkeyPatch.context() as monkeypatch, threads(sizes["threads"]):
        take(way, monkeypatch)
        y, routing = moe(x)
        assert ("Mix" in str(y.grad_fn)) == (way != "plain" and isinstance(moe.experts.activation, str))
        found = slopes(y, x, moe, direction)
        with torch.no_grad():
            evaluated = moe(x)[0]
    expected = plainly(moe, x)
    torch.testing.assert_close([y, evaluated], [expected] * 2, atol=1e-5, rtol=1e-5)
    size = max([1.0, *(g.abs().max().item() for g in found if g.numel())])
    torch.testing.assert_close(found, slopes(expected, x, moe, direction), atol=1e-4 * size, rtol=1e-4)
    unused = torch.ones(sizes["E"]).bool().index_fill_(0, routing.indices.flatten(), False)
    for (name, _), gradient in zip(moe.named_parameters(), found[1:], strict=True):
        assert not name.startswith("experts") or not gradient[unused].any()


@pytest.mark.parametrize("n", [1, 5])
def test_rows_of_every_length_are_multiplied_to_their_end(n, monkeypatch):
    take("few tokens", monkeypatch)
    for columns in range(1, 70):
        moe, x = MixtureOfExperts(columns, 5, 1, 1, d_out=3), torch.randn(n, columns)
        with torch.no_grad():
            torch.testing.assert_close(moe(x)[0], plainly(moe, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_more_tokens_than_are_worked_on_at_a_time(gated, bias):
    moe = MixtureOfExperts(16, 2048, 3, 2, gated=gated, expert_bias=bias)
    x, direction = torch.randn(300, 16, requires_grad=True), torch.randn(300, 16)
    y, routing = moe(x)
    assert routing.indices.flatten().bincount().max() > 2 * many_tokens.BLOCK / 2048
    with torch.no_grad():
        evaluated = moe(x)[0]
    ours, theirs = ([answer, *slopes(answer, x, moe, direction)] for answer in (y, plainly(moe, x)))
    for our, their in zip([evaluated, *ours], [theirs[0], *theirs], strict=True):
        torch.testing.assert_close(our, their, atol=1e-5 * their.abs().max().item(), rtol=1e-5)


def test_gradients_add_up():
    for activation, gated, bias in (("silu", True, False), ("gelu", False, True)):
        moe = MixtureOfExperts(4, 8, 3, 2, activation=activation, gated=gated, expert_bias=bias)
        y = moe(torch.randn(5, 4, requires_grad=True))[0].square().sum()
        y.backward(retain_graph=True)
        once = [p.grad.clone() for p in moe.parameters()]
        y.backward()
        torch.testing.assert_close([p.grad for p in moe.parameters()], [2 * g for g in once])


def test_frozen_experts_and_frozen_tokens_get_nothing(way):
    moe, x = MixtureOfExperts(8, 16, 4, 2), torch.randn(9, 8)
    moe.experts.requires_grad_(False)
    moe(x)[0].sum().backward()
    assert all(p.grad is None for p in moe.experts.parameters())
    assert moe.router.weight.grad.any()
    assert x.grad is None


@pytest.mark.parametrize("bad", [4, -1])
def test_an_index_out_of_range_is_named(way, bad):
    def router(x):
        return Routing(x[:, :4], x[:, :4], torch.full((len(x), 1), bad), torch.ones(len(x), 1))

    message = "chose expert 4, but there are only 4" if bad > 0 else "negative|-1"
    for mode in (torch.enable_grad(), torch.no_grad()):
        with mode, pytest.raises((ValueError, RuntimeError), match=message):
            MixtureOfExperts(8, 16, 4, 1, router)(torch.randn(3, 8))


def test_weights_that_changed_before_the_way_back_are_noticed(way):
    moe = MixtureOfExperts(8, 16, 4, 2)
    y = moe(torch.randn(9, 8, requires_grad=True))[0].sum()
    with torch.no_grad():
        moe.experts.w_in.add_(1)
    with pytest.raises(RuntimeError, match=r"modified (by an inplace|inplace)"):
        y.backward()


# ── what goes the plain way ──


def test_autocast_and_transforms_go_the_plain_way_and_are_right():
    moe, x = MixtureOfExperts(16, 32, 4, 2, gated=True), torch.randn(40, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, routing = moe(x)
        torch.testing.assert_close(y, moe.sparse(x, routing), atol=0, rtol=0)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in moe.parameters())
    parameters = dict(moe.named_parameters())
    found = grad(lambda p: functional_call(moe, p, x)[0].square().sum())(parameters)
    moe.zero_grad()
    moe(x)[0].square().sum().backward()
    torch.testing.assert_close(found, {name: p.grad for name, p in parameters.items()}, atol=1e-4, rtol=1e-4)


def test_torch_compile_goes_the_plain_way_and_is_right():
    moe = MixtureOfExperts(16, 32, 8, 2, gated=True)
    x, direction = torch.randn(64, 16, requires_grad=True), torch.randn(64, 16)
    y, expected = torch.compile(moe, backend="aot_eager")(x)[0], moe(x)[0]
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    found = [slopes(answer, x, moe, direction) for answer in (y, expected)]
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_without_blas_and_on_several_threads_much_work_goes_the_plain_way(monkeypatch):
    moe, x = MixtureOfExperts(8, 16, 4, 2), torch.randn(9, 8)
    for n, limit, way in ((1, 0, True), (2, 2 * 9 * 2 * 16, True), (2, 2 * 9 * 2 * 16 - 1, False)):
        monkeypatch.setattr(mixing, "MANY", limit)
        with threads(n):
            assert ("Mix" in str(moe(x)[0].grad_fn)) == way
    monkeypatch.setattr(mixing, "find_sgemm", lambda: 0)
    assert "Mix" not in str(moe(x)[0].grad_fn)


@pytest.mark.parametrize(
    ("name", "other", "error"),
    [
        ("tokens", lambda x: x.double(), fast.CannotServe),
        ("tokens", lambda x: x.T.contiguous().T, fast.CannotServe),
        ("tokens", lambda x: x.to("meta"), fast.CannotServe),
        ("indices", lambda i: i.int(), fast.CannotServe),
        ("w_in", lambda w: w.mT.contiguous().mT, fast.CannotServe),
        ("tokens", lambda x: x[:, :3].contiguous(), ValueError),
        ("weights", lambda w: w[:, :1].contiguous(), ValueError),
        ("b_in", lambda b: b[:, :3].contiguous(), ValueError),
        ("w_out", lambda w: w[:2], ValueError),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(name, other, error):
    tensors = {
        "tokens": torch.randn(5, 4), "indices": torch.randint(3, (5, 2)), "weights": torch.rand(5, 2),
        "w_in": torch.randn(3, 6, 4), "b_in": torch.randn(3, 6), "w_gate": None, "b_gate": None,
        "w_out": torch.randn(3, 6, 4), "b_out": torch.randn(3, 4),
    }  # fmt: skip
    assert fast.mix(*tensors.values(), "relu").shape == (5, 4)
    tensors[name] = other(tensors[name])
    with pytest.raises(error, match=r"a kernel takes contiguous torch|a tensor must have shape") as raised:
        fast.mix(*tensors.values(), "relu")
    assert raised.type is error


# ── memory ──


def large():
    """A mixture whose gradients are large enough for their memory to be used again."""
    moe, x = MixtureOfExperts(64, 256, 32, 1), torch.randn(40, 64)
    assert moe.experts.w_in.numel() >= gradients.LARGE
    return moe, x


def test_a_gradient_comes_to_lie_where_the_one_before_lay():
    moe, x = large()
    places = set()
    for _ in range(3):
        moe.zero_grad()
        moe(x)[0].square().sum().backward()
        places.add(moe.experts.w_in.grad.data_ptr())
    assert len(places) == 1


def test_a_gradient_that_somebody_keeps_stays_as_it_is():
    moe, x = large()
    for _ in range(2):  # the second gradient lies in memory that has waited
        moe.zero_grad()
        moe(x)[0].square().sum().backward()
    kept, seen = moe.experts.w_in.grad, moe.experts.w_in.grad.numpy()
    before = kept.clone()
    del kept  # the NumPy array still looks at its memory
    moe.zero_grad()
    moe(3 * x)[0].square().sum().backward()
    torch.testing.assert_close(torch.from_numpy(seen), before, atol=0, rtol=0)
    assert not torch.equal(moe.experts.w_in.grad, before)


def test_memory_goes_with_the_weights_and_a_model_is_copied_and_saved_as_before(tmp_path):
    moe, x = large()
    moe(x)[0].sum().backward()
    torch.testing.assert_close(copy.deepcopy(moe)(x)[0], moe(x)[0])
    torch.save(moe, tmp_path / "moe.pt")
    torch.testing.assert_close(torch.load(tmp_path / "moe.pt", weights_only=False)(x)[0], moe(x)[0])
    moe.zero_grad()
    before = len(gradients._free)
    del moe
    gc.collect()
    assert len(gradients._free) <= before - 2


def test_a_token_that_is_not_a_number_harms_no_other(way):
    moe, x = MixtureOfExperts(16, 32, 4, 2), torch.randn(20, 16)
    routing = moe.router(x)
    moe.router.forward = lambda tokens: routing
    broken = x.index_fill(0, torch.tensor([7]), torch.nan)
    with torch.no_grad():
        y, wanted = moe(broken)[0], moe(x)[0]
    assert y[7].isnan().all()
    others = torch.arange(20) != 7
    torch.testing.assert_close(y[others], wanted[others])
