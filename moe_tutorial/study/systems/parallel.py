"""Expert parallelism: each machine keeps some of the experts, and tokens travel to the experts that they chose.

``ExpertParallel`` splits a ``MixtureOfExperts`` over the ranks of ``torch.distributed``. ``run(ranks=4)`` starts four
processes with torchrun, compares them with one process that has all tokens, and reports who sent how much to whom, and
when. ``parallel.json`` beside this module holds what lesson 11's run reported once; ``stored`` reads it.
"""

import copy
import inspect
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from moe_tutorial.layers import MixtureOfExperts, Routing
from moe_tutorial.layers.checks import as_tokens, check_count, check_dtype
from moe_tutorial.layers.mixture import check_routing, sort_by_expert

STORED = Path(__file__).with_suffix(".json")
Dispatch = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""(choices (T, k), E) -> the order (T * k,) in which the choices, read token by token, stand expert by expert, and how
many each expert gets, (E,)."""


class ExpertParallel(nn.Module):
    """The same layer as ``moe`` with its experts spread over the ranks: of ``E`` experts rank ``r`` of ``R`` keeps
    ``r * E / R`` up to ``(r + 1) * E / R``. The router and the shared experts are on every rank.

    Source: GShard (Lepikhin et al. 2020, arXiv:2006.16668), section 3.2, here without a limit on an expert's load.

    Args:
        moe: the whole mixture, with the same numbers on every rank. Its parameters are copied.
        group: the process group; None means all ranks.
        dispatch: another way to sort the choices.
        note: called with the name of each part of the forward pass when it is done.

    A training step is: ``backward()`` on every rank, ``reduce_shared_gradients()``, then each rank's optimiser. The
    gradients are then those of one process that sums the losses of all ranks. Gather the choices of all
    ranks for ``BiasBalancer.update``: from its own batch alone, each copy of the router would get another bias.

    Raises ValueError if the ranks do not divide the experts.
    """

    def __init__(
        self,
        moe: MixtureOfExperts,
        group: dist.ProcessGroup | None = None,
        dispatch: Dispatch = lambda indices, n_experts: sort_by_expert(indices, n_experts)[::2],
        note: Callable[[str], None] = lambda part: None,
    ):
        super().__init__()
        self.dispatch, self.note = dispatch, note
        self.group, self.ranks, rank = group, dist.get_world_size(group), dist.get_rank(group)
        self.n_experts = moe.experts.n_experts
        if self.n_experts % self.ranks:
            raise ValueError(f"n_experts must be a multiple of the {self.ranks} ranks, got {self.n_experts}")
        self.router, self.shared, self.experts = map(copy.deepcopy, (moe.router, moe.shared, moe.experts))
        self.experts.n_experts = here = self.n_experts // self.ranks
        for name, stack in moe.experts.named_parameters():
            own = stack.detach()[rank * here : (rank + 1) * here].clone()
            setattr(self.experts, name, nn.Parameter(own, requires_grad=stack.requires_grad))

    def forward(self, x: Tensor) -> tuple[Tensor, Routing, Tensor]:
        """This rank's own batch x (..., d) -> y (..., d_out), the routing of its T tokens, and its traffic (R,) int64:
        how many choices it sent to each rank, itself included.

        Every rank has to take part, also without any token; batches may differ in size. ``x.requires_grad`` has to be
        the same on all ranks, because the backward pass sends gradients the way that the tokens came.

        Raises TypeError or ValueError for wrong x and a wrong routing as the mixture does, and RuntimeError, as
        torch.distributed does, if a peer is gone.
        """
        # 1. Route. Sorted by expert, the choices are sorted by rank as well, for a rank's experts are neighbours.
        tokens = as_tokens(x, self.experts.d_model)
        check_dtype(tokens, self.experts.w_in)
        routing = self.router(tokens)
        check_routing(routing, len(tokens))
        order, counts = self.dispatch(routing.indices, self.n_experts)
        token = order // routing.indices.shape[1]
        self.note("route")

        # 2. Exchange the counts: nobody can receive tokens without knowing how many will come, and for whom.
        outgoing = counts.view(self.ranks, -1)  # [to this rank, for this expert of that rank]
        incoming = torch.empty_like(outgoing)  # [from this rank, for this expert of mine]
        dist.all_to_all_single(incoming, outgoing, group=self.group)
        traffic = outgoing.sum(1)
        sizes = traffic.tolist(), incoming.sum(1).tolist()

        # 3. Dispatch: each choice's token travels to the rank of its expert.
        arrived = AllToAll.apply(tokens[token], *sizes, self.group)
        self.note("dispatch")

        # 4. Compute. Tokens came in by source, then by expert; an expert wants all of its own in one slice.
        expert = torch.arange(incoming.shape[1], device=x.device).repeat(self.ranks)
        by_expert = expert.repeat_interleave(incoming.flatten()).argsort(stable=True)
        answers = self.experts.grouped(arrived[by_expert], incoming.sum(0).tolist())
        self.note("compute")

        # 5. Combine: put the answers back in the order of arrival, send them home, weight them, add them up per token.
        returned = AllToAll.apply(answers[by_expert.argsort()], *reversed(sizes), self.group)
        self.note("combine")
        weights = routing.weights.flatten()[order].to(returned.dtype)
        y = returned.new_zeros(len(tokens), self.experts.d_out).index_add(0, token, returned * weights.unsqueeze(-1))
        if self.shared is not None:
            y = y + self.shared.mixed(tokens, tokens.new_ones(len(tokens), self.shared.n_experts))
        return y.reshape(*x.shape[:-1], self.experts.d_out), routing, traffic

    def reduce_shared_gradients(self) -> None:
        """Add up over the ranks the gradients of what every rank has a copy of: the router and the shared experts.

        Call it after ``backward()``, on every rank. An expert needs no such step: all tokens that chose it came to its
        one owner, and so did their gradients.
        """
        copies = [module for module in (self.router, self.shared) if isinstance(module, nn.Module)]
        for parameter in (p for module in copies for p in module.parameters() if p.requires_grad):
            if parameter.grad is None:  # unused here; another rank may have used it
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad, group=self.group)


class AllToAll(torch.autograd.Function):
    """Rows to all ranks and rows from all ranks; in the backward pass their gradients travel the other way."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, send: list[int], receive: list[int], group: Any) -> Tensor:
        """Rows (N, d) sorted by receiver, how many go to and come from each rank -> rows sorted by sender."""
        ctx.way_back = receive, send, group
        received = rows.new_empty(sum(receive), *rows.shape[1:])
        dist.all_to_all_single(received, rows.contiguous(), receive, send, group=group)
        return received

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        return AllToAll.apply(gradients, *ctx.way_back), None, None, None


