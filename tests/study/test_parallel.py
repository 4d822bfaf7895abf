"""Real processes, started by torchrun. This file is also what they run: all cases of the layer in one start a size."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.study.systems import parallel
from moe_tutorial.study.systems.parallel import ExpertParallel

sys.path.append(str(Path(__file__).parents[1] / "layers"))
import loop_oracle

EVEN, UNEVEN, ZERO = (6, 6, 6, 6), (1, 9, 4, 2), (5, 0, 3, 7)
CASES = {
    "k=1": (EVEN, {"top_k": 1}),
    "k=2, uneven, an empty expert": (UNEVEN, {"top_k": 2, "bias": True}),
    "a rank without tokens, shared experts": (ZERO, {"top_k": 2, "bias": True, "n_shared": 1}),
    "gated, bias, shared, other output width": (
        ZERO[1::-1] + ZERO[2:],
        {"top_k": 2, "gated": True, "expert_bias": True, "n_shared": 1, "d_out": 3, "gate": "sigmoid_topk"},
    ),
    "one expert for all": (UNEVEN, {"top_k": 1, "bias": True, "only": 1}),
}


def build(sizes, options):
    """Mixture, all tokens, and the gradient that comes back: the same in every process."""
    options = dict(options)
    only = options.pop("only", None)
    torch.manual_seed(1)
    moe = MixtureOfExperts(5, 6, 8, **options).double()
    if moe.router.bias is not None:
        moe.router.bias[-1] = -9  # never chosen
        if only is not None:
            moe.router.bias[only] = 9
    x, gradient = (torch.randn(sum(sizes), width, dtype=torch.float64) for width in (5, moe.experts.d_out))
    return moe, x.requires_grad_(), gradient


def step(sizes, options, rank):
    """One rank's part of a training step: what it found, as plain tensors."""
    moe, x, gradient = build(sizes, options)
    layer = ExpertParallel(moe)
    own = x.detach().split(sizes)[rank].clone().requires_grad_()
    batch = own.view(3, 2, 5) if len(own) == 6 else own  # batches come in any shape
    y, routing, traffic = layer(batch)
    assert y.shape[:-1] == batch.shape[:-1]
    y = y.flatten(0, -2)
    y.backward(gradient.split(sizes)[rank])
    layer.reduce_shared_gradients()
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"y": y.detach(), "indices": routing.indices, "traffic": traffic, "x": own.grad, "parameters": gradients}


def worker(folder):
    """What torchrun starts."""
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    found = {name: step(sizes[:ranks], options, rank) for name, (sizes, options) in CASES.items()}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    worker(sys.argv[1])


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.nightly)], ids="{} ranks".format)
def by_rank(request, tmp_path_factory):
    """What each rank found."""
    folder = tmp_path_factory.mktemp("ranks")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(request.param)]
    own = {"OMP_NUM_THREADS": "1"}
    command = [*torchrun, __file__, str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | own)
    assert process.returncode == 0, process.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


@pytest.mark.parametrize("case", CASES)
def test_equal_to_one_process_that_sees_all_tokens(by_rank, case):
    sizes, options = CASES[case]
    sizes, found = sizes[: len(by_rank)], [own[case] for own in by_rank]
    moe, x, gradient = build(sizes, options)
    exact = {"rtol": 0, "atol": 1e-12}
    expected = loop_oracle.mixture(moe, x)
    expected.backward(gradient)
    torch.testing.assert_close(torch.cat([own["y"] for own in found]), expected.detach(), **exact)
    torch.testing.assert_close(torch.cat([own["x"] for own in found]), x.grad, **exact)
    for name, parameter in moe.named_parameters():
        parts = [own["parameters"][name] for own in found]
        wanted = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if name.startswith("experts."):
            assert all(len(part) == 8 // len(found) for part in parts)
            torch.testing.assert_close(torch.cat(parts), wanted, **exact)
        else:
            for part in parts:
                torch.testing.assert_close(part, wanted, **exact)

    chosen = [loop_oracle.route(moe.router, token)[0] for token in x]
    traffic = torch.zeros(len(found), len(found), dtype=torch.int64)
    sender = [rank for rank, size in enumerate(sizes) for _ in range(size)]
    for rank, experts in zip(sender, chosen, strict=True):
        for expert in experts:
            traffic[rank, expert * len(found) // 8] += 1
    assert torch.equal(torch.stack([own["traffic"] for own in found]), traffic)
    assert torch.cat([own["indices"] for own in found]).tolist() == chosen


def by_hand(indices, n_experts):
    """Sorts as ``sort_by_expert`` does."""
    rows = [(expert, n) for n, expert in enumerate(indices.flatten().tolist())]
    order = torch.tensor([n for _, n in sorted(rows)], dtype=torch.long)
    return order, F.one_hot(indices.flatten(), n_experts).sum(0)


@pytest.mark.parametrize(
    "dispatch",
    [pytest.param(None, id="as the package sorts", marks=pytest.mark.nightly), pytest.param(by_hand, id="by hand")],
)
def test_run_compares_and_reports(dispatch):
    result = parallel.run(2, tokens=40, top_k=1, seed=3, dispatch=dispatch)
    assert (result.ranks, result.tokens) == (2, [40, 40])
    assert result.forward_difference < 1e-6 < 0.1 < result.forward_largest
    assert result.gradient_difference < 1e-6 < 0.01 < result.gradient_largest
    assert result.traffic.sum(1).tolist() == [40, 40]
    assert result.traffic.trace() < 80
    for times in result.trace:
        assert list(times) == ["route", "dispatch", "compute", "combine"]
        assert 0 < times["route"] < times["dispatch"] < times["compute"] < times["combine"] < 60


def test_the_stored_run_is_one_of_two_ranks_that_agreed_with_one_process():
    stored = parallel.stored()
    assert stored.ranks == len(stored.trace) == 2
    assert stored.forward_difference < 1e-6
    assert stored.gradient_difference < 1e-6


def test_the_error_of_a_rank_is_told():
    message = r"(?s)^torchrun ended with status 1\n.*ValueError: n_experts must be a multiple of the 2 ranks, got 5"
    with pytest.raises(RuntimeError, match=message):
        parallel.run(2, experts=5)


@pytest.mark.nightly
def test_no_process_outlives_a_run_that_takes_too_long():
    seed = int(f"{os.getpid()}0123")
    with pytest.raises(TimeoutError, match=r"the ranks did not finish within 2\.5 s and were stopped"):
        parallel.run(2, seed=seed, timeout=2.5)
    commands = [process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if any(f'"seed": {seed}' in part for part in command)]
