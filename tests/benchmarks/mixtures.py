"""How fast is the mixture beside its peers, dense layers and its limits? Run it by hand: timings are for people.

    python tests/benchmarks/mixtures.py            # a quarter of an hour; writes speed.json in study/systems/edge
    python tests/benchmarks/mixtures.py --part 0   # a sixth of it, 0 to 5; the last one writes
    python tests/benchmarks/mixtures.py --shapes 64,8,256,2,training   # T, E, d, k of one cell, or more of them

One thread. All that is compared takes turns in one process, in a new order each turn; a ratio is the median over the
turns, with its 95 % interval (bootstrap). A cell is as good as ours over the fastest peer. A limit is the time in which
the processor could do the multiplications, at the best pace of BLAS, or memory could bring the weights (and take their
gradients), whichever is longer: both are measured here. Weights that stay in the cache from call to call come sooner.
"""

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import peers
import torch
import torch.nn.functional as F
from machine import keep_memory, machine
from torch import nn

from moe_tutorial.layers import GPT, Experts, MixtureOfExperts
from moe_tutorial.layers.fast import gradients, mixing
from moe_tutorial.study.systems.comparison import DENSE, EXPERTS
from moe_tutorial.study.systems.edge.speed import STORED

GRID = list(itertools.product((1, 64, 1024, 8192), (8, 64), (128, 256), (1, 2)))  # T, E, d, k
OTHERS = [  # odd shapes
    (3, 12, 128, 2), (3, 48, 97, 1), (200, 12, 97, 2), (200, 48, 160, 1), (3000, 12, 97, 1), (3000, 48, 96, 2),
]  # fmt: skip
TURNS, SECONDS = 15, 5  # for each cell: turns at most, and seconds for all of them
PARTS, KEPT = 6, Path(__file__).parents[2] / "_build/speed"
SLOW = 3  # a peer that takes so many times the fastest's time has no further turns


def interleave(functions: dict[str, Callable[[], Any]], seconds: float = SECONDS) -> dict[str, list[float]]:
    """Seconds a call, one median a turn. Those that are far too slow have a single turn."""
    first = {}
    for name, function in functions.items():
        function()
        begun = time.perf_counter()
        function()
        first[name] = time.perf_counter() - begun
    racing = [name for name, took in first.items() if took < SLOW * min(first.values()) or name == "ours"]
    calls = {name: max(1, min(100, int(0.02 / first[name]))) for name in racing}
    round_trip = sum(calls[name] * first[name] for name in racing)
    found: dict[str, list[float]] = {name: [] for name in racing}
    for _ in range(max(5, min(TURNS, int(seconds / round_trip)))):
        for name in random.sample(racing, len(racing)):
            took = []
            for _ in range(calls[name]):
                begun = time.perf_counter()
                functions[name]()
                took.append(time.perf_counter() - begun)
            found[name].append(median(took))
    return {name: found.get(name, [first[name]]) for name in functions}


def ratio(top: list[float], bottom: list[float]) -> list[float]:
    """The median of the turns' ratios, and its 95 % interval: low, median, high."""
    each = np.array(top) / np.array(bottom)
    again = np.median(np.random.default_rng(0).choice(each, (2000, len(each))), axis=1)
    return [float(np.percentile(again, 2.5)), float(np.median(each)), float(np.percentile(again, 97.5))]


def limits() -> dict[str, float]:
    """What this machine can do on one thread: bytes a second from memory, floating-point operations a second."""
    far, square = torch.ones(2**27), torch.randn(1024, 1024)
    turns = [[timed(task) for task in (far.sum, lambda: square @ square)] for _ in range(9)]
    stream, took = (min(column) for column in zip(*turns, strict=True))
    return {"bytes a second": far.numel() * 4 / stream, "operations a second": 2 * 1024**3 / took}


