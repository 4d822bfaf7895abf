"""The site's own GPT with experts, by lesson 08's recipe: trained when the site is built, and kept in ``_build``.

With it come sentences that it finishes rightly as long as it has all its experts: the front page's dares.
"""

import re
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

from moe_tutorial.layers import GPT, GPTConfig
from moe_tutorial.show.widgets.live_gpt import Dare, dequantised
from moe_tutorial.study import CHARACTERS, decode, loss_by_domain, texts, train_gpt
from moe_tutorial.study.data import Texts
from moe_tutorial.study.language import without_experts
from moe_tutorial.tools.notebooks.executed import fingerprint

SEED, STEPS = 0, ((2_400, 3e-3), (600, 3e-4))  # steps and learning rate, one after the other
MADE_BY = ("layers", "study/data.py", "study/language.py", "show/widgets/live_gpt.py")
ROUNDING = 0.01  # nats: a page whose model lost more by rounding would show another model than the one trained
SOURCES = {"prose": "Python's manual", "code": "Python's library"}
BEGINNING = range(24, 46)  # characters of a dare's beginning
LETTERS, WIDEST, MOST = 8, 12, 12  # of a dare's end: letters at least, and characters at most; dares
UGLY = set("\n?")  # a line's end, and what stands for a character that the model does not know
MORE = 140_000  # characters of each text, of which the model reads the first 108,000


@cache
def trained_gpt(repository: Path) -> tuple[GPT, list[Dare]]:
    """The model, in evaluation mode, and its dares, from ``_build`` unless the code that makes them has changed.

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
            torch.set_num_threads(1)
            data = texts()
            _train(gpt, data)
            kept = {"code": code, "weights": gpt.state_dict(), "dares": [tuple(d) for d in find_dares(gpt)]}
            torch.save(kept, part := file.with_suffix(".part"))
            part.replace(file)
    return gpt, [Dare(*dare) for dare in kept["dares"]]


def _train(gpt: GPT, data: Texts) -> None:
    for steps, rate in STEPS:
        *_, last = train_gpt(gpt, data, seed=SEED, steps=steps, learning_rate=rate, every=steps)
    loss, rounded = last.loss.mean().item(), loss_by_domain(dequantised(gpt), data).mean().item()
    print(f"The site's GPT: test loss {loss:.4f} nats, {rounded:.4f} with weights rounded to a byte each.", flush=True)
    if rounded - loss > ROUNDING:
        raise ValueError(f"rounding costs {rounded - loss:.3f} nats; allowed is {ROUNDING}")


@torch.no_grad()
def find_dares(gpt: GPT) -> list[Dare]:
    """Sentences of prose and code that the page's model finishes rightly, and that one or two experts alone break.

    Rightly: at temperature 0, at least 8 characters that are no blanks, up to a word's end, in text that the model was
    not trained on. Broken: without this expert, at least half of them are others. First come those of one expert. At
    most two sentences need the same experts.
    """
    model, E, context, found = dequantised(gpt), gpt.config.n_experts, gpt.config.context, []
    each = torch.eye(len(gpt.blocks) * E).view(-1, len(gpt.blocks), E)
    without = {divmod(i, E): without_experts(model, off) for i, off in enumerate(each)}
    data, more = texts(), texts(MORE)
    for name, source in SOURCES.items():
        row = data.names.index(name)
        known = decode(data.train[row])
        unread = torch.cat([more.train[row], more.test[row]])[len(known) :]
        words = torch.tensor([word.start() for word in re.finditer(r"\S+", decode(unread[:-context]))])
        tokens = unread[words[:, None] + torch.arange(context)]
        right = torch.cat([model(some[:, :-1])[0].argmax(-1) == some[:, 1:] for some in tokens.split(256)])
        for begin in BEGINNING:
            stop = begin + right[:, begin - 1 :][:, :WIDEST].int().cumprod(1).sum(1)
            ends = {i: _end(decode(tokens[i]), begin, stop[i], known) for i in (stop > begin).nonzero()[:, 0].tolist()}
            ends = {i: end for i, end in ends.items() if end}
            given = tokens[list(ends), :begin]
            written = {at: reduced.generate(given, WIDEST, temperature=0)[:, begin:] for at, reduced in without.items()}
            for place, (i, end) in enumerate(ends.items()):
                said = [(*at, decode(words[place, : len(end)])) for at, words in written.items()]
                broken = [one for one in said if 2 * fallen(end, one[2]) >= letters(end)]
                found.append(Dare(decode(tokens[i, :begin]), end, broken, source))
    found = [dare for dare in found if len(dare.experts) in (1, 2)]
    found.sort(key=lambda dare: (-len(dare.experts), dare.text[0].isupper(), len(dare.text)))
    found = list({dare.text[:20]: dare for dare in found}.values())  # the last of those that begin alike
    best = {dare.right[-6:]: dare for dare in found}  # or end alike
    dares = sorted(best.values(), key=found.index, reverse=True)
    needs = [{expert[:2] for expert in dare.experts} for dare in dares]
    return [dare for i, dare in enumerate(dares) if needs[:i].count(needs[i]) < 2][:MOST]


def _end(text: str, begin: int, stop: int, known: str) -> str:
    """What the model says rightly in this text, from ``begin`` to a word's end before ``stop``, if it can be a dare."""
    inside = re.match(r"\w\w", text[stop - 1 : stop + 1])
    end = re.sub(r"\w+$" if inside else r"\s+$", "", text[begin:stop]).rstrip()
    known_by_heart = text[begin - 16 : begin] + end in known
    return "" if letters(end) < LETTERS or known_by_heart or UGLY & set(text[: begin + len(end)]) else end


def letters(text: str) -> int:
    """How many characters are no blanks."""
    return len("".join(text.split()))


def fallen(right: str, written: str) -> int:
    """How many letters of the right text are others in what was written."""
    return sum(a != b and not a.isspace() for a, b in zip(right, written, strict=True))
