"""The long comparison of lessons 08 and 13, over ten seeds: who learned, and by which measure do the experts win?

Eleven kinds of GPT read the same text. A dense one of the experts' active cost and a dense one of their total size.
Seven with the same experts: chosen by a router that learns, by the same router with its weights frozen, and by a fixed
table from the character alone, each with two gate weights, 1 and the router's probability p of the expert; and by dice,
anew for each token, with weight 1. A mixture of one expert, which is as wide as the dense one's feed-forward: it trains
for a short time, for its seconds alone. And for lesson 13 a tree of eight leaves, each as wide as an expert, which is
hardened over time and tested hard.

It takes minutes, so it is not part of the lesson: the results for the course's own seeds are kept in
``comparison.json``, beside this module. The file says of which experiment it is: by its definition, and by its first
steps on text that every Python has. A test compares both with the code, so results of another experiment are noticed.
``make comparison`` makes it again; under another ``MOE_SEED`` it makes those seeds' results, in a file of their own.

What :func:`results` returns, with the ``KINDS`` dense, large, experts, experts 1, frozen, frozen 1, table p, table 1,
dice, one and tree, where 1 or p is the gate weight (of experts and frozen it is else p):

- ``kinds[kind]``: ``parameters``, ``active`` (those that a character meets) and ``multiplications`` (a character's,
  forwards), in training, all exact; a parameter is 4 bytes.
- ``runs[i]["seed"]``, and ``runs[i]["curves"][kind]``: columns ``seconds`` (a processor's, in training) and the domains
  (test loss in nats), one entry for each test: at step 0 and after every ``EVERY`` steps. A kind's curve ends at
  ``STEPS[kind]``. :func:`curve` and :func:`lead` read them. (In ``comparison.json`` the trees were trained after the
  others, so their seconds are those of other hours.)
- ``runs[i]["keep"]``: test loss in nats of the trained large one, with ``all`` neurons and with a tenth of them: each
  token's ``own``, a ``random`` or a ``fixed`` one.
- ``definition``, ``first steps`` and ``made`` (when, where, and in how many minutes of a processor).
"""

import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from moe_tutorial.layers import GPT, Descent, GPTConfig, Routing
from moe_tutorial.layers.tree import hardening_loss, hardening_ramp, node_balance_loss
from moe_tutorial.study.data import CHARACTERS, Texts, decode, texts
from moe_tutorial.study.environment import seeds
from moe_tutorial.study.language import losses_of_a_tenth, train_gpt
from moe_tutorial.study.systems.cost import multiplications
from moe_tutorial.study.training import progress

COMMITTED = Path(__file__).with_suffix(".json")
FOLDER = Path(__file__).parents[3] / "_build" / "comparison"
N_SEEDS, EVERY = 10, 100
SHORT = 500  # steps of those that are compared by steps alone
STEPS = {
    "dense": 3_000,
    "large": 400,
    "experts": 2_400,
    "experts 1": SHORT,
    "frozen": SHORT,
    "frozen 1": SHORT,
    "table p": 2_400,
    "table 1": SHORT,
    "dice": SHORT,
    "one": 200,
    "tree": 400,
}
N_CHARACTERS = 120_000  # a domain
TRAINING = {"batch_size": 16, "learning_rate": 3e-3, "balance": 0.01}
TREE = {"hardening": 1.0, "node balance": 0.1}  # weights (the first at its peak), the best of four on training text

