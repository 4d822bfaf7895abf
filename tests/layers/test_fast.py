"""What is compiled equals the plain way, in answers, gradients and ties; and without numba the plain way is all."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tree_oracle import by_hand, make

from moe_tutorial.layers import Experts, FastFeedForward, fast

pytest.importorskip("numba")


@pytest.mark.parametrize("tokens", [1, 3, 40, 700])
@pytest.mark.parametrize(("depth", "leaf_width"), [(0, 32), (3, 5), (4, 32), (9, 2)])
def test_the_kernel_equals_plain_torch_on_one_thread_and_on_two(depth, leaf_width, tokens, monkeypatch):
    layer, x = make(depth, leaf_width, d_in=33, d_out=21).eval(), torch.randn(tokens, 33)
    threads = torch.get_num_threads()
    with torch.no_grad():
        kernel, way = layer(x)
        torch.set_num_threads(2)
        parallel, other_way = layer(x)
        torch.set_num_threads(threads)
        monkeypatch.setattr(fast.dispatch, "load", lambda name: None)
        plain, plain_way = layer(x)
    torch.testing.assert_close(kernel, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(parallel, plain, atol=1e-5, rtol=1e-5)
    assert torch.equal(way.leaf, plain_way.leaf)
    assert torch.equal(other_way.leaf, plain_way.leaf)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tokens", [1, 3, 700])
def test_a_logit_of_exactly_0_goes_right_in_the_kernel_and_in_plain_torch(tokens, threads, monkeypatch):
    layer = make(3, 2).eval()
    with torch.no_grad():  # small whole numbers: their sums are exact, and often 0
        for nodes in (layer.node_weight, layer.node_bias):
            nodes.copy_(torch.randint(-1, 2, nodes.shape))
        layer.node_weight[0], layer.node_bias[0] = 0, 0  # whoever the token, -0.0 included
    x = torch.randint(-1, 2, (tokens, 6)).float() * torch.tensor([1.0, -1.0])[torch.randint(2, (tokens, 1))]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with torch.no_grad():
        answers = [layer(x)]
        torch.set_num_threads(before)
        monkeypatch.setattr(fast.dispatch, "load", lambda name: None)
        answers.append(layer(x))
        layer.dispatch = "dense"
        answers.append(layer(x))
    _, expected = by_hand(layer, x)
    assert min(expected) >= 4  # the root's logit is 0 for all
    logits = answers[2][1].logits
    assert tokens < 700 or (logits[:, 1:] == 0).float().mean() > 0.1
    for y, descent in answers:
        assert descent.leaf.tolist() == expected
        torch.testing.assert_close(y, answers[0][0], atol=1e-6, rtol=1e-5)


@pytest.fixture(params=["BLAS", "own loops"])
def products(request, monkeypatch):
    """Whose the matrix products are, whatever this processor does best."""
    monkeypatch.setattr(fast.dispatch.load("products_kernel"), "own_loops", lambda: request.param == "own loops")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tokens", [0, 1, 40, 303])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize(("depth", "leaf_width", "region_leak"), [(0, 32, 0.0), (1, 5, 0.0), (4, 7, 0.3), (8, 2, 0.0)])
def test_the_soft_kernel_equals_plain_torch_in_answer_and_gradients(
    depth, leaf_width, region_leak, activation, tokens, threads, products, monkeypatch
):
    layer, x = (
        make(depth, leaf_width, activation=activation, region_leak=region_leak),
        torch.randn(tokens, 6, requires_grad=True),
    )
    with torch.no_grad():
        for parameter in (layer.node_weight, layer.node_bias):
            parameter[1:3] = 0  # undecided: to the right
    target, found, before = torch.randn(tokens, 5), [], torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for with_kernel in (True, False):
            if not with_kernel:
                monkeypatch.setattr(fast.dispatch, "load", lambda name: None)
            torch.manual_seed(1)  # for the leak
            y, descent = layer(x)
            assert ("Soften" in str(descent.weights.grad_fn)) == with_kernel
            loss = (y - target).square().sum() + 9 * descent.weights[:, 0].square().sum()
            gradients = torch.autograd.grad(loss / max(tokens, 1), [x, *layer.parameters()], materialize_grads=True)
            found.append([y, descent.leaf, descent.weights, *gradients])
    finally:
        torch.set_num_threads(before)
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("n", "d", "m"), [(0, 4, 4), (1, 5, 3), (303, 33, 21), (45, 770, 301), (6, 9000, 70)])
def test_products_by_own_loops_equal_those_of_blas(n, d, m):
    """In one piece and in several: of rows as wide as the last, the nearest cache holds none whole."""
    products = fast.dispatch.load("products_kernel")
    x, w, b, by = torch.randn(n, d), torch.randn(m, d), torch.randn(m), torch.randn(n, m)
    with torch.no_grad():
        for ours, expected in (
            (products.turned(x, w, b), F.linear(x, w, b)),
            (products.turned(x, w), x @ w.T),
            (products.added(by, w, x.clone()), x + by @ w),
            (products.gradient(by, x), by.T @ x),
        ):
            torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_gradient_of_the_soft_kernels_gradient_is_that_of_plain_torch(depth, activation, products):
    layer, x = make(depth, 4, activation=activation), torch.randn(9, 6, requires_grad=True)
    found = []
    for soften in (functools.partial(fast.soften, layer), layer.soften):
        y, weights, *_ = soften(x, F.linear(x, layer.node_weight, layer.node_bias))
        loss = y.square().sum() + weights.pow(3).sum()
        slopes = torch.autograd.grad(loss, [x, layer.leaves.w_in], create_graph=True)
        loss = sum(slope.square().sum() for slope in slopes)
        found.append([*slopes, *torch.autograd.grad(loss, [x, *layer.parameters()], materialize_grads=True)])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


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
    plain, leaf = layer.descend(x)
    assert "Descend" in str(by_kernel.grad_fn)
    assert "Descend" not in str(plain.grad_fn)
    assert torch.equal(descent.leaf, leaf)
    torch.testing.assert_close(by_kernel, plain, atol=1e-6, rtol=1e-5)
    gradients = []
    for y in (by_kernel, plain):
        gradients.append(torch.autograd.grad(F.mse_loss(y, target), [x, *leaves], retain_graph=True))
        asked = torch.autograd.grad(F.mse_loss(y, target), [layer.node_weight, layer.node_bias], allow_unused=True)
        assert asked == (None, None)
    for ours, expected in zip(*gradients, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


def test_weights_that_changed_before_the_backward_pass_harm_no_gradient_unnoticed():
    layer, x = make().eval(), torch.randn(8, 6)
    (expected,) = torch.autograd.grad(layer(x)[0].square().sum(), layer.leaves.w_in)
    by_kernel, plain = layer(x)[0].square().sum(), layer.descend(x)[0].square().sum()
    with torch.no_grad():
        layer.leaves.w_in.add_(1)
        layer.leaves.w_out.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        by_kernel.backward()
    # Plain torch has kept what it used.
    torch.testing.assert_close(torch.autograd.grad(plain, layer.leaves.w_in)[0], expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_descent_leaves_torchs_number_of_threads_as_it_was(threads):
    code = (
        "import torch; from moe_tutorial.layers import FastFeedForward\n"
        f"torch.set_num_threads({threads}); layer = FastFeedForward(4, 4, 2, 2).eval(); torch.get_num_threads()\n"
        "for tokens in (1, 200, 200): layer(torch.randn(tokens, 4))\n"
        "layer.train()(torch.randn(200, 4))[0].sum().backward()\n"
        "print(torch.get_num_threads())"
    )
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.stdout == f"{threads}\n", done.stderr


def test_all_about_trees_passes_without_numba():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import pytest; status = pytest.main(sys.argv[1:])\n"
        "from moe_tutorial.layers import fast\n"
        "assert fast.dispatch.load('descend_kernel') is fast.dispatch.load('soften_kernel') is None\n"
        "sys.exit(status)"
    )
    trees = Path(__file__).with_name("test_tree.py")
    command = [sys.executable, "-c", code, "-q", "-p", "no:cacheprovider", "-o", "addopts=", str(trees)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.nightly
def test_who_asks_is_told_that_the_first_call_compiled_and_the_next_process_need_not(tmp_path):
    code = (
        "import torch; from moe_tutorial.layers import FastFeedForward, fast\n"
        "fast.on_compile = lambda seconds: print(f'compiled in {seconds:.1f} s')\n"
        "layer = FastFeedForward(4, 4, 2, 2).eval(); [layer(torch.randn(1, 4)) for _ in range(3)]"
    )
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
        for _ in range(2)
    ]
    assert said[0].stdout.count("compiled in ") == 1
    assert [said[0].stderr, said[1].stderr, said[1].stdout] == ["", "", ""]


def test_a_kernel_of_a_notebook_is_never_kept():
    """Numba would keep it while its cell stays the same, whatever that imports: a lesson ran on what was gone."""
    descend_kernel = fast.dispatch.load("descend_kernel")

    @fast.dispatch.load("kernels").kernel()
    def twice(x):
        return 2 * x

    assert twice(2) == 4
    assert twice.stats.cache_path is None
    assert descend_kernel.answer_one.stats.cache_path


ASK = """
import numpy as np
from moe_tutorial.layers.fast.mixture_kernel import fire
ones, neurons = np.ones(4, np.float32), np.empty(4, np.float32)
fire(1, False, ones, ones, neurons)  # gelu
print(neurons[0])
"""


def test_a_kernel_is_compiled_anew_when_a_file_that_it_imports_has_changed(root, tmp_path):
    shutil.copytree(root / "moe_tutorial", tmp_path / "moe_tutorial", ignore=shutil.ignore_patterns("__pycache__"))
    activations = tmp_path / "moe_tutorial/layers/fast/activations.py"

    def ask():
        done = subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    before = ask()
    assert before == pytest.approx(F.gelu(torch.ones(())).item(), abs=1e-6)
    text = activations.read_text(encoding="utf-8")
    assert "return np.float32(1) - tail if x > 0 else tail" in text
    activations.write_text(
        text.replace("np.float32(1) - tail if x > 0", "np.float32(3) - tail if x > 0"), encoding="utf-8"
    )
    assert ask() == pytest.approx(before + 2, abs=1e-6)
