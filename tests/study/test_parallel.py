"""Real processes, started by torchrun. This file is also what they run: all cases of the layer in one start a size."""

import itertools
import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
from torch import nn

from moe_tutorial.layers import BiasBalancer, MixtureOfExperts, Router, Routing, switch_loss
from moe_tutorial.layers.routing import GATES
from moe_tutorial.study import parallel
from moe_tutorial.study.parallel import ExpertParallel, RankLost

sys.path.append(str(Path(__file__).parents[1] / "layers"))
import loop_oracle

EVEN, UNEVEN, ZERO = (6, 6, 6, 6), (1, 9, 4, 2), (5, 0, 3, 7)
CASES = {
    "k=1": (EVEN, {"top_k": 1}),
    "k=2": (EVEN, {"top_k": 2}),
    "k=1, uneven, an empty expert": (UNEVEN, {"top_k": 1, "bias": True}),
    "k=2, uneven, an empty expert": (UNEVEN, {"top_k": 2, "bias": True}),
    "first rank without tokens": (ZERO[1::-1] + ZERO[2:], {"top_k": 2}),
    "second rank without tokens": (ZERO, {"top_k": 2, "bias": True, "n_shared": 1}),
    "shared": (UNEVEN, {"top_k": 2, "n_shared": 2, "d_shared": 4}),
    "gated": (UNEVEN, {"top_k": 3, "gated": True, "gate": "topk_softmax"}),
    "gated, bias, shared, other output width": (
        ZERO,
        {"top_k": 2, "gated": True, "expert_bias": True, "n_shared": 1, "d_out": 3, "gate": "sigmoid_topk"},
    ),
    "one expert for all": (UNEVEN, {"top_k": 1, "bias": True, "only": 1}),
    "bare experts, float32": (UNEVEN, {"top_k": 2, "expert_bias": False, "dtype": torch.float32}),
}


def build(sizes, options):
    """Mixture, all tokens, and the gradient that comes back: the same in every process."""
    options = dict(options)
    only, dtype = options.pop("only", None), options.pop("dtype", torch.float64)
    torch.manual_seed(1)
    moe = MixtureOfExperts(5, 6, 8, **options).to(dtype)
    if moe.router.bias is not None:
        moe.router.bias[-1] = -9  # never chosen
        if only is not None:
            moe.router.bias[only] = 9
    x, gradient = torch.randn(sum(sizes), 5, dtype=dtype), torch.randn(sum(sizes), moe.experts.d_out, dtype=dtype)
    if dtype == torch.float32:
        gradient = gradient / len(x)  # as of a mean over all tokens
    return moe, x.requires_grad_(), gradient


def step(sizes, options, rank, group=None):
    """One rank's part of a training step: what it found, as plain tensors."""
    moe, x, gradient = build(sizes, options)
    layer = ExpertParallel(moe, group)
    own = x.detach().split(sizes)[rank].clone().requires_grad_()
    batch = own.view(3, 2, 5) if len(own) == 6 else own  # batches come in any shape
    y, routing, traffic = layer(batch)
    assert y.shape[:-1] == batch.shape[:-1]
    y = y.flatten(0, -2)
    y.backward(gradient.split(sizes)[rank])
    layer.reduce_shared_gradients()
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"y": y.detach(), "indices": routing.indices, "traffic": traffic, "x": own.grad, "parameters": gradients}


BATCHES = {"even": EVEN, "uneven": UNEVEN, "with an empty batch": ZERO}
ROUTERS = {f"{gate}, {name}": (gate, sizes) for gate in GATES for name, sizes in BATCHES.items()}
STEPS = 6


def balance(gate, sizes, rank=None, group=None):
    """Train a router by the Switch loss alone and move its bias: what each step found. Without a rank all tokens are in
    one batch; with a rank torch's own data parallelism averages the gradients.
    """
    torch.manual_seed(3)
    router = Router(5, 8, 2, gate=gate, bias=True).double()
    batches = torch.randn(STEPS, sum(sizes), 5, dtype=torch.float64) + 1
    trained, balancer = router, BiasBalancer(0.01)
    if rank is not None:
        batches = torch.stack([batch.split(sizes)[rank] for batch in batches])
        # Without broadcasts: the biases stay equal by themselves, or not at all.
        trained = nn.parallel.DistributedDataParallel(router, broadcast_buffers=False)
    optimizer, found = torch.optim.SGD(router.parameters(), lr=0.3), []
    for x in batches:
        optimizer.zero_grad()
        routing = trained(x)
        loss = switch_loss(routing, group) if len(x) or group is not None else 0 * routing.probs.sum()
        loss.backward()
        optimizer.step()
        balancer.update(router.bias, routing.indices, group)
        found.append({"loss": loss.detach(), "gradient": router.weight.grad.clone(), "bias": router.bias.clone()})
    return found


