"""The long comparison of lesson 08: a dense GPT, the same with experts, and the same with dice, over ten seeds.

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
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from moe_tutorial.layers import GPT, GPTConfig, Routing
from moe_tutorial.study.data import CHARACTERS, character_class, texts
from moe_tutorial.study.language import test_windows, train_gpt
from moe_tutorial.study.training import progress, seeds
from moe_tutorial.study.usage import mutual_information

COMMAND = "make comparison"
PACKAGE = Path(__file__).parents[1]
FOLDER = PACKAGE.parent / "_build" / "comparison"
N_SEEDS, STEPS, DENSE_STEPS, EVERY = 10, 800, 1200, 100

EXPERTS = GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128)
# The router's logits cost as much as four neurons, which read and write one vector each.
DENSE = GPTConfig(len(CHARACTERS), d_hidden=EXPERTS.d_hidden + EXPERTS.n_experts // 2)


def dice(tokens: Tensor) -> Routing:
    """The control: a router that rolls a die for each token. The experts are the same, and nobody chooses them."""
    chosen = torch.randint(EXPERTS.n_experts, (len(tokens), 1), device=tokens.device)
    even = tokens.new_full((len(tokens), EXPERTS.n_experts), 1 / EXPERTS.n_experts)
    return Routing(even.log(), even, chosen, torch.ones_like(chosen, dtype=tokens.dtype))


def one_seed(seed: int) -> dict:
    """Train the three in turn, a hundred steps each, so that their times are those of one machine at one time."""
    torch.set_num_threads(1)
    data = texts()
    rolled = GPTConfig(**vars(EXPERTS) | {"mixture": {"router": dice}})
    models, runs, curves = {}, {}, {}
    for name, config, steps in (("dense", DENSE, DENSE_STEPS), ("experts", EXPERTS, STEPS), ("dice", rolled, STEPS)):
        torch.manual_seed(seed)
        models[name] = GPT(config)
        curves[name] = []
        runs[name] = train_gpt(models[name], data, seed=seed, steps=steps, every=EVERY)
    untrained = information(models["experts"], data)
    for _ in range(DENSE_STEPS // EVERY + 1):
        for name, run in runs.items():
            if snapshot := next(run, None):
                curves[name].append({"seconds": snapshot.seconds, "loss": snapshot.loss.tolist()})
    trained = information(models["experts"], data)
    return {"seed": seed, "curves": curves, "information": {"trained": trained, "untrained": untrained}}


@torch.no_grad()
def information(model: GPT, data) -> dict[str, list[float]]:
    """Bits that the expert of a test character tells in each block about its domain and its class, and by chance."""
    tokens, _, domains = test_windows(model, data)
    training = model.training
    model.eval()
    records = model(tokens)[2]
    model.train(training)
    labels = {"domain": domains[:, None].expand_as(tokens).flatten(), "class": character_class(tokens).flatten()}
    shuffled = torch.randperm(tokens.numel(), generator=torch.Generator().manual_seed(0))
    found = {}
    for name, label in labels.items():
        found[name] = [mutual_information(r.indices[:, 0], label) for r in records]
        found[f"{name}, shuffled"] = [mutual_information(r.indices[:, 0], label[shuffled]) for r in records]
    return found


def digest() -> str:
    """Of all the code that the numbers rest on, and of what runs it."""
    code = hashlib.sha256(f"{sys.version_info[:2]} {torch.__version__}".encode())
    here = PACKAGE / "study"
    modules = [here / f"{name}.py" for name in ("comparison", "data", "language", "training", "usage")]
    for path in sorted((PACKAGE / "layers").glob("*.py")) + modules:
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
    """Run the comparison if its file is missing, on all cores; about four minutes on two."""
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