def timed(function: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def needed(T: int, E: int, d: int, k: int, training: bool, can: dict[str, float]) -> dict[str, float]:
    """The bytes of weights and the operations that a call cannot do without, and the seconds that these take."""
    expert, used = 3 * d * 2 * d, E * (1 - (1 - 1 / E) ** (T * k))  # as many as even random choices hit
    operations = 2 * T * (k * expert + E * d) * (3 if training else 1)
    n_bytes = 4 * expert * (2 * used + E if training else used)
    seconds = max(n_bytes / can["bytes a second"], operations / can["operations a second"])
    return {"bytes": n_bytes, "operations": operations, "limit": seconds}


def cell(T: int, E: int, d: int, k: int, training: bool, can: dict[str, float]) -> dict[str, Any]:
    """All of them on one shape."""
    torch.manual_seed(0)
    layers = peers.build(d, 2 * d, E, k)
    if T * k > 256:
        del layers["batched_mm"]  # gathers a copy of the weights for each choice: minutes
    if d % 4:
        del layers["grouped_mm"]  # as transformers call it, it takes no such rows
    x, target = torch.randn(T, d), torch.randn(T, d)
    check(layers, x)
    if training:
        functions = {name: peers.training(name, layer.train(), x, target) for name, layer in layers.items()}
    else:
        functions = {name: peers.forward(name, layer.eval(), x) for name, layer in layers.items()}
    times = interleave(functions)
    fastest = min(layers.keys() - {"ours"}, key=lambda name: median(times[name]))
    return {
        "T": T, "E": E, "d": d, "k": k, "training": training,
        "seconds": {name: median(turns) for name, turns in times.items()}, "fastest": fastest,
        "ratio": ratio(times["ours"], times[fastest]), **needed(T, E, d, k, training, can),
    }  # fmt: skip


def check(layers: dict[str, nn.Module], x: torch.Tensor) -> None:
    """They compute the same, or there is nothing to compare."""
    with torch.no_grad():
        answers = {name: peers.answer(name, layer, x) for name, layer in layers.items()}
    for name, y in answers.items():
        apart = (y - answers["ours"]).abs().amax(-1)
        assert (apart < 1e-4).float().mean() > 0.999, name  # close experts may change places


def line(what: str, found: list[float], must: str = "") -> str:
    low, middle, high = found
    return f"{what:82} {middle:5.2f} [{low:.2f}, {high:.2f}]{must and f'   must {must}'}"


def told(one: dict[str, Any]) -> str:
    kind = "training" if one["training"] else "forward"
    ms = 1000 * one["seconds"]["ours"]
    share = one["limit"] / one["seconds"]["ours"]
    what = f"T {one['T']:5} E {one['E']:2} d {one['d']:3} k {one['k']} {kind:8} {ms:8.3f} ms, {share:4.0%} of the limit"
    return line(what, one["ratio"]) + f"  of {one['fastest']}"


# ── beside dense layers ──


class Dense(nn.Module):
    """A gated layer of the size that a token uses."""

    def __init__(self, d: int, h: int):
        super().__init__()
        self.one = peers.Expert(d, h)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x)


def in_turn(layers: list[nn.Module], x: torch.Tensor) -> Callable[[], None]:
    """Layer after layer, as in a model: until the first one's turn comes again, the others have been read."""

    def call() -> None:
        with torch.inference_mode():
            for layer in layers:
                layer(x)

    return call


GPT_STEP = "GPT training step, {tokens:,} tokens, E 8, d 64: over the dense GPT of equal cost"
LAYERS, BOUNDS = {}, {GPT_STEP.format(tokens=64 * batch): 1.1 for batch in (16, 32, 64)}
for T, d, k, bound in ((1, 128, 1, 1.5), (1, 256, 2, 1.5), (64, 256, 1, 1.8), (1024, 256, 2, 1.1), (8192, 256, 1, 1.1)):
    name = f"forward, T {T}, E 8, d {d}, k {k}: over a dense layer of the active size"
    LAYERS[name], BOUNDS[name] = (T, d, k), bound


def beside_dense() -> None:
    """Each part in a process of its own, whose memory no other benchmark has shaped: where eight experts' weights come
    to lie decides whether they stay in the cache."""
    rows = {}
    for part in ("--layers", "--gpt"):
        command = [sys.executable, __file__, part]
        rows |= json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for name, found in rows.items():
        print(line(name, found, f"{BOUNDS[name]}"), flush=True)


def layers_beside_dense() -> dict[str, list[float]]:
    rows = {}
    for name, (T, d, k) in LAYERS.items():
        n = 8 if T == 1 else 1
        x = torch.randn(T, d)
        times = interleave(
            {
                "ours": in_turn([peers.ours(d, 2 * d, 8, k).eval() for _ in range(n)], x),
                "dense": in_turn([Dense(d, 2 * d * k) for _ in range(n)], x),
            }
        )
        rows[name] = ratio(times["ours"], times["dense"])
    return rows


def gpt_steps() -> dict[str, list[float]]:
    keep_memory()
    rows = {}
    for batch in (16, 32, 64):  # windows of 64 tokens
        steps = {}
        for name, config in (("ours", EXPERTS), ("dense", DENSE)):
            torch.manual_seed(0)
            model = GPT(config)
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)  # as ``train_gpt`` has it
            tokens = torch.randint(config.vocab_size, (batch, config.context + 1))

            def step(model=model, optimizer=optimizer, tokens=tokens) -> None:
                optimizer.zero_grad()
                model(tokens[:, :-1], tokens[:, 1:])[1].backward()
                optimizer.step()

            steps[name] = step
        times = interleave(steps)
        name = GPT_STEP.format(tokens=batch * EXPERTS.context)
        rows[name] = ratio(times["ours"], times["dense"])
    return rows


