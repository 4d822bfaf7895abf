"""Every quick way of the mixture equals the plain one, in answers, gradients and steps of Adam; and what it keeps."""

import copy
import gc
import math
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_tutorial.layers import FastFeedForward, MixtureOfExperts, Routing, fast
from moe_tutorial.layers.fast import dispatch, groups, lending, mixing

pytest.importorskip("numba")
WAYS = ("few at once", "own loops", "around BLAS", "groups", "groups of one", "without grouped_mm", "by shape")


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    take(request.param, monkeypatch)
    return request.param


def take(way, monkeypatch):
    """Force one way for all shapes. What a kernel cannot do goes by groups all the same."""
    if way != "by shape":
        monkeypatch.setattr(mixing, "FEW", 10**9 if way == "few at once" else 0)
        monkeypatch.setattr(mixing, "NARROW", 10**12)
        monkeypatch.setattr(mixing, "NATIVE", 10**12)
    if way in ("own loops", "around BLAS"):
        monkeypatch.setattr(dispatch.load("slices_kernel"), "own_loops", lambda: way == "own loops")
    if "group" in way:
        monkeypatch.setattr(mixing, "load", lambda name: None)
    if way == "groups of one":
        monkeypatch.setattr(groups, "PART", 1)
    if way == "without grouped_mm":
        monkeypatch.delattr(F, "grouped_mm")


@contextmanager
def threads(n):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def plainly(moe, x):
    """The same numbers from ``mixture.sparse``, which is not touched by any of this."""
    routing = moe.router(x)
    y = moe.sparse(x, routing)
    return y if moe.shared is None else y + moe.shared.mixed(x, x.new_ones(len(x), moe.shared.n_experts))


def gradients(y, x, moe, direction):
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
        "activation": st.sampled_from(["relu", "gelu", "silu"]),
        "n_shared": st.integers(0, 1),
        "skew": st.sampled_from([0, 30]),  # how much the router prefers the first experts, so that others get nothing
        "threads": st.integers(1, 2),
        "dtype": st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    }
)


def made(T, E, d, h, o, k, gated, bias, activation, n_shared, skew, dtype, **_):
    moe = MixtureOfExperts(
        d, h, E, min(k, E), d_out=o, gated=gated, expert_bias=bias, activation=activation, n_shared=n_shared, bias=True
    )
    moe.router.bias.copy_(-skew * torch.arange(E) / E)
    return moe.to(dtype), torch.randn(T, d).to(dtype).requires_grad_(), torch.randn(T, o or d).to(dtype)


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_every_length_are_multiplied_to_their_end(dtype, n, monkeypatch):
    take("few at once", monkeypatch)
    for columns in range(1, 70):
        moe = MixtureOfExperts(columns, 5, 1, 1, d_out=3).to(dtype)
        x = torch.randn(n, columns, dtype=dtype)
        torch.testing.assert_close(moe(x)[0], plainly(moe, x), atol=1e-5 if dtype is torch.float32 else 0.05, rtol=0.02)


def test_what_is_no_number_stays_in_its_row(monkeypatch):
    take("few at once", monkeypatch)
    moe, x = MixtureOfExperts(40, 8, 1, 1), torch.randn(5, 40)
    x[1, 3], x[4, 39] = math.nan, math.inf  # where the last 16 columns are read, and where some are read twice
    with torch.no_grad():
        y = moe(x)[0]
        expected = plainly(moe, x)
    assert y[1].isnan().all()
    assert not y[[0, 2, 3]].isnan().any()
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes=SIZES)
def test_every_way_equals_the_plain_one(way, sizes):
    with pytest.MonkeyPatch.context() as monkeypatch:
        take(way, monkeypatch)
        moe, x, direction = made(**sizes)
        with threads(sizes["threads"]):
            y, routing = moe(x)
            found = gradients(y, x, moe, direction)
            with torch.no_grad():
                evaluated = moe(x)[0]
    expected = plainly(moe, x)
    exact = sizes["dtype"] is not torch.bfloat16
    close = {"atol": 1e-5, "rtol": 1e-5} if exact else {"atol": 0.05, "rtol": 0.05}
    torch.testing.assert_close(y, expected, **close)
    torch.testing.assert_close(evaluated, expected, **close)
    size = max([1.0, *(g.abs().max().item() for g in found if g.numel())])
    close = {"atol": (1e-4 if exact else 0.05) * size, "rtol": 1e-4 if exact else 0.05}
    torch.testing.assert_close(found, gradients(expected, x, moe, direction), **close)
    unused = torch.ones(sizes["E"]).bool().index_fill_(0, routing.indices.flatten(), False)
    by_name = dict(zip((name for name, _ in moe.named_parameters()), found[1:], strict=True))
    for name, gradient in by_name.items():
        if name.startswith("experts"):
            assert not gradient[unused].any()


