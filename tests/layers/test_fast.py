"""What is compiled of the tree equals the plain way, in answers, gradients and ties; and how kernels are kept.

The mixture's kernels are asked in ``test_fast_mixture.py``.
"""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tree_oracle import by_hand, make

from moe_tutorial.layers import Experts, FastFeedForward, MixtureOfExperts, fast

pytest.importorskip("numba")
from moe_tutorial.layers.fast.compiling import kernel
from moe_tutorial.layers.fast.descent import answer_one


@contextmanager
def plain():
    """Without numba, everything goes the plain way."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(fast, "HAS_NUMBA", False)
        yield


@contextmanager
def threads(n):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("tokens", [0, 1, 3, 40, 700])
@pytest.mark.parametrize(("depth", "leaf_width"), [(0, 32), (3, 5), (4, 32), (9, 2)])
def test_the_kernel_equals_plain_torch_on_one_thread_and_on_two(depth, leaf_width, tokens):
    layer, x = make(depth, leaf_width, d_in=33, d_out=21).eval(), torch.randn(tokens, 33)
    with torch.no_grad():
        with plain():
            expected, way = layer(x)
        for n in (1, 2):
            with threads(n):
                y, descent = layer(x)
                assert layer.compiled(x) is not None
            torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
            assert torch.equal(descent.leaf, way.leaf)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("tokens", [1, 3, 700])
def test_a_logit_of_exactly_0_goes_right_in_the_kernels_and_in_plain_torch(tokens, n_threads):
    layer = make(3, 2).eval()
    with torch.no_grad():  # small whole numbers: their sums are exact, and often 0
        for nodes in (layer.node_weight, layer.node_bias):
            nodes.copy_(torch.randint(-1, 2, nodes.shape))
        layer.node_weight[0], layer.node_bias[0] = 0, 0  # whoever the token, -0.0 included
    x = torch.randint(-1, 2, (tokens, 6)).float() * torch.tensor([1.0, -1.0])[torch.randint(2, (tokens, 1))]
    with torch.no_grad():
        with threads(n_threads):
            answers = [layer(x)]
            soft = layer.train()(x)[1].leaf
        layer.eval()
        with plain():
            answers.append(layer(x))
            layer.dispatch = "dense"
            answers.append(layer(x))
    _, expected = by_hand(layer, x)
    assert min(expected) >= 4  # the root's logit is 0 for all
    assert tokens < 700 or (answers[2][1].logits[:, 1:] == 0).float().mean() > 0.1
    assert soft.tolist() == expected
    for y, descent in answers:
        assert descent.leaf.tolist() == expected
        torch.testing.assert_close(y, answers[0][0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("tokens", [0, 1, 40, 303])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize(("depth", "leaf_width", "region_leak"), [(0, 32, 0.0), (1, 5, 0.0), (4, 7, 0.3), (8, 2, 0.0)])
def test_the_soft_kernel_equals_plain_torch_in_answer_and_gradients(
    depth, leaf_width, region_leak, activation, tokens, n_threads
):
    layer = make(depth, leaf_width, activation=activation, region_leak=region_leak)
    x = torch.randn(tokens, 6, requires_grad=True)
    with torch.no_grad():
        for parameter in (layer.node_weight, layer.node_bias):
            parameter[1:3] = 0  # undecided: to the right
    target, found = torch.randn(tokens, 5), []
    for way in (threads(n_threads), plain()):
        with way:
            torch.manual_seed(1)  # for the leak
            y, descent = layer(x)
            assert ("Soften" in str(descent.weights.grad_fn)) == (not found)
            loss = (y - target).square().sum() + 9 * descent.weights[:, 0].square().sum()
            gradients = torch.autograd.grad(loss / max(tokens, 1), [x, *layer.parameters()], materialize_grads=True)
            found.append([y, descent.leaf, descent.weights, *gradients])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("build", [lambda: make(3, 4), lambda: MixtureOfExperts(6, 8, 3, 2)], ids=["tree", "mixture"])
def test_second_derivatives_are_refused_and_the_plain_layer_has_them(build):
    layer, x = build(), torch.randn(9, 6, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"^a compiled layer has no second derivatives.*: call double\(\) on layer"):
        torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
    (slope,) = torch.autograd.grad(layer.double()(x.double())[0].square().sum(), x, create_graph=True)
    assert torch.autograd.grad(slope.square().sum(), x)[0].any()


@pytest.mark.parametrize("training", [False, True])
def test_subclasses_of_the_tree_and_of_its_leaves_are_asked(training):
    class Silent(FastFeedForward):
        def descend(self, tokens):
            y, leaf = super().descend(tokens)
            return torch.zeros_like(y), leaf

        def soften(self, tokens, decisions):
            y, weights = super().soften(tokens, decisions)
            return torch.zeros_like(y), weights

    class Dead(Experts):
        def neurons(self, *arguments):
            return torch.zeros_like(super().neurons(*arguments))

        def mixed(self, tokens, weights):
            return weights @ self.b_out

    assert not Silent(6, 5, 3, 4).train(training)(torch.randn(20, 6))[0].any()
    layer = FastFeedForward(6, 5, 3, 4).train(training)
    layer.leaves.__class__ = Dead
    y, descent = layer(torch.randn(20, 6))
    weights = F.one_hot(descent.leaf, 8).float() if descent.weights is None else descent.weights
    torch.testing.assert_close(y, weights @ layer.leaves.b_out)


def test_the_kernels_gradients_are_those_of_plain_torch_and_nodes_get_none_in_either():
    layer, target = make(4, 5).eval(), torch.randn(60, 5)
    x, leaves = torch.randn(60, 6, requires_grad=True), list(layer.leaves.parameters())
    by_kernel, descent = layer(x)
    plainly, leaf = layer.descend(x)
    assert "Mix" in str(by_kernel.grad_fn)
    assert torch.equal(descent.leaf, leaf)
    torch.testing.assert_close(by_kernel, plainly, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], plainly, atol=1e-6, rtol=1e-5)
    gradients = []
    for y in (by_kernel, plainly):
        gradients.append(torch.autograd.grad(F.mse_loss(y, target), [x, *leaves], retain_graph=True))
        asked = torch.autograd.grad(F.mse_loss(y, target), [layer.node_weight, layer.node_bias], allow_unused=True)
        assert asked == (None, None)
    for ours, expected in zip(*gradients, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_torch_compile_and_autocast_go_the_plain_way_and_are_right(training):
    layer, x = make(activation="gelu").train(training), torch.randn(9, 6)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager")(x)[0], layer(x)[0], atol=1e-6, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x)[0].float(), layer(x.float())[0].float(), atol=0.02, rtol=0.02)


def test_tensors_that_do_not_fit_are_refused():
    shapes = {"node_weight": (3, 6), "node_bias": (3,), "w_in": (4, 5, 6), "b_in": (4, 5), "w_out": (4, 5, 7)}
    right = {name: torch.randn(shape) for name, shape in (shapes | {"b_out": (4, 7)}).items()}
    x = torch.randn(2, 6)
    assert fast.descend(x, tuple(right.values()), "relu")[0].shape == (2, 7)
    with pytest.raises(fast.CannotServe, match=r"a kernel takes contiguous torch\.float32 tensors on the CPU, got"):
        fast.descend(x, tuple((right | {"w_in": right["w_in"].double()}).values()), "relu")
    for name in ("node_weight", "b_in", "b_out"):
        with pytest.raises(ValueError, match="does not fit the shape"):
            fast.descend(x, tuple((right | {name: right[name][:2]}).values()), "relu")
    with pytest.raises(ValueError, match="a tensor must have shape"):
        fast.soften(x, torch.randn(2, 4), *list(right.values())[2:], "relu")


@pytest.mark.nightly
def test_all_about_trees_passes_without_numba():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import pytest; status = pytest.main(sys.argv[1:])\n"
        "from moe_tutorial.layers import fast; assert not fast.HAS_NUMBA; sys.exit(status)"
    )
    trees = Path(__file__).with_name("test_tree.py")
    command = [sys.executable, "-c", code, "-q", "-p", "no:cacheprovider", "-o", "addopts=", str(trees)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


# ── how kernels are kept ──


def in_a_process(code, **options):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.nightly
def test_what_the_first_call_compiled_the_next_process_need_not(tmp_path):
    code = (
        "import torch; from moe_tutorial.layers import FastFeedForward\n"
        "from moe_tutorial.layers.fast.descent import descend_rows\n"
        "layer = FastFeedForward(4, 4, 2, 2).eval().requires_grad_(False)\n"
        "[layer(torch.randn(1, 4)) for _ in range(3)]\n"
        "print(descend_rows.stats.cache_misses.total())"
    )
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert [in_a_process(code, env=env) for _ in range(2)] == ["1\n", "0\n"]


@pytest.mark.nightly  # it compiles every kernel
def test_after_compiling_beforehand_no_first_call_waits(tmp_path):
    code = (
        "import sys, torch; from numba.core.registry import CPUDispatcher\n"
        "from moe_tutorial.layers import FastFeedForward, MixtureOfExperts, fast\n"
        "def compiled():\n"
        "    files = [file for name, file in sys.modules.items() if name.startswith('moe_tutorial.layers.fast')]\n"
        "    kernels = {found for file in files for found in vars(file).values() if isinstance(found, CPUDispatcher)}\n"
        "    return sum(kernel.stats.cache_misses.total() for kernel in kernels)\n"
        "fast.compile_kernels(); before = compiled()\n"
        "for gated in (False, True):\n"
        "    for n in (1, 8, 500):\n"
        "        moe = MixtureOfExperts(8, 8, 4, 2, gated=gated); x = torch.randn(n, 8)\n"
        "        moe(x)[0].sum().backward()\n"
        "        with torch.no_grad(): moe(x)\n"
        "tree = FastFeedForward(8, 8, 3, 4); tree(torch.randn(9, 8))[0].sum().backward()\n"
        "tree.eval(); tree(torch.randn(9, 8))[0].sum().backward()\n"
        "print(before > 0, compiled() - before)"
    )
    assert in_a_process(code, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}) == "True 0\n"


def test_a_kernel_of_a_notebook_is_never_kept():
    """Numba would keep it while its cell stays the same, whatever that imports: a lesson ran on what was gone."""

    @kernel()
    def twice(x):
        return 2 * x

    assert twice(2) == 4
    assert twice.stats.cache_path is None
    assert answer_one.stats.cache_path


ASK = """
import numpy as np
from moe_tutorial.layers.fast.descent import answer_one
one, zero, y = np.ones((1, 1), np.float32), np.zeros(1, np.float32), np.empty((1, 1), np.float32)
answer_one(1, one, one, zero, one, zero, y)  # gelu of 1
print(y.item())
"""


@pytest.mark.nightly
def test_a_kernel_is_compiled_anew_when_a_file_that_it_imports_has_changed(root, tmp_path):
    shutil.copytree(root / "moe_tutorial", tmp_path / "moe_tutorial", ignore=shutil.ignore_patterns("__pycache__"))
    activations = tmp_path / "moe_tutorial/layers/fast/activations.py"
    before = float(in_a_process(ASK, cwd=tmp_path))
    assert before == pytest.approx(F.gelu(torch.ones(())).item(), abs=1e-6)
    text = activations.read_text(encoding="utf-8")
    assert "return np.float32(1) - tail if x > 0 else tail" in text
    activations.write_text(
        text.replace("np.float32(1) - tail if x > 0", "np.float32(3) - tail if x > 0"), encoding="utf-8"
    )
    assert float(in_a_process(ASK, cwd=tmp_path)) == pytest.approx(before + 2, abs=1e-6)