def error_of(act):
    """Type and text of the error that ``act`` ends in."""
    try:
        act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def errors():
    """What each rank says to bad input. All ranks get the same, so none waits for another."""

    def answer(indices):
        return lambda tokens: Routing(tokens, tokens, indices, torch.ones(indices.shape))

    def with_router(router):
        return ExpertParallel(MixtureOfExperts(5, 6, 8, 1, router))

    layer = ExpertParallel(MixtureOfExperts(5, 6, 8, 1))
    return {
        "experts": error_of(lambda: ExpertParallel(MixtureOfExperts(5, 6, 9, 1))),
        "width": error_of(lambda: layer(torch.randn(3, 4))),
        "integers": error_of(lambda: layer(torch.ones(3, 5, dtype=torch.long))),
        "float64": error_of(lambda: layer(torch.randn(3, 5).double())),
        "no routing": error_of(lambda: with_router(lambda tokens: tokens)(torch.randn(3, 5))),
        "wrong routing": error_of(lambda: with_router(answer(torch.zeros(2, 1).long()))(torch.randn(3, 5))),
        "no such expert": error_of(lambda: with_router(answer(torch.full((3, 1), 8)))(torch.randn(3, 5))),
    }


def silent_peer(rank):
    """All ranks but the first never come: no connection closes, only time passes."""
    layer = ExpertParallel(MixtureOfExperts(5, 6, 8, 1), dist.new_group(timeout=timedelta(seconds=1)))
    return None if rank else error_of(lambda: layer(torch.randn(3, 5)))


def worker(folder):
    """What torchrun starts."""
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank, ranks = dist.get_rank(), dist.get_world_size()
    found = {name: step(sizes[:ranks], options, rank) for name, (sizes, options) in CASES.items()}
    pairs = [dist.new_group([0, 1]), dist.new_group([ranks - 2, ranks - 1])]
    found["pair"] = step((3, 4), {"top_k": 2}, rank % 2, pairs[rank // 2])
    found["balance"] = {name: balance(gate, s[:ranks], rank, dist.group.WORLD) for name, (gate, s) in ROUTERS.items()}
    found["each for itself"] = {name: balance(gate, s[:ranks], rank) for name, (gate, s) in ROUTERS.items()}
    found["errors"] = errors()
    found["silent peer"] = silent_peer(rank)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    os._exit(0)  # the group of the silent peer cannot be closed in order


if __name__ == "__main__":
    worker(sys.argv[1])


def torchrun(ranks, *command):
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), *command]
    return subprocess.run(start, capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.nightly)], ids="{} ranks".format)
def by_rank(request, tmp_path_factory):
    """What each rank found."""
    folder = tmp_path_factory.mktemp("ranks")
    process = torchrun(request.param, __file__, str(folder))
    assert process.returncode == 0, process.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


def equal_to_one_process(found, sizes, options):
    moe, x, gradient = build(sizes, options)
    exact = {"rtol": 0, "atol": 1e-6 if x.dtype == torch.float32 else 1e-12}
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
    return chosen


@pytest.mark.parametrize("case", CASES)
def test_equal_to_one_process_that_sees_all_tokens(by_rank, case):
    sizes, options = CASES[case]
    sizes = sizes[: len(by_rank)]
    chosen = equal_to_one_process([found[case] for found in by_rank], sizes, options)
    used = {expert for experts in chosen for expert in experts}
    if "bias" in options:
        assert 7 not in used
    if "only" in options:  # then some ranks receive nothing at all
        assert used == {options["only"]}


def test_ranks_of_a_group_keep_to_themselves(by_rank):
    for first in range(0, len(by_rank), 2):
        equal_to_one_process([found["pair"] for found in by_rank[first : first + 2]], (3, 4), {"top_k": 2})


