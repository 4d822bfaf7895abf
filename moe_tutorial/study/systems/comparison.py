"""The long comparison of lesson 08: a dense GPT, and experts that are chosen in three ways, over ten seeds.

A learned router chooses them; or a fixed table, by the character alone; or dice, anew for each token.

It takes minutes, so it is not part of the lesson: the results for the course's own seeds are kept in
``comparison.json``, beside this module. The file says of which experiment it is: by its definition, and by its first
steps on text that every Python has. A test compares both with the code, so results of another experiment are noticed.
``make comparison`` makes it again; under another ``MOE_SEED`` it makes those seeds' results, in a file of their own.
"""

import hashlib
import json
import os
import platform
import re
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moe_tutorial.layers import GPT, GPTConfig, Routing
from moe_tutorial.layers.modes import evaluating
from moe_tutorial.study.data import CHARACTERS, Texts, character_class, decode, texts
from moe_tutorial.study.environment import seeds
from moe_tutorial.study.language import TEST_WINDOWS, train_gpt, unseen_windows
from moe_tutorial.study.training import progress
from moe_tutorial.study.usage import mutual_information

COMMITTED = Path(__file__).with_suffix(".json")
FOLDER = Path(__file__).parents[3] / "_build" / "comparison"
N_SEEDS, STEPS, DENSE_STEPS, EVERY = 10, 700, 1100, 100
N_CHARACTERS = 120_000  # a domain
TRAINING = {"batch_size": 16, "learning_rate": 3e-3, "balance": 0.01}