# ── memory ──


def memory() -> None:
    """Peak memory of training, over what is there before it: each layer in a process of its own."""
    peaks = {}
    for name in ("ours", "loop", "grouped_mm"):
        command = [sys.executable, __file__, "--peak", name]
        peaks[name] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(
        "peak memory of a training step, MB:", {name: round(peak) for name, peak in peaks.items()}, "must 1.1 of loop"
    )


def peak(name: str) -> float:
    layer = peers.build(256, 512, 8, 2)[name].train()
    step = peers.training(name, layer, torch.randn(8192, 256), torch.randn(8192, 256))
    peers.training(name, layer, torch.randn(8, 256), torch.randn(8, 256))()  # loads and compiles
    layer.zero_grad()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    now = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024
    for _ in range(3):
        step()
    return (max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, before) - now) / 1024


# ── what each trick brings ──


def tricks() -> None:
    """How many times as long it takes without each trick. Each line takes away one thing; the call then goes the next
    best of the ways that stay."""

    def add(name: str, shape: str, without: Callable[[], Any], with_it: Callable[[], Any]) -> None:
        times = interleave({"without": without, "ours": with_it})
        print(line(f"{name}: {shape}", ratio(times["without"], times["ours"])), flush=True)

    def mixture(T: int, E: int, d: int, k: int) -> tuple[MixtureOfExperts, torch.Tensor, torch.Tensor]:
        return peers.ours(d, 2 * d, E, k), torch.randn(T, d), torch.randn(T, d)

    moe, x, target = mixture(1024, 64, 128, 2)
    masks = peers.build(128, 256, 64, 2)["loop"]
    plain = peers.forward("ours", copy_as_plain(moe), x)
    add("Sorting", "1,024 tokens, 64 experts, forward", peers.forward("loop", masks, x), plain)
    moe, x, target = mixture(256, 64, 128, 2)
    plain, shape = copy_as_plain(moe), "256 tokens, 64 experts, training"
    add("No padding", "256 tokens, 64 experts, forward", padded(moe, x), peers.forward("ours", plain, x))
    add("Unbinding", shape, indexed(moe, x, target), peers.training("ours", plain, x, target))
    for shape, sizes in (("256 tokens, 64 experts", (256, 64, 128, 2)), ("1,024 tokens, 8 experts", (1024, 8, 128, 2))):
        moe, x, target = mixture(*sizes)
        plain = peers.training("ours", copy_as_plain(moe), x, target)
        add("BLAS from a kernel", f"{shape}, training", plain, peers.training("ours", moe, x, target))
    moe, x, target = mixture(64, 64, 256, 2)
    step = peers.training("ours", moe, x, target)
    add("Memory that stays", "64 tokens, 64 experts, training", without(gradients, "LARGE", 2**60, step), step)
    moe, x, _ = mixture(16, 64, 128, 1)
    few = peers.forward("ours", moe, x)
    add("Each weight once", "16 tokens, 64 experts, forward", without(mixing, "FEW", 0, few), few)
    moe, x, _ = mixture(1, 64, 128, 2)
    plain = peers.forward("ours", copy_as_plain(moe), x)
    add("One call", "1 token, 64 experts, forward", plain, peers.forward("ours", moe, x))


def without(module: ModuleType, name: str, value: int, function: Callable[[], Any]) -> Callable[[], Any]:
    """The same call with another value of a module's constant."""

    def call() -> Any:
        before = getattr(module, name)
        setattr(module, name, value)
        try:
            return function()
        finally:
            setattr(module, name, before)

    return call


class Plain(Experts):
    """Of a class of their own, experts are asked in the readable way."""


def copy_as_plain(moe: MixtureOfExperts) -> MixtureOfExperts:
    again = peers.ours(moe.experts.d_model, moe.experts.d_hidden, moe.experts.n_experts, moe.router.top_k)
    again.load_state_dict(moe.state_dict())
    again.experts.__class__ = Plain
    return again