@pytest.mark.parametrize("case", ROUTERS)
def test_the_balance_is_that_of_the_whole_batch(by_rank, case):
    gate, sizes = ROUTERS[case]
    expected = balance(gate, sizes[: len(by_rank)])
    for found in by_rank:
        torch.testing.assert_close(found["balance"][case], expected, rtol=0, atol=1e-12)
        assert torch.equal(found["balance"][case][-1]["bias"], expected[-1]["bias"])
    # Each for itself, no two of them end with the same bias, and none with the right one.
    ends = [found["each for itself"][case][-1]["bias"] for found in by_rank]
    for end, other in itertools.combinations([*ends, expected[-1]["bias"]], 2):
        assert (end - other).abs().max() > 0.01


def test_bad_input_is_named_on_every_rank(by_rank):
    for found in by_rank:
        assert found["errors"] == {
            "experts": f"ValueError: n_experts must be a multiple of the {len(by_rank)} ranks, got 9",
            "width": "ValueError: x must have shape (..., d_model = 5), got (3, 4)",
            "integers": "TypeError: x must be a floating-point tensor, got dtype torch.int64",
            "float64": "TypeError: x is float64 and the layer's weights are float32: call x.float(), or layer.double()",
            "no routing": "TypeError: router must return a Routing, got Tensor",
            "wrong routing": "ValueError: router must return indices and weights of one shape (T = 3, k), "
            "got (2, 1) and (2, 1)",
            "no such expert": "ValueError: the router chose expert 8, but there are only 8",
        }


def test_a_peer_that_says_nothing_is_lost_too(by_rank):
    assert by_rank[0]["silent peer"] == "RankLost: a peer was lost in counts"


@pytest.mark.parametrize(
    ("ranks", "options", "tokens"),
    [
        (2, {"top_k": 1, "seed": 3}, [40, 40]),
        pytest.param(4, {"uneven": True}, [16, 32, 48, 64], marks=pytest.mark.nightly),
    ],
)
def test_run_compares_and_reports(ranks, options, tokens):
    result = parallel.run(ranks, tokens=40, **options)
    load, traffic = result.load, result.traffic
    assert result.ranks == ranks
    assert result.tokens == tokens
    assert result.forward_difference < 1e-6 < 0.1 < result.forward_largest
    assert result.gradient_difference < 1e-6 < 0.01 < result.gradient_largest
    assert traffic.sum(1).tolist() == [n * options.get("top_k", 2) for n in result.tokens]
    assert torch.equal(traffic.sum(0), load.view(ranks, -1).sum(1))
    off_rank = sum(traffic[i, j].item() for i in range(ranks) for j in range(ranks) if i != j)
    assert result.bytes_off_rank == off_rank * 32 * 4 * 2  # width, float32, there and back
    if "uneven" in options:
        assert load[-1] == 0
        assert load[0] > 4 * load[-2]
    else:
        assert load.min() > 0
    assert result.seconds > 0


@pytest.mark.nightly  # by hand, and with two ranks, below
def test_a_lost_rank_ends_the_run_with_its_name():
    with pytest.raises(RankLost, match=r"^rank 2 of 4 was lost \(rank 0: a peer was lost in \w+\)$"):
        parallel.run(4, tokens=8, lose_rank=2)


def test_by_hand_a_lost_rank_is_one_line_and_a_status(tmp_path):
    module, out = "moe_tutorial.study.parallel", tmp_path / "result.json"
    process = torchrun(2, "-m", module, "--out", str(out), "--lose-rank", "0")
    assert process.returncode != 0
    lines = [line for line in process.stderr.splitlines() if "lost" in line]
    assert len(lines) == 1
    assert lines[0].startswith("RankLost: rank 0 of 2 was lost (rank 1: a peer was lost in ")
    assert not out.exists()


@pytest.mark.nightly
def test_no_process_outlives_a_run_that_takes_too_long():
    mark = f"--seed={os.getpid()}0123"

    def alive():
        return any(mark in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))

    before = []
    threading.Timer(1, lambda: before.append(alive())).start()
    with pytest.raises(TimeoutError, match=r"the ranks did not finish within 2\.5 s and were stopped"):
        parallel.run(2, seed=int(mark.removeprefix("--seed=")), timeout=2.5)
    assert before == [True]
    assert not alive()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ranks": 0}, ValueError, "ranks must be an integer of at least 1, got 0"),
        ({"tokens": 2.5}, TypeError, "tokens must be an integer of at least 0, got 2.5"),
        ({"ranks": 2, "experts": 5}, ValueError, "n_experts must be a multiple of the 2 ranks, got 5"),
    ],
)
def test_run_names_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        parallel.run(**options)
