"""The site's own GPT with experts, by lesson 08's recipe: trained when the site is built, and kept in ``_build``."""

from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

from moe_tutorial.layers import GPT, GPTConfig
from moe_tutorial.show.widgets.live_gpt import dequantised
from moe_tutorial.study import CHARACTERS, loss_by_domain, texts, train_gpt
from moe_tutorial.tools.notebooks.executed import fingerprint

SEED, STEPS = 0, 600
SENTENCE = "The 12 monkeys ate 7*8=56 bananas, def f(self"  # what the site's pages begin with: a bit of each domain
MADE_BY = ("layers", "study/data.py", "study/language.py", "show/widgets/live_gpt.py")
ROUNDING = 0.01  # nats: a page whose model lost more by rounding would show another model than the lesson's


@cache
def trained_gpt(repository: Path) -> GPT:
    """The model, in evaluation mode, from ``_build`` unless the code that makes it has changed.

    Raises:
        ValueError: rounding its weights for the page costs more than 0.01 nats.
    """
    code = fingerprint([*(repository / "moe_tutorial" / part for part in MADE_BY), Path(__file__)]) + torch.__version__
    file = repository / "_build" / "gpt.pt"
    file.parent.mkdir(exist_ok=True)
    with FileLock(file.with_suffix(".lock")):  # the site's pages are made by parallel processes
        kept = torch.load(file) if file.exists() else {}
        torch.manual_seed(SEED)
        gpt = GPT(GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128, n_experts=8)).eval()
        if kept.get("code") == code:
            gpt.load_state_dict(kept["weights"])
        else:
            _train(gpt)
            torch.save({"code": code, "weights": gpt.state_dict()}, part := file.with_suffix(".part"))
            part.replace(file)
    return gpt


def _train(gpt: GPT) -> None:
    torch.set_num_threads(1)
    data = texts()
    *_, last = train_gpt(gpt, data, seed=SEED, steps=STEPS, every=STEPS)
    loss, rounded = last.loss.mean().item(), loss_by_domain(dequantised(gpt), data).mean().item()
    print(f"The site's GPT: test loss {loss:.4f} nats, {rounded:.4f} with weights rounded to a byte each.", flush=True)
    if rounded - loss > ROUNDING:
        raise ValueError(f"rounding costs {rounded - loss:.3f} nats; allowed is {ROUNDING}")
