"""Lesson 10's cache: which experts ten trained GPTs ask for as they read, and how many of them a cache has to fetch.

Training the GPTs takes some minutes, so what they ask for is stored in ``expert_cache.json``. ``python -m
moe_tutorial.study.systems.edge.expert_cache`` makes it again. A nightly test makes one of them again.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from moe_tutorial.layers import GPT, GPTConfig
from moe_tutorial.layers.checks import check_choice, check_count
from moe_tutorial.study.data import CHARACTERS, texts
from moe_tutorial.study.environment import seeds
from moe_tutorial.study.language import route_text, train_gpt

STORED = Path(__file__).with_suffix(".json")
CONFIG = GPTConfig(len(CHARACTERS), n_layers=4, feed_forward="moe", d_hidden=128, n_experts=8, top_k=2)
LENGTH = 512  # characters of each text
LEAVES = {"oldest": min, "look-ahead": max}  # what a full cache gives up: by last use, or by next use


def asked(seed: int, steps: int = 600) -> Tensor:
    """Train a GPT and let it read the three test texts: the experts that it asks for, (texts, LENGTH, blocks, k)."""
    torch.manual_seed(seed)
    model, data = GPT(CONFIG), texts()
    list(train_gpt(model, data, seed=seed, steps=steps, every=steps))
    return torch.stack(
        [torch.stack([block.indices for block in route_text(model, text[:LENGTH])], dim=1) for text in data.test]
    )


def stored() -> Tensor:
    """What :func:`asked` returned for the course's own seeds, those of MOE_SEED 0: (10, texts, LENGTH, blocks, k)."""
    pairs = torch.tensor([list(text.encode()) for text in json.loads(STORED.read_text(encoding="utf-8"))]) - 48
    return torch.stack([pairs // 8, pairs % 8], dim=-1).view(10, 3, LENGTH, CONFIG.n_layers, CONFIG.top_k)


def written(choices: Tensor) -> str:
    """The pairs of experts as text, a character for each."""
    return bytes((choices[..., 0] * 8 + choices[..., 1] + 48).flatten().tolist()).decode()


def fetches(stream: Sequence[int], room: int, leaves: str = "oldest") -> int:
    """How many experts a cache has to fetch, if it holds ``room`` of them and starts empty.

    Args:
        stream: the experts in the order in which they are asked for.
        room: experts that fit.
        leaves: which expert makes room for another: the one whose last use is "oldest", or by "look-ahead" the one
            whose next use is farthest away, which no cache can know and none can beat (Belady 1966).
    """
    check_count("room", room)
    check_choice("leaves", leaves, tuple(LEAVES))
    uses, later = list(range(len(stream))), {}
    if leaves == "look-ahead":
        for time in reversed(range(len(stream))):
            uses[time] = later.get(stream[time], math.inf)
            later[stream[time]] = time
    cache, n_fetched = {}, 0
    for time, expert in enumerate(stream):
        if expert not in cache:
            n_fetched += 1
            if len(cache) == room:
                del cache[LEAVES[leaves](cache, key=cache.get)]
        cache[expert] = uses[time]
    return n_fetched


if __name__ == "__main__":
    STORED.write_text(json.dumps([written(asked(seed)) for seed in seeds(10)], indent=0) + "\n", encoding="utf-8")
