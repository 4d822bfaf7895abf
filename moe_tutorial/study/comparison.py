"""The long comparison of lesson 08: a dense GPT, and experts that are chosen in three ways, over ten seeds.

A learned router chooses them; or a fixed table, by the character alone; or dice, anew for each token.

It takes minutes, so it is not part of the lesson. ``python -m moe_tutorial.study.comparison`` (``make comparison``)
runs it and writes a file, named by a digest of the code that made it: when that code changes, the file is made again.
The seeds follow MOE_SEED, and each base has its own file.
"""

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from moe_tutorial.layers import GPT, GPTConfig, Routing
from moe_tutorial.study.data import CHARACTERS, Texts, character_class, texts
from moe_tutorial.study.language import test_windows, train_gpt
from moe_tutorial.study.training import progress, seeds
from moe_tutorial.study.usage import mutual_information

COMMAND = "make comparison"
PACKAGE = Path(__file__).parents[1]
FOLDER = PACKAGE.parent / "_build" / "comparison"
N_SEEDS, STEPS, DENSE_STEPS, EVERY = 10, 700, 1100, 100

EXPERTS = GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128)
# The router's logits cost as much as four neurons, which read and write one vector each.
DENSE = GPTConfig(len(CHARACTERS), d_hidden=EXPERTS.d_hidden + EXPERTS.n_experts // 2)


def with_dice(seed: int) -> GPT:
    """The same experts, and a router that rolls a die for each token, in training and in the test."""
    generator = torch.Generator().manual_seed(seed)

    def roll(x: Tensor) -> Routing:
        return always(torch.randint(EXPERTS.n_experts, (len(x),), generator=generator), x)

    return GPT(replace(EXPERTS, mixture={"router": roll}))


def with_table(seed: int) -> GPT:
    """The same experts, and a table that names one for each character, drawn once and never trained.

    Source: Roller et al. 2021 (https://arxiv.org/abs/2106.04426), hash layers.
    """
    generator = torch.Generator().manual_seed(seed)
    table = torch.randperm(EXPERTS.vocab_size, generator=generator) % EXPERTS.n_experts
    reading: list[Tensor] = []
    model = GPT(replace(EXPERTS, mixture={"router": lambda x: always(table[reading[-1].flatten()], x)}))

    def leave_characters(_: GPT, arguments: tuple) -> None:
        reading[:] = arguments[:1]  # a router sees vectors, and this one has to know the characters

    model.register_forward_pre_hook(leave_characters)
    return model


def always(experts: Tensor, x: Tensor) -> Routing:
    """The routing that sends each token of x (T, d) to the given expert (T,), with weight 1."""
    even = x.new_full((len(x), EXPERTS.n_experts), 1 / EXPERTS.n_experts)
    return Routing(even.log(), even, experts[:, None], x.new_ones(len(x), 1))


def one_seed(seed: int) -> dict:
    """Train the four in turn, a hundred steps each, so that their times are those of one machine at one time."""
    torch.set_num_threads(1)
    data = texts()
    build = {
        "dense": lambda: GPT(DENSE),
        "experts": lambda: GPT(EXPERTS),
        "table": lambda: with_table(seed),
        "dice": lambda: with_dice(seed),
    }
    models, runs = {}, {}
    for kind in build:
        torch.manual_seed(seed)
        models[kind] = build[kind]()
        steps = DENSE_STEPS if kind == "dense" else STEPS
        runs[kind] = train_gpt(models[kind], data, seed=seed, steps=steps, every=EVERY)
    untrained = information(models["experts"], data)
    curves: dict[str, list[dict]] = {kind: [] for kind in build}
    for _ in range(DENSE_STEPS // EVERY + 1):
        for kind, run in runs.items():
            if snapshot := next(run, None):
                curves[kind].append({"seconds": snapshot.seconds, "loss": snapshot.loss.tolist()})
    trained = information(models["experts"], data)
    return {"seed": seed, "curves": curves, "information": {"trained": trained, "untrained": untrained}}


@torch.no_grad()
def information(model: GPT, data: Texts) -> dict[str, list[float]]:
    """Bits that the expert of a test character tells in each block: about its domain, about its class, about its domain
    when the character itself is known; and the same by chance, with the labels shuffled.
    """
    tokens, _, domains = test_windows(model, data)
    training = model.training
    model.eval()
    chosen = [record.indices[:, 0] for record in model(tokens)[2]]
    model.train(training)
    character, domain = tokens.flatten(), domains[:, None].expand_as(tokens).flatten()
    kind = character_class(character)
    generator = torch.Generator().manual_seed(0)
    shuffle = torch.randperm(len(domain), generator=generator)
    # Shuffled among equal characters: sorted by character, both ways, once by place and once by lot.
    within = torch.empty_like(domain)
    within[character.argsort(stable=True)] = domain[shuffle][character[shuffle].argsort(stable=True)]

    def beyond(expert: Tensor, label: Tensor) -> float:
        """I(expert; label | character), by the chain rule."""
        both = character * len(data.names) + label
        return mutual_information(expert, both) - mutual_information(expert, character)

    return {
        "domain": [mutual_information(expert, domain) for expert in chosen],
        "domain, shuffled": [mutual_information(expert, domain[shuffle]) for expert in chosen],
        "class": [mutual_information(expert, kind) for expert in chosen],
        "class, shuffled": [mutual_information(expert, kind[shuffle]) for expert in chosen],
        "domain beyond the character": [beyond(expert, domain) for expert in chosen],
        "domain beyond the character, shuffled": [beyond(expert, within) for expert in chosen],
        "most": [mutual_information(domain, domain), mutual_information(kind, kind)],
    }


def digest() -> str:
    """Of all the code that the numbers rest on, and of what runs it."""
    code = hashlib.sha256(f"{sys.version_info[:2]} {torch.__version__}".encode())
    here = PACKAGE / "study"
    modules = [here / f"{name}.py" for name in ("comparison", "data", "language", "training", "usage")]
    modules += [PACKAGE / "layers" / f"{name}.py" for name in ("balance", "experts", "gpt", "mixture", "routing")]
    for path in modules:
        code.update(path.read_bytes())
    return code.hexdigest()[:12]


def file() -> Path:
    """Where the results of this code for this MOE_SEED are, or will be."""
    return FOLDER / f"{digest()}-seed-{seeds(1)[0]}.json"


def results() -> dict | None:
    """The results for this code and this MOE_SEED; those of the course's own seeds where there are only those; None."""
    for path in (file(), FOLDER / f"{digest()}-seed-0.json"):
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
    return None


def build() -> Path:
    """Run the comparison if its file is missing, on all cores; about five minutes on two."""
    path = file()
    if path.exists():
        print(f"✓ the long comparison is up to date: {path}")
        return path
    start = time.perf_counter()
    wanted = seeds(N_SEEDS)
    workers = min(N_SEEDS, os.cpu_count() or 1)
    print(
        f"The long comparison of lesson 08: {N_SEEDS} seeds, {workers} at a time. Minutes; then it is kept.", flush=True
    )
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        runs = list(progress(pool.map(one_seed, wanted), N_SEEDS, "seeds"))
    made = {"command": COMMAND, "minutes": (time.perf_counter() - start) / 60, "workers": workers}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.json"):
        if not old.name.startswith(path.name.split("-")[0]):
            old.unlink()
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({"every": EVERY, "made": made, "runs": runs}), encoding="utf-8")
    unfinished.replace(path)  # whole or not at all
    print(f"✓ the long comparison took {made['minutes']:.1f} minutes: {path}")
    return path


if __name__ == "__main__":
    build()