def test_tokens_and_weights_that_lie_column_after_column(way):
    moe, x = MixtureOfExperts(16, 8, 4, 2, activation="gelu"), torch.randn(16, 60).T.requires_grad_()
    for name, stack in list(moe.experts.named_parameters()):
        lying = stack.detach().transpose(0, -1).contiguous().transpose(0, -1)
        setattr(moe.experts, name, torch.nn.Parameter(torch.randn_like(lying)))
        assert not getattr(moe.experts, name).is_contiguous()
    direction = torch.randn(60, 16)
    with threads(1):
        y = moe(x)[0]
        found = gradients(y, x, moe, direction)
    expected = plainly(moe, x)
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found, gradients(expected, x, moe, direction), atol=1e-3, rtol=1e-4)


def chosen(moe, T, training, n_threads=1):
    """The way that a mixture goes with so many tokens."""
    w_in, k = moe.experts.w_in, moe.router.top_k
    x = torch.randn(T, w_in.shape[2]).to(w_in.dtype)
    stacks = [getattr(moe.experts, name) for name in mixing.STACKS]
    with threads(n_threads):
        way = mixing.way_for(x, torch.zeros(T, k).long(), torch.ones(T, k).to(x.dtype), stacks, training)
    return way.__name__.split(".")[-1]


def test_each_shape_goes_its_way():
    moe = MixtureOfExperts(128, 256, 8, 1)
    assert [chosen(moe, T, False) for T in (1, 12, 13, 8192)] == ["mixture_kernel"] * 2 + ["slices_kernel"] * 2
    assert [chosen(moe, T, True) for T in (1, 8192)] == ["slices_kernel"] * 2
    assert [chosen(moe, T, True, 2) for T in (1, 8192, 8193)] == ["slices_kernel"] * 2 + ["groups"]
    assert chosen(moe.double(), 64, True) == "groups"
    wide = MixtureOfExperts(2048, 8, 2, 2)  # one token reads each weight once, however wide it is
    assert [chosen(wide, T, False) for T in (1, 2)] == ["mixture_kernel", "slices_kernel"]


@pytest.mark.parametrize(("native", "loops", "last"), [(False, False, 1024), (True, False, 256), (True, True, 1024)])
def test_bfloat16_is_widened_for_longer_where_that_is_the_quicker(native, loops, last, monkeypatch):
    monkeypatch.setattr(mixing, "multiplies_bfloat16", lambda: native)
    monkeypatch.setattr(dispatch.load("slices_kernel"), "own_loops", lambda: loops)
    moe = MixtureOfExperts(128, 256, 8, 1).bfloat16()
    assert [chosen(moe, T, True) for T in (1, last, last + 1)] == ["slices_kernel"] * 2 + ["groups"]


def test_what_the_processor_multiplies_is_known():
    known = Path("/proc/cpuinfo")
    if not known.exists() or not hasattr(torch.cpu, "_is_avx512_bf16_supported"):
        pytest.skip("this system, or this torch, does not say")
    flags = known.read_text().split()
    assert mixing.multiplies_bfloat16() == ("avx512_bf16" in flags or "amx_tile" in flags)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("counts", [(1,), (2,), (3,), (5, 3), (4, 0, 1), (17, 2)])
def test_nothing_is_written_beyond_the_memory_that_was_asked_for(counts, dtype, monkeypatch):
    """The loops take rows in fours, and the last expert's end where the memory ends."""
    take("own loops", monkeypatch)
    given, margin = [], 64

    def empty(owner, shape, dtype=None):
        size = math.prod(shape)
        given.append(torch.full((size + margin,), 7, dtype=dtype or owner.dtype))
        return given[-1][:size].view(*shape)

    monkeypatch.setattr(dispatch.load("slices_kernel").lending, "empty", empty)
    moe, x = MixtureOfExperts(6, 5, 3, 1, gated=True).to(dtype), torch.randn(sum(counts), 6).to(dtype).requires_grad_()
    indices = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).unsqueeze(1)
    weights = torch.ones(len(x), 1, dtype=dtype)
    with threads(1):
        fast.mix(moe, x, Routing(weights, weights, indices, weights)).sum().backward()
        with torch.no_grad():
            fast.mix(moe, x, Routing(weights, weights, indices, weights))
    assert len(given) >= 6
    assert all((memory[-margin:] == 7).all() for memory in given)