EXPERTS = GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128)
# The router's logits cost as much as four neurons, which read and write one vector each.
DENSE = GPTConfig(len(CHARACTERS), d_hidden=EXPERTS.d_hidden + EXPERTS.n_experts // 2)

WITHIN = 1e-3  # nats and bits: what processors and versions may differ by after the first steps


class OtherExperiment(ValueError):
    """The results at hand are of another experiment than this code's; the message says where they part."""


def with_dice(seed: int) -> GPT:
    """The same experts, and a router that rolls a die for each token, in training and in the test."""
    generator = torch.Generator().manual_seed(seed)

    def roll(x: Tensor) -> Routing:
        return always(torch.randint(EXPERTS.n_experts, (len(x),), generator=generator), x)

    return GPT(replace(EXPERTS, router=roll))


def with_table(seed: int) -> GPT:
    """The same experts, and a table that names one for each character, drawn once and never trained.

    Source: Roller et al. 2021 (https://arxiv.org/abs/2106.04426), hash layers.
    """
    generator = torch.Generator().manual_seed(seed)
    table = torch.randperm(EXPERTS.vocab_size, generator=generator) % EXPERTS.n_experts
    reading: list[Tensor] = []
    model = GPT(replace(EXPERTS, router=lambda x: always(table[reading[-1].flatten()], x)))

    def leave_characters(_: GPT, arguments: tuple) -> None:
        reading[:] = arguments[:1]  # a router sees vectors, and this one has to know the characters

    model.register_forward_pre_hook(leave_characters)
    return model


def always(experts: Tensor, x: Tensor) -> Routing:
    """The routing that sends each token of x (T, d) to the given expert (T,), with weight 1."""
    even = x.new_full((len(x), EXPERTS.n_experts), 1 / EXPERTS.n_experts)
    return Routing(even.log(), even, experts[:, None], x.new_ones(len(x), 1))


def one_seed(seed: int, data: Texts, steps: int, dense_steps: int, every: int) -> dict:
    """Train the four in turn, ``every`` steps each, so that their times are those of one machine at one time.

    Returns the seed; of each kind its curve, whose columns are the seconds and the loss in each domain; and what the
    expert tells (:func:`information`) before and after.
    """
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
        n = dense_steps if kind == "dense" else steps
        runs[kind] = train_gpt(models[kind], data, seed=seed, steps=n, every=every, **TRAINING)
    untrained = information(models["experts"], data)
    curves = {kind: {column: [] for column in ("seconds", *data.names)} for kind in build}
    for _ in range(dense_steps // every + 1):
        for kind, run in runs.items():
            if snapshot := next(run, None):
                curves[kind]["seconds"].append(snapshot.seconds)
                for name, loss in zip(data.names, snapshot.loss.tolist(), strict=True):
                    curves[kind][name].append(loss)
    trained = information(models["experts"], data)
    return {"seed": seed, "curves": curves, "information": {"trained": trained, "untrained": untrained}}


@torch.no_grad()
def information(model: GPT, data: Texts) -> dict[str, list[float]]:
    """Bits that the expert of a test character tells in each block: about its domain, about its class, about its domain
    when the character itself is known; and the same by chance, with the labels shuffled.
    """
    tokens, _, domains = unseen_windows(model, data)
    with evaluating(model):
        chosen = [record.indices[:, 0] for record in model(tokens)[2]]
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


def definition() -> dict:
    """What the experiment is, as far as numbers and names say it. The rest shows in :func:`first_steps`."""
    return {
        "seeds": N_SEEDS,
        "steps": STEPS,
        "steps of dense": DENSE_STEPS,
        "steps from test to test": EVERY,
        "characters a domain": N_CHARACTERS,
        "test windows a domain": TEST_WINDOWS,
        "training": TRAINING,
        "experts": asdict(EXPERTS),
        "dense": asdict(DENSE),
    }


def first_steps() -> dict:
    """What :func:`one_seed` finds in 20 steps of seed 0, but for the times: every machine and version finds the same.

    Python's versions have other manuals, and the same sums. Written in three alphabets, these are three domains.
    """
    data = texts(N_CHARACTERS)
    alphabets = 5 * torch.arange(3)[:, None]
    train, test = ((part[data.names.index("arithmetic")] + alphabets) % len(CHARACTERS) for part in data[1:])
    found = one_seed(0, Texts(data.names, train, test), steps=20, dense_steps=20, every=10)
    for curve in found["curves"].values():
        del curve["seconds"]
    return found


def difference(here: Any, there: Any, within: float = 0.0) -> str | None:
    """The first place where two values of JSON part, in words; None where they agree, numbers to ``within``."""
    if isinstance(here, dict) and isinstance(there, dict) and here.keys() == there.keys():
        pairs = [(name, here[name], there[name]) for name in here]
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        pairs = [(number, *pair) for number, pair in enumerate(zip(here, there, strict=True))]
    else:
        numbers = all(isinstance(value, float) for value in (here, there))
        same = abs(here - there) <= within if numbers else here == there
        return None if same else f": {here} here, {there} there"
    return next((f", {name}{found}" for name, *pair in pairs if (found := difference(*pair, within))), None)


def file(first: int) -> Path:
    """Where the results of the seeds from this one on are, or will be."""
    return FOLDER / f"seeds-from-{first}.json" if first else COMMITTED


def results(first: int | None = None) -> dict | None:
    """The results of the seeds from ``first`` on, those of this MOE_SEED if None; None where nobody has made them.

    Raises:
        OtherExperiment: the file's definition is not the code's, or its first steps are not those of the course's file,
            which a test compares with the code's.
    """
    first = seeds(1)[0] if first is None else first
    path = file(first)
    if first and not path.exists():
        return None
    found, ours = (json.loads(path.read_text(encoding="utf-8")) for path in (path, COMMITTED))
    parts = difference(plain(definition()), found["definition"])
    if parts := parts or difference(ours["first steps"], found["first steps"], WITHIN):
        raise OtherExperiment(f"{path} is of another experiment{parts}. Make it again: {command(first)}")
    return found


def command(first: int) -> str:
    """What makes the results of the seeds from this one on."""
    return f"MOE_SEED={first // 1000} make comparison" if first else "make comparison"


def plain(value: Any, digits: int | None = None) -> Any:
    """A value as it comes back from JSON, its numbers rounded to so many digits after the point."""
    return json.loads(json.dumps(value), parse_float=lambda text: round(float(text), digits) if digits else float(text))


def fingerprints(data: Texts) -> dict[str, str]:
    """Of each domain's text; but for the sums they are another Python's in another Python."""
    both = torch.cat([data.train, data.test], dim=1)
    digests = (hashlib.sha256(decode(stream).encode()).hexdigest() for stream in both)
    return {name: digest[:12] for name, digest in zip(data.names, digests, strict=True)}


def entropies(data: Texts) -> dict[str, float]:
    """Of each domain's characters, each given the one before it, in nats: much the same in every Python."""

    def entropy(numbers: Tensor) -> Tensor:
        return torch.special.entr(numbers.bincount() / len(numbers)).sum()

    streams = dict(zip(data.names, data.train, strict=True))
    pairs = {name: stream[:-1] * len(CHARACTERS) + stream[1:] for name, stream in streams.items()}
    return {name: float(entropy(pairs[name]) - entropy(stream[:-1])) for name, stream in streams.items()}


def build() -> Path:
    """Run the comparison for this MOE_SEED, on all cores, and write its file; five to ten minutes on two."""
    start = time.perf_counter()
    wanted = seeds(N_SEEDS)
    data = texts(N_CHARACTERS)
    workers = min(N_SEEDS, os.cpu_count() or 1)
    print(f"The long comparison of lesson 08: {N_SEEDS} seeds, {workers} at a time. It takes minutes.", flush=True)
    one_thread = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), **one_thread) as pool:
        beginning = pool.submit(first_steps)
        each = partial(one_seed, data=data, steps=STEPS, dense_steps=DENSE_STEPS, every=EVERY)
        runs = list(progress(pool.map(each, wanted), N_SEEDS, "seeds"))
    trained = sum(curve["seconds"][-1] for run in runs for curve in run["curves"].values())
    made = {
        "command": command(wanted[0]),
        "date": time.strftime("%Y-%m-%d"),
        "processor minutes": round(trained / 60, 1),
        "workers": workers,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "texts": fingerprints(data),
        "entropies": plain(entropies(data), digits=4),
    }
    numbers = {"first steps": plain(beginning.result(), digits=4), "runs": plain(runs, digits=4)}
    text = json.dumps({"definition": definition(), "made": made, **numbers}, indent=1)
    text = re.sub(r"\[[^][{}]*\]", lambda found: json.dumps(json.loads(found[0])), text)  # a list of numbers is a line
    path = file(wanted[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)  # whole or not at all
    print(f"✓ the long comparison took {(time.perf_counter() - start) / 60:.1f} minutes: {path}")
    return path


if __name__ == "__main__":
    build()
