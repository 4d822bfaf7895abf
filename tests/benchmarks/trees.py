"""How fast is the tree? Each figure is a ratio of two things that took turns. Run it by hand: timings are for people.

    python tests/benchmarks/trees.py

768 -> 768, leaves of 32 neurons, one thread. "Repeated": one token again and again, so that its leaf lies in the cache.
"Ever new": another token each time, so that its leaf comes from further away. A dense layer reads all its weights for
each token: where it does so faster than memory streams (the figure further down), they lie in a cache, where they stay
only while no other layer is asked.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from statistics import mean, median

import fastfeedforward
import numpy as np
import torch
import torch.nn.functional as F
from machine import keep_memory, machine
from torch import nn

from moe_tutorial.layers import GPT, FastFeedForward, GPTConfig
from moe_tutorial.study.timing import time_side_by_side

D, LEAF = 768, 32
torch.manual_seed(0)
TOKENS = torch.randn(1024, D)
TEXT = torch.randint(65, (16, 65))  # of the GPT


def tree(width: int) -> FastFeedForward:
    return FastFeedForward(D, D, int(math.log2(width // LEAF)), LEAF)


def dense(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(D, width), nn.ReLU(), nn.Linear(width, D))


def on_one_token(layer: nn.Module, number: int = 0) -> Callable[[], object]:
    token = TOKENS[number : number + 1]
    return lambda: layer(token)


def on_new_tokens(layer: nn.Module) -> Callable[[], object]:
    tokens: Iterator = itertools.cycle(TOKENS.split(1))
    return lambda: layer(next(tokens))


def ratio(top: Callable, bottom: Callable, seconds: float = 0.2, turns: int = 9) -> tuple[float, float]:
    """How many times as long as ``bottom`` the ``top`` takes, and the seconds of ``bottom``: medians over the turns."""
    times = time_side_by_side({"top": top, "bottom": bottom}, turns=turns, seconds=seconds)
    return median(a / b for a, b in zip(times["top"], times["bottom"], strict=True)), median(times["bottom"])


def row(what: str, number: float, must: str = "") -> None:
    print(f"{what:84}{number:9.2f}{must and f'   must {must}'}", flush=True)


def one_token() -> None:
    for width, must in ((2048, ""), (65536, "1200")):
        layer, wide = tree(width).eval(), dense(width)
        against("repeated", width, on_one_token(layer), on_one_token(wide))
        against("ever new", width, on_new_tokens(layer), on_new_tokens(wide), must)
    stacks = [[build(2048).eval() for _ in range(8)] for build in (tree, dense)]
    against("8 layers one after the other", 2048, *map(through, stacks), "60", n_layers=8)
    published = fastfeedforward.FFF(D, LEAF, D, 9).eval()
    times, _ = ratio(on_new_tokens(published), on_new_tokens(tree(16384).eval()))
    row("one token, the published FFF of width 16,384 takes longer", times)


def through(layers: list[nn.Module]) -> Callable[[], object]:
    """A token through layers as in a model: until a layer's turn comes again, the others have been read."""
    token = TOKENS[:1]

    def call() -> None:
        for layer in layers:
            layer(token)

    return call


def against(what: str, width: int, on_tree: Callable, on_dense: Callable, must="", n_layers: int = 1) -> None:
    """The row of one token: what a tree takes, how fast dense reads its weights, and how much longer that takes."""
    times, took = ratio(on_dense, on_tree)
    speed = n_layers * 8e-9 * D * width / (times * took)
    micros = 1e6 * took / n_layers
    row(f"{what}: {micros:.1f} µs; dense of width {width:,}, at {speed:.0f} GB/s, takes longer", times, must)