class Result(NamedTuple):
    """What a run found. Differences are absolute, each with the largest number of the kind that one process has."""

    ranks: int
    tokens: list[int]  # (R,) tokens of each rank
    traffic: Tensor  # (R, R) int64, choices that the row's rank sent to the column's
    forward_difference: float  # largest of y
    forward_largest: float
    gradient_difference: float  # largest over all parameters and the tokens
    gradient_largest: float
    trace: list[dict[str, float]]  # for each rank: part of the forward pass -> seconds from the common start to its end


def stored() -> Result:
    """What a run on two ranks reported, for where no processes can be started."""
    return read(STORED)


def read(path: Path) -> Result:
    """The result that rank 0 wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Result(**found | {"traffic": torch.tensor(found["traffic"])})


def run(
    ranks: int = 4,
    *,
    tokens: int = 64,
    experts: int = 8,
    top_k: int = 2,
    width: int = 32,
    seed: int = 0,
    uneven: bool = False,
    dispatch: Dispatch | None = None,
    timeout: float = 60.0,
) -> Result:
    """Run one mixture on ``ranks`` processes, forward and backward, and compare it with one process.

    Args:
        ranks, tokens: processes, and tokens for each of them.
        experts, top_k, width, seed: ``E``, ``k``, ``d``, and where all random numbers come from.
        uneven: the first rank gets the fewest tokens and the last the most, and the router prefers the first experts
            and never chooses the last one.
        dispatch: another way to sort the choices. The ranks get its source, and torch, F, nn, np and math.
        timeout: seconds after which all processes are stopped.

    Raises TypeError or ValueError for what is no count, TimeoutError, and RuntimeError with all that torchrun wrote for
    anything else: sizes that do not fit, an error of ``dispatch``, a rank that was lost.
    """
    options = {"tokens": tokens, "experts": experts, "top_k": top_k, "width": width, "seed": seed}
    options = {name: check_count(name, value, low=0) for name, value in options.items()}
    options["uneven"] = uneven
    options["dispatch"] = dispatch and [dispatch.__name__, inspect.getsource(dispatch)]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
    torchrun += ["--nproc-per-node", str(check_count("ranks", ranks)), __file__]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "result.json")
        code, errors = finish([sys.executable, *torchrun, str(out), json.dumps(options)], timeout)
        if code == 0:
            return read(out)
    raise RuntimeError(f"torchrun ended with status {code}\n{errors}")


def finish(command: list[str], timeout: float) -> tuple[int, str]:
    """Run a torchrun command to its end: its exit status and what was written to stderr. No process outlives it."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}  # no modules from beside this file
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    # A session of its own: a notebook's interrupt then reaches this function only, which ends the others in order.
    process = subprocess.Popen(command, env=environment, start_new_session=True, errors="replace", **pipes)
    try:
        errors = process.communicate(timeout=timeout)[1]
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the ranks did not finish within {timeout:g} s and were stopped") from None
    finally:
        if process.poll() is None:
            # torchrun passes the signal on to its workers, and waits for their end.
            process.send_signal(getattr(signal, "SIGHUP", signal.SIGTERM))
            process.communicate()
    return process.returncode, errors