def padded(moe: MixtureOfExperts, x: torch.Tensor) -> Callable[[], Any]:
    """Every expert has as many rows as the one with most tokens."""
    E, k, experts = moe.experts.n_experts, moe.router.top_k, moe.experts

    @torch.inference_mode()
    def call() -> torch.Tensor:
        routing = moe.router(x)
        order = routing.indices.flatten().argsort(stable=True)
        counts = routing.indices.flatten().bincount(minlength=E)
        expert = routing.indices.flatten()[order]
        place = torch.arange(len(order)) - (counts.cumsum(0) - counts)[expert]
        rows = x.new_zeros(E, int(counts.max()), x.shape[1])
        rows[expert, place] = x[order // k]
        neurons = F.silu(rows @ experts.w_gate.mT).mul_(rows @ experts.w_in.mT)
        said = (neurons @ experts.w_out)[expert, place] * routing.weights.flatten()[order].unsqueeze(1)
        return torch.zeros_like(x).index_add_(0, order // k, said)

    return call


def indexed(moe: MixtureOfExperts, x: torch.Tensor, target: torch.Tensor) -> Callable[[], Any]:
    """The plain way with ``w[e]`` in its loop."""

    class Indexed(Experts):
        def grouped(self, tokens: torch.Tensor, counts: list[int]) -> torch.Tensor:
            answers = []
            for e, own in enumerate(tokens.split(counts)):
                if len(own):
                    neurons = self.neurons(own, self.w_in[e], None, self.w_gate[e], None)
                    answers.append(neurons @ self.w_out[e])
            return torch.cat(answers)

    again = copy_as_plain(moe)
    again.experts.__class__ = Indexed
    return peers.training("ours", again, x, target)


# ── the whole ──


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """How many cells; the share whose ratio is at most 1 (``level``) and at most .9 (``faster``), or whose interval
    begins at 1 or less (``not worse``); the geometric mean (``mean``) and the ``worst`` cell."""
    low, middle, _ = np.array([one["ratio"] for one in cells]).T
    return {
        "cells": len(cells),
        "level": float(np.mean(middle <= 1)),
        "faster": float(np.mean(middle <= 0.9)),
        "not worse": float(np.mean(low <= 1)),
        "mean": float(np.exp(np.log(middle).mean())),
        "worst": cells[int(middle.argmax())],
    }


def summed_up(cells: list[dict[str, Any]]) -> str:
    found = summary(cells)
    shares = f"{found['level']:.0%} at 1.0 or less, {found['faster']:.0%} at .9 or less"
    end = f"lower end at 1.0 or less in {found['not worse']:.0%}; geometric mean {found['mean']:.2f}"
    return f"{found['cells']} cells: {shares}; {end}\nworst: {told(found['worst'])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--gpt", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--layers", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--part", type=int, choices=range(PARTS), help="measure this part alone")
    parser.add_argument("--shapes", nargs="*", help="cells as T,E,d,k,training or T,E,d,k,forward; nothing is written")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.peak:
        print(peak(asked.peak))
        return
    if asked.gpt or asked.layers:
        print(json.dumps(gpt_steps() if asked.gpt else layers_beside_dense()))
        return
    can = limits()
    print(f"memory {can['bytes a second'] / 1e9:.1f} GB/s, products {can['operations a second'] / 1e9:.0f} GFLOP/s")
    if asked.shapes:
        for shape in asked.shapes:
            *sizes, kind = shape.split(",")
            one = cell(*map(int, sizes), training=kind == "training", can=can)
            print(told(one), {name: round(1000 * took, 3) for name, took in one["seconds"].items()})
        return
    for part in range(PARTS) if asked.part is None else [asked.part]:
        measure_part(part, can)


def measure_part(part: int, can: dict[str, float]) -> None:
    """All parts but the last measure cells; that one measures what is left, and writes what lesson 10 draws."""
    KEPT.mkdir(parents=True, exist_ok=True)
    if part < PARTS - 1:
        shapes = itertools.product([*GRID, *OTHERS], (False, True))
        cells = []
        for shape, training in [one for one in shapes if one[0][0] > 1 or not one[1]][part :: PARTS - 1]:
            cells.append(cell(*shape, training=training, can=can))  # nobody trains on one token
            print(told(cells[-1]), flush=True)
        (KEPT / f"{part}.json").write_text(json.dumps(cells), encoding="utf-8")
        return
    cells = [one for n in range(PARTS - 1) for one in json.loads((KEPT / f"{n}.json").read_text(encoding="utf-8"))]
    cells.sort(key=lambda one: (one["training"], one["T"], one["E"], one["d"], one["k"]))
    print(summed_up(cells))
    beside_dense()
    tricks()
    memory()
    shown = [one for one in cells if (one["E"], one["d"], one["k"], one["training"]) == (8, 256, 2, False)]
    seconds = {name: [one["seconds"][name] for one in shown] for name in ("ours", "loop", "eager", "grouped_mm")}
    found = {
        "machine": machine(), "can": can, "tokens": [one["T"] for one in shown],
        "seconds": seconds | {"limit": [one["limit"] for one in shown]},
    }  # fmt: skip
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