def many_tokens() -> None:
    layer, wide, active = tree(65536).eval(), dense(65536), dense(LEAF)
    times, took = ratio(lambda: wide(TOKENS), lambda: layer(TOKENS), turns=3)
    row(f"1,024 tokens ({1e3 * took:.1f} ms), dense of width 65,536 takes longer", times)
    leaves = layer(TOKENS)[1].leaf.unique().tolist()
    numbered = {leaf + 2**layer.depth for leaf in leaves}  # as in a heap: n's parent is n // 2, and the root is 1
    nodes = {number >> up for number in numbered for up in range(1, layer.depth + 1)}
    of_leaves = len(leaves) * sum(weights[0].numel() for weights in layer.leaves.parameters())
    touched = of_leaves + len(nodes) * (D + 1) + 2 * TOKENS.numel()  # tokens are read, and answers written
    memory = torch.randn(64 * 2**20)  # more than any cache near the core holds
    slower, streamed = ratio(lambda: layer(TOKENS), lambda: memory.sum())
    speed = 4e-9 * memory.numel() / streamed
    for what, numbers in (
        (f"all that it needs, {len(leaves)} leaves, {len(nodes)} nodes, tokens and answers,", touched),
        ("the leaves alone", of_leaves),
    ):
        row(f"1,024 tokens: its time over {what} at {speed:.1f} GB/s", slower * memory.numel() / numbers, "1.5")
    times, took = ratio(lambda: layer(TOKENS), lambda: active(TOKENS))
    row("1,024 tokens, width 65,536: its time over dense of the active size", times)
    layer = tree(2048).eval()
    times, took = ratio(lambda: layer(TOKENS), lambda: active(TOKENS))
    row("1,024 tokens, width 2,048: its time over dense of the active size", times)


def soft_step() -> None:
    keep_memory()
    for activation, fire in (("relu", nn.ReLU), ("gelu", nn.GELU)):
        for width in (1024, 2048, 4096):
            wide = nn.Sequential(nn.Linear(D, width), fire(), nn.Linear(width, D))
            tall = FastFeedForward(D, D, int(math.log2(width // LEAF)), LEAF, activation)
            steps = []
            for layer in (tall, wide):
                optimizer = torch.optim.SGD(layer.parameters(), lr=1e-4)

                def step(layer=layer, optimizer=optimizer) -> None:
                    y = layer(TOKENS[:256])
                    loss = F.mse_loss(y[0] if isinstance(y, tuple) else y, TOKENS[:256])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()

                steps.append(step)
            times, _ = ratio(*steps, turns=21)
            row(f"soft training step, {activation}, 256 tokens, its time over dense of width {width:,}", times, "1.05")
    # In the GPT, whose other half is the same in both.
    for d, depth in ((64, 3), (256, 5)):
        shape = {"vocab_size": 65, "d_model": d}
        tall, wide = {"feed_forward": "fff", "d_hidden": LEAF, "depth": depth}, {"d_hidden": LEAF * 2**depth}
        steps = []
        for config in (GPTConfig(**shape, **tall), GPTConfig(**shape, **wide)):
            model = GPT(config)
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

            def step(model=model, optimizer=optimizer, tokens=TEXT) -> None:
                optimizer.zero_grad()
                model(tokens[:, :-1], tokens[:, 1:])[1].backward()
                optimizer.step()

            steps.append(step)
        times, _ = ratio(*steps, turns=21)
        row(f"a GPT's training step with soft trees, over dense of width {LEAF * 2**depth:,}", times, "1.05")


def growth() -> None:
    """Of several trees, and of several repeated tokens, the mean: where a tree and a leaf happen to lie in memory is a
    tenth of a microsecond, twice what a level takes.
    """
    depths = range(2, 12)
    trees = {depth: [FastFeedForward(D, D, depth, LEAF).eval() for _ in range(4)] for depth in depths}
    for name, calls, must in (
        ("repeated", lambda tree: [on_one_token(tree, number) for number in range(8)], "; must 0.95"),
        ("ever new", lambda tree: [on_new_tokens(tree)], ""),
    ):
        asked = {depth: [call for tree in trees[depth] for call in calls(tree)] for depth in depths}
        every = {f"{depth} {i}": call for depth, some in asked.items() for i, call in enumerate(some)}
        times = time_side_by_side(every, turns=21, seconds=0.1 / len(asked[2]))
        micros = np.array(
            [mean(1e6 * median(times[f"{depth} {i}"]) for i in range(len(asked[depth]))) for depth in depths]
        )
        slope, start = np.polyfit(depths, micros, 1)
        r2 = 1 - ((micros - start - slope * np.array(depths)) ** 2).sum() / ((micros - micros.mean()) ** 2).sum()
        print(f"one token, {name}, widths 128 to 65,536: {start:.1f} µs and {slope:.2f} a level; R² {r2:.3f}{must}")
        print("   " + "  ".join(f"{LEAF * 2**depth:,}: {m:.1f}" for depth, m in zip(depths, micros, strict=True)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    told = machine()
    print(f"{told['processor']}, {told['cache']}, one thread, torch {told['torch']}, {told['date']}")
    with torch.inference_mode():
        one_token()
        many_tokens()
        growth()
    soft_step()