def test_where_torch_keeps_its_blas_to_itself_it_goes_by_groups(monkeypatch):
    monkeypatch.setattr(dispatch.load("slices_kernel"), "find_sgemm", lambda: 0)
    assert chosen(MixtureOfExperts(128, 256, 8, 1), 1000, True) == "groups"


@pytest.mark.parametrize("way", ["around BLAS", "own loops"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_more_tokens_than_are_worked_on_at_a_time(gated, bias, dtype, way, monkeypatch):
    take(way, monkeypatch)
    moe = MixtureOfExperts(16, 2048, 3, 2, gated=gated, expert_bias=bias).to(dtype)
    x, direction = torch.randn(300, 16).to(dtype).requires_grad_(), torch.randn(300, 16).to(dtype)
    with threads(1):
        y, routing = moe(x)
        found = gradients(y, x, moe, direction)
    assert routing.indices.flatten().bincount().max() > 2 * dispatch.load("slices_kernel").BLOCK / 2048
    expected = plainly(moe, x)
    close = 1e-5 if dtype is torch.float32 else 0.02
    torch.testing.assert_close(y, expected, atol=close * expected.abs().max().item(), rtol=close)
    for ours, theirs in zip(found, gradients(expected, x, moe, direction), strict=True):
        torch.testing.assert_close(ours, theirs, atol=close * theirs.abs().max().item(), rtol=close)


def test_float32_is_rounded_to_bfloat16_as_torch_does_it():
    blocks = dispatch.load("blocks")
    bits = torch.cat([torch.randint(-(2**31), 2**31, (100_000,)), torch.arange(0x3F800000, 0x3F840000)]).int()
    numbers = torch.cat([bits.view(torch.float32), torch.tensor([torch.inf, -torch.inf, torch.nan, 0.0, -0.0, 3.4e38])])
    halves, back = np.empty(len(numbers), np.int16), np.empty(len(numbers), np.float32)
    blocks.narrow(numbers.numpy(), halves)
    rounded = torch.from_numpy(halves).view(torch.bfloat16)
    torch.testing.assert_close(rounded, numbers.bfloat16(), atol=0, rtol=0, equal_nan=True)
    blocks.widen(halves, back)
    torch.testing.assert_close(torch.from_numpy(back), rounded.float(), atol=0, rtol=0, equal_nan=True)


def test_the_number_of_threads_may_change_before_the_way_back():
    moe, x = MixtureOfExperts(16, 32, 4, 2, gated=True), torch.randn(300, 16, requires_grad=True)
    for there, back in ((1, 2), (2, 1)):
        with threads(there):
            y = moe(x)[0]
        with threads(back):
            found = gradients(y, x, moe, torch.ones_like(y))
        torch.testing.assert_close(found, gradients(plainly(moe, x), x, moe, torch.ones_like(y)), atol=1e-3, rtol=1e-4)


def test_three_steps_of_adam_are_the_same_and_idle_experts_take_part(way):
    moe, x = MixtureOfExperts(12, 20, 16, 2, gated=True), torch.randn(3, 12)
    plain, target = copy.deepcopy(moe), torch.randn(3, 12)
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2, weight_decay=0.1) for m in (moe, plain)]
    for _ in range(3):
        for m, optimizer, answer in zip(
            (moe, plain), optimizers, (lambda m: m(x)[0], lambda m: plainly(m, x)), strict=True
        ):
            optimizer.zero_grad()
            F.mse_loss(answer(m), target).backward()
            optimizer.step()
    for ours, theirs in zip(moe.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        assert ours.grad is not None


def test_a_step_twice_on_one_graph_and_gradients_that_add_up(way):
    moe, x = MixtureOfExperts(8, 16, 4, 2, gated=True), torch.randn(30, 8)
    y = moe(x)[0].square().sum()
    y.backward(retain_graph=True)
    once = [p.grad.clone() for p in moe.parameters()]
    y.backward()
    torch.testing.assert_close([p.grad for p in moe.parameters()], [2 * g for g in once])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_of_a_gradient_is_that_of_the_plain_way(way, dtype):
    moe, x = MixtureOfExperts(4, 8, 3, 2, activation="silu").to(dtype), torch.randn(5, 4).to(dtype).requires_grad_()
    found = []
    for y in (moe(x)[0], plainly(moe, x)):
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        asked = [x, moe.experts.w_in, moe.experts.w_out, moe.router.weight]
        found.append(torch.autograd.grad(slope.square().sum(), asked))
    torch.testing.assert_close(*found)


def test_frozen_experts_and_frozen_tokens_get_nothing(way):
    moe, x = MixtureOfExperts(8, 16, 4, 2), torch.randn(9, 8)
    moe.experts.requires_grad_(False)
    moe(x)[0].sum().backward()
    assert all(p.grad is None for p in moe.experts.parameters())
    assert moe.router.weight.grad.any()
    assert x.grad is None


@pytest.mark.parametrize("bad", [4, -1])
def test_an_expert_that_there_is_not_is_named(way, bad):
    def router(x):
        return Routing(x[:, :4], x[:, :4], torch.full((len(x), 1), bad), torch.ones(len(x), 1))

    moe = MixtureOfExperts(8, 16, 4, 1, router)
    with pytest.raises(
        (ValueError, RuntimeError), match="chose expert 4, but there are only 4" if bad > 0 else "negative|-1"
    ):
        moe(torch.randn(3, 8))


def test_strides_and_small_integers_of_a_router_of_ones_own_do_no_harm(way):
    moe, plain_x = MixtureOfExperts(8, 16, 4, 2), torch.randn(8, 30).T
    own = moe.router

    def router(x):
        routing = own(x)
        return routing._replace(indices=routing.indices.flip(-1).int(), weights=routing.weights.flip(-1))

    with torch.no_grad():
        expected = moe(plain_x.contiguous())[0]
        torch.testing.assert_close(moe(plain_x)[0], expected)
        again = MixtureOfExperts(8, 16, 4, 2, router)
        again.experts = moe.experts
        torch.testing.assert_close(again(plain_x)[0], expected)
        moe.experts.w_in.data = moe.experts.w_in.mT.contiguous().mT
        torch.testing.assert_close(moe(plain_x)[0], expected)


def test_weights_that_changed_before_the_way_back_are_noticed(way):
    moe = MixtureOfExperts(8, 16, 4, 2)
    y = moe(torch.randn(9, 8))[0].sum()
    with torch.no_grad():
        moe.experts.w_in.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_under_autocast_it_computes_in_bfloat16_and_learns_in_float32(way):
    moe, x = MixtureOfExperts(16, 32, 4, 2, gated=True), torch.randn(40, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, routing = moe(x)
        expected = plainly(moe, x)
    assert y.dtype == torch.bfloat16
    assert routing.weights.dtype == torch.float32
    torch.testing.assert_close(y, expected, atol=0.02, rtol=0.02)
    y.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in moe.parameters())


def test_grouped_mm_serves_where_it_is_there_and_its_rows_fit(monkeypatch):
    calls, product = [], F.grouped_mm
    monkeypatch.setattr(F, "grouped_mm", lambda *given, **options: calls.append(1) or product(*given, **options))
    take("groups", monkeypatch)
    for d, dtype, expected in (
        (16, torch.float32, 3),
        (16, torch.bfloat16, 3),
        (17, torch.float32, 0),
        (16, torch.float64, 0),
    ):
        calls.clear()
        moe = MixtureOfExperts(d, 32, 8, 2, gated=True).to(dtype)
        with torch.no_grad():
            moe(torch.randn(20, d).to(dtype))
        assert len(calls) == expected, (d, dtype)


# ── memory ──


def large():
    """A mixture whose gradients are large enough to be lent."""
    return MixtureOfExperts(64, 256, 32, 1), torch.randn(40, 64)


def test_a_gradient_comes_to_lie_where_the_one_before_lay(way):
    moe, x = large()
    places = []
    for _ in range(3):
        moe.zero_grad()
        moe(x)[0].square().sum().backward()
        places.append(moe.experts.w_in.grad.data_ptr())
    assert moe.experts.w_in.numel() * 4 >= lending.LARGE
    assert len(set(places)) == 1
    assert places[0] % lending.LINE == 0


def test_a_gradient_that_somebody_keeps_stays_as_it_is(way):
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_steps_of_ever_other_sizes_hoard_no_memory(dtype):
    moe = MixtureOfExperts(64, 256, 4, 1, gated=True).to(dtype)
    with threads(1):
        for T in (600, 5000, 1200, 10_000, 2500, 700, 4000, 600):
            moe.zero_grad()
            moe(torch.randn(T, 64).to(dtype))[0].sum().backward()
    waiting = lending._waiting[moe.experts.w_in]
    assert 0 < len(waiting) <= 4  # what a step has at once: two kinds of neurons, what was said, and a gradient


def test_memory_goes_with_the_weights():
    moe, x = large()
    moe(x)[0].sum().backward()
    moe.zero_grad()
    assert len(lending._waiting) >= 2
    before = len(lending._waiting)
    del moe
    gc.collect()
    assert len(lending._waiting) <= before - 2


def test_a_model_that_has_trained_is_copied_and_saved_as_before(tmp_path):
    moe, x = large()
    moe(x)[0].sum().backward()
    torch.testing.assert_close(copy.deepcopy(moe)(x)[0], moe(x)[0])
    torch.save(moe, tmp_path / "moe.pt")
    torch.testing.assert_close(torch.load(tmp_path / "moe.pt", weights_only=False)(x)[0], moe(x)[0])


# ── without numba, and compiled ──


def test_without_numba_everything_goes_by_groups(monkeypatch):
    for module in (mixing, groups, dispatch):
        monkeypatch.setattr(module, "load", lambda name: None)
    moe, x = MixtureOfExperts(8, 16, 4, 2, gated=True), torch.randn(3, 8, requires_grad=True)
    y, _ = moe(x)
    torch.testing.assert_close(y, plainly(moe, x))
    torch.testing.assert_close(
        gradients(y, x, moe, torch.ones_like(y)), gradients(plainly(moe, x), x, moe, torch.ones_like(y))
    )


COMPILED = """
import torch
from torch._dynamo.utils import counters
from moe_tutorial.layers import FastFeedForward, MixtureOfExperts

torch.manual_seed(0)
layers = [MixtureOfExperts(16, 32, 8, 2, gated=True, n_shared=1), MixtureOfExperts(16, 32, 4, 1, gate="sigmoid_topk")]
layers += [FastFeedForward(16, 16, 3, 8, activation="gelu"), FastFeedForward(16, 16, 4, 8).eval()]
for layer in layers:
    torch._dynamo.reset()
    compiled, graphs = torch.compile(layer), []
    for T in (5, 64, 200, 64, 33, 7, 150):
        x, direction = torch.randn(T, 16, requires_grad=True), torch.randn(T, 16)
        y, expected = compiled(x)[0], layer(x)[0]
        torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
        of = [x, *(layer.experts if hasattr(layer, "experts") else layer.leaves).parameters()]
        found = torch.autograd.grad(y, of, direction), torch.autograd.grad(expected, of, direction)
        torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
        graphs.append(counters["stats"]["unique_graphs"])
    print(type(layer).__name__, sum(counters["graph_break"].values()), graphs[-1] - graphs[1])
"""


@pytest.mark.nightly
def test_torch_compile_breaks_no_graph_and_compiles_for_new_shapes_once():
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n")[:-1] == ["MixtureOfExperts 0 0"] * 2 + ["FastFeedForward 0 0"] * 2


@pytest.mark.parametrize("depth", [0, 3])
def test_the_operations_that_torch_compile_sees_are_sound(depth):
    moe, tree = MixtureOfExperts(8, 16, 4, 2, gated=True), FastFeedForward(8, 6, depth, 4)
    x = torch.randn(9, 8, requires_grad=True)
    routing = moe.router(x.detach())
    stacks = [getattr(moe.experts, name) for name in mixing.STACKS]
    torch.library.opcheck(torch.ops.moe_tutorial.mix, (x, routing.indices, routing.weights.detach(), *stacks, "silu"))
    torch.library.opcheck(torch.ops.moe_tutorial.descend, (x, *dispatch.in_order(tree), "relu"))


@pytest.mark.nightly  # it compiles every kernel
def test_after_compiling_beforehand_no_first_call_waits(tmp_path):
    code = (
        "import torch; from moe_tutorial.layers import FastFeedForward, MixtureOfExperts, fast\n"
        "fast.compile_kernels(); fast.on_compile = lambda seconds: print('compiled')\n"
        "torch.set_num_threads(1)\n"
        "for n in (1, 8, 500): MixtureOfExperts(8, 8, 4, 2, gated=True)(torch.randn(n, 8))[0].sum().backward()\n"
        "tree = FastFeedForward(8, 8, 3, 4); tree(torch.randn(9, 8))[0].sum().backward()\n"
        "tree.eval(); tree(torch.randn(9, 8))[0].sum().backward()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