def main() -> None:
    """What torchrun starts on each rank, with the file to write and the options of :func:`run`."""
    out, options = Path(sys.argv[1]), SimpleNamespace(**json.loads(sys.argv[2]))

    store, rank, ranks = next(dist.rendezvous("env://"))
    store.set(f"started {rank}", "")
    store.wait([f"started {r}" for r in range(ranks)])  # a busy machine may start one process long after another
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    compare(out, options, rank, ranks)
    dist.barrier()  # who leaves early looks like a lost peer
    dist.destroy_process_group()


def compare(out: Path, options: SimpleNamespace, rank: int, ranks: int) -> None:
    """Forward and backward on all ranks; rank 0 compares with one process, and writes the result."""
    moe, x, gradient, sizes = build(options, ranks)
    names: dict[str, Any] = {"torch": torch, "F": F, "nn": nn, "np": np, "math": math}
    name, source = options.dispatch or ("", "")
    exec(source, names)
    layer = ExpertParallel(moe, **({"dispatch": names[name]} if name else {}))
    own = x.split(sizes)[rank].clone().requires_grad_()
    y, _, traffic = layer(own)
    y.backward(gradient.split(sizes)[rank])
    layer.reduce_shared_gradients()

    trace: dict[str, float] = {}
    with torch.no_grad():
        dist.barrier()
        start = time.perf_counter()
        layer.note = lambda part: trace.update({part: time.perf_counter() - start})
        layer(own)

    gradients = {name: tensor.grad for name, tensor in [*layer.named_parameters(), ("x", own)]}
    everyone: list[Any] = [None] * ranks
    dist.gather_object((y.detach(), traffic, gradients, trace), everyone if rank == 0 else None)
    if rank > 0:
        return
    outputs, rows, gradients, traces = zip(*everyone, strict=True)
    x.requires_grad_()
    expected, _ = moe(x)
    expected.backward(gradient)
    errors, largest = [], []
    for name, tensor in [*moe.named_parameters(), ("x", x)]:
        parts = [of_rank[name] for of_rank in gradients]  # an expert has one owner; of the others every rank has a copy
        found = torch.cat(parts) if name == "x" or name.startswith("experts.") else torch.stack(parts)
        errors.append((found - tensor.grad).abs().max())
        largest.append(tensor.grad.abs().max())
    result = {
        "ranks": ranks,
        "tokens": sizes,
        "traffic": torch.stack(rows).tolist(),
        "forward_difference": (torch.cat(outputs) - expected).abs().max().item(),
        "forward_largest": expected.abs().max().item(),
        "gradient_difference": torch.stack(errors).max().item(),
        "gradient_largest": torch.stack(largest).max().item(),
        "trace": traces,
    }
    out.write_text(json.dumps(result), encoding="utf-8")


def build(options: SimpleNamespace, ranks: int) -> tuple[MixtureOfExperts, Tensor, Tensor, list[int]]:
    """What every rank and the one process have in common: the mixture, all tokens (T, d), the gradient that comes back
    to their outputs (T, d), and how many of the tokens each rank has.
    """
    torch.manual_seed(options.seed)
    n = check_count("tokens", options.tokens)
    moe = MixtureOfExperts(options.width, 2 * options.width, options.experts, options.top_k, n_shared=1, bias=True)
    sizes = [n] * ranks
    if options.uneven:
        check_count("top_k of an uneven run", options.top_k, high=options.experts - 1, high_name="experts - 1")
        sizes = [2 * n * (rank + 1) // (ranks + 1) for rank in range(ranks)]
        moe.router.bias.copy_(torch.linspace(0.2, 0, options.experts))
        moe.router.bias[-1] = -2  # the router ranks by probability + bias, so this one is below all others
    x, gradient = torch.randn(2, sum(sizes), options.width)
    return moe, x, gradient / len(x), sizes  # the loss is a mean over the tokens of all ranks


if __name__ == "__main__":
    main()