EXPERTS = GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128)
# The router's logits cost as much as four neurons, which read and write one vector each.
DENSE = GPTConfig(len(CHARACTERS), d_hidden=EXPERTS.d_hidden + EXPERTS.n_experts // 2)
# An expert's output bias and its row of the router hold as much as one neuron.
LARGE = GPTConfig(len(CHARACTERS), d_hidden=EXPERTS.n_experts * (EXPERTS.d_hidden + 1))

WITHIN = 1e-3  # nats: what processors and versions may differ by after the first steps


class OtherExperiment(ValueError):
    """The results at hand are of another experiment than this code's; the message says where they part."""


def with_frozen_routers(_: int) -> GPT:
    """The same experts, and routers that keep the weights with which they began.

    Their gate stays that of the experts: a weight is the probability of the expert, so the vectors that the router
    reads still learn through it. Only the router does not.
    """
    model = GPT(EXPERTS)
    for block in model.blocks:
        block.feed_forward.router.requires_grad_(False)
    return model


def with_dice(seed: int) -> GPT:
    """The same experts, and a router that rolls a die for each token, in training and in the test."""
    generator = torch.Generator().manual_seed(seed)
    roll = partial(torch.randint, EXPERTS.n_experts, generator=generator)
    return GPT(replace(EXPERTS, router=lambda x: always(roll((len(x),)), x)))


class Changed(nn.Module):
    """A router whose routing is changed before it is used."""

    def __init__(self, router: nn.Module, change: Callable[[Routing], Routing]):
        super().__init__()
        self.router, self.change = router, change

    def forward(self, x: Tensor) -> Routing:
        return self.change(self.router(x))


def of_weight_1(model: GPT) -> GPT:
    """The same model with gate weights of 1, through which the loss has no gradient for the router."""
    for block in model.blocks:
        block.feed_forward.router = Changed(
            block.feed_forward.router, lambda routing: routing._replace(weights=torch.ones_like(routing.weights))
        )
    return model


class TableGPT(GPT):
    """The same experts, and a table that names one for each character, drawn once and never trained.

    weight: "1" (Roller et al. 2021, https://arxiv.org/abs/2106.04426, hash layers), or "p", a router's probability of
    the expert that the table names (DeepSeek-V4's first layers); that router learns, but does not choose.
    """

    def __init__(self, seed: int, weight: str = "1"):
        super().__init__(replace(EXPERTS, router=self.look_up) if weight == "1" else EXPERTS)
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randperm(EXPERTS.vocab_size, generator=generator) % EXPERTS.n_experts
        if weight == "p":
            for block in self.blocks:
                block.feed_forward.router = Changed(block.feed_forward.router, self.weigh)

    def forward(self, tokens: Tensor, *others):
        self.tokens = tokens  # a router sees vectors, and this one has to know the characters
        return super().forward(tokens, *others)

    def look_up(self, x: Tensor) -> Routing:
        return always(self.table[self.tokens.flatten()], x)

    def weigh(self, routing: Routing) -> Routing:
        indices = self.table[self.tokens.flatten()][:, None]
        return routing._replace(indices=indices, weights=routing.probs.gather(1, indices))


def always(experts: Tensor, x: Tensor) -> Routing:
    """The routing that sends each token of x (T, d) to the given expert (T,), with weight 1."""
    even = x.new_full((len(x), EXPERTS.n_experts), 1 / EXPERTS.n_experts)
    return Routing(even.log(), even, experts[:, None], x.new_ones(len(x), 1))


KINDS = {  # from the seed; parameters are drawn by torch's own generator
    "dense": lambda _: GPT(DENSE),
    "large": lambda _: GPT(LARGE),
    "experts": lambda _: GPT(EXPERTS),
    "experts 1": lambda _: of_weight_1(GPT(EXPERTS)),
    "frozen": with_frozen_routers,
    "frozen 1": lambda _: of_weight_1(with_frozen_routers(0)),
    "table p": partial(TableGPT, weight="p"),
    "table 1": TableGPT,
    "dice": with_dice,
    "one": lambda _: GPT(replace(EXPERTS, n_experts=1, d_hidden=DENSE.d_hidden)),
    "tree": lambda _: GPT(replace(EXPERTS, feed_forward="fff")),
}


def tree_losses(descent: Descent, step: int) -> Tensor:
    """What a block of the tree's GPT adds to the loss: a hardening that grows over all its steps, and node balance."""
    hardening = hardening_ramp(step, 0, STEPS["tree"], TREE["hardening"])
    return hardening * hardening_loss(descent) + TREE["node balance"] * node_balance_loss(descent)


def sizes(model: GPT) -> dict[str, int]:
    """Parameters, those that a character meets, and its multiplications, forwards."""
    tokens = torch.zeros(1, EXPERTS.context, dtype=torch.long)
    numbers = {name: parameter.numel() for name, parameter in model.named_parameters()}
    total, experts = (sum(n for name, n in numbers.items() if part in name) for part in ("", ".experts."))
    active = total - experts + experts // model.config.n_experts
    return {"parameters": total, "active": active, "multiplications": multiplications(model, tokens) // tokens.numel()}


def one_seed(seed: int, data: Texts, steps: dict[str, int] = STEPS, every: int = EVERY) -> dict:
    """Train all kinds in turn, ``every`` steps each, so that their times are those of one machine at one time.

    Returns an entry of ``runs``, as the module describes it.
    """
    models, trainings = {}, {}
    for kind, build in KINDS.items():
        torch.manual_seed(seed)
        models[kind] = build(seed)
        options = {"steps": steps[kind], "every": every, "penalty": tree_losses, **TRAINING}
        trainings[kind] = train_gpt(models[kind], data, seed=seed, **options)
    curves = {kind: {column: [] for column in ("seconds", *data.names)} for kind in KINDS}
    for _ in range(max(steps.values()) // every + 1):
        for kind, training in trainings.items():
            if snapshot := next(training, None):
                for column, number in zip(curves[kind], (snapshot.seconds, *snapshot.loss.tolist()), strict=True):
                    curves[kind][column].append(number)
    return {"seed": seed, "curves": curves, "keep": losses_of_a_tenth(models["large"], data)}


def curve(found: dict, kind: str, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Of one kind in :func:`results`, both (seeds, tests): what was spent, and the mean test loss of the domains.

    axis: "steps", "seconds", or "multiplications", which are those of all characters read, forwards.
    """
    columns = [run["curves"][kind] for run in found["runs"]]
    loss = np.mean([[column for name, column in c.items() if name != "seconds"] for c in columns], axis=1)
    seconds = np.array([c["seconds"] for c in columns])
    steps = np.broadcast_to(EVERY * np.arange(seconds.shape[1]), seconds.shape)
    a_step = TRAINING["batch_size"] * EXPERTS.context * found["kinds"][kind]["multiplications"]
    return {"steps": steps, "seconds": seconds, "multiplications": a_step * steps}[axis], loss


def lead(found: dict, kind: str, other: str, axis: str, steps: int | None = None) -> np.ndarray:
    """By how many nats ``kind`` predicts better than ``other`` where both have spent the same, a number for each seed.

    The place is what ``kind`` has spent after ``steps`` (all of its own if None), or where ``other`` ends, if that is
    sooner. Between two tests, losses are interpolated.
    """
    ours, theirs = curve(found, kind, axis), curve(found, other, axis)
    at = np.minimum(ours[0][:, -1 if steps is None else steps // EVERY], theirs[0][:, -1])
    ours, theirs = (np.array([np.interp(*row) for row in zip(at, *both, strict=True)]) for both in (ours, theirs))
    return theirs - ours


def definition() -> dict:
    """What the experiment is, as far as numbers and names say it. The rest shows in :func:`first_steps`."""
    return {
        "seeds": N_SEEDS,
        "steps": STEPS,
        "steps from test to test": EVERY,
        "characters a domain": N_CHARACTERS,
        "training": TRAINING,
        "tree": TREE,
        "experts": asdict(EXPERTS),
        "dense": asdict(DENSE),
        "large": asdict(LARGE),
    }


def first_steps() -> dict:
    """What :func:`one_seed` finds in 20 steps of seed 0, but for the times: every machine and version finds the same.

    Python's versions have other manuals, and the same sums. Written in three alphabets, these are three domains.
    """
    data = texts(N_CHARACTERS)
    alphabets = 5 * torch.arange(3)[:, None]
    train, test = ((part[data.names.index("arithmetic")] + alphabets) % len(CHARACTERS) for part in data[1:])
    found = one_seed(0, Texts(data.names, train, test), steps=dict.fromkeys(KINDS, 20), every=10)
    for columns in found["curves"].values():
        del columns["seconds"]
    return found


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
    parts = [name for name, value in definition().items() if found["definition"].get(name) != value]
    try:
        torch.testing.assert_close(found["first steps"], ours["first steps"], atol=WITHIN, rtol=0)
    except AssertionError as error:
        parts.append(f"first steps: {error}")
    if parts:
        raise OtherExperiment(f"{path} differs in {', '.join(parts)}. Make it again: {command(first)}")
    return found


def command(first: int) -> str:
    """What makes the results of the seeds from this one on."""
    return f"MOE_SEED={first // 1000} make comparison" if first else "make comparison"


def fingerprints(data: Texts) -> dict[str, str]:
    """Of each domain's text; but for the sums they are another Python's in another Python."""
    streams = zip(data.names, torch.cat([data.train, data.test], dim=1), strict=True)
    return {name: hashlib.sha256(decode(stream).encode()).hexdigest()[:12] for name, stream in streams}


def build(n_seeds: int = N_SEEDS) -> None:
    """Run the comparison for this MOE_SEED, on all cores, and write its file; a quarter to half an hour on two."""
    wanted, data = seeds(n_seeds), texts(N_CHARACTERS)
    # glibc hands memory back in each step, which takes up to a quarter of a large network's time. 32 MiB is the most
    # that every glibc accepts. On macOS and Windows this does nothing.
    memory = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
    os.environ |= {"OMP_NUM_THREADS": "1", **memory}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        beginning = pool.submit(first_steps)
        runs = list(progress(pool.map(partial(one_seed, data=data), wanted), n_seeds, "seeds"))
    minutes = sum(columns["seconds"][-1] for run in runs for columns in run["curves"].values()) / 60
    made = {
        "command": command(wanted[0]),
        "date": time.strftime("%Y-%m-%d"),
        "processor minutes": round(minutes, 1),
        "memory": memory,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "texts": fingerprints(data),
    }
    kinds = {kind: sizes(build(0)) for kind, build in KINDS.items()}
    found = {"definition": definition(), "made": made, "kinds": kinds, "first steps": beginning.result(), "runs": runs}
    rounded = json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 4))
    text = re.sub(r"\[[^][{}]*\]", lambda found: json.dumps(json.loads(found[0])), json.dumps(rounded, indent=1))
    path = file(wanted[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    build(*map(int, sys.argv[1:]))
