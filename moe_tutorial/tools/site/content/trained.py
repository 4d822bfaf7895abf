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
from moe_tutorial.study import CHARACTERS, decode, encode, loss_by_domain, texts, train_gpt
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
CLEAR = 0.002  # a lead in the scores that survives the page's own rounding


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
    not trained on. Broken: without this expert, at least half of them are others.
    """
    model, E = dequantised(gpt), gpt.config.n_experts
    dares = _right_ends(model)
    for i, off in enumerate(torch.eye(len(gpt.blocks) * E).view(-1, len(gpt.blocks), E)):
        reduced = without_experts(model, off)
        for begin, group in dares.items():
            for dare, written in zip(group, _greedy(reduced, [dare.text for dare in group]), strict=True):
                words = written[: len(dare.right)]
                if len(words) < len(dare.right) or 2 * fallen(dare.right, words) >= letters(dare.right):
                    dare.experts.append((*divmod(i, E), words))
            dares[begin] = [dare for dare in group if len(dare.experts) <= 2]
    found = [dare for group in dares.values() for dare in group if dare.experts]
    found = [dare for dare in found if all(len(words) == len(dare.right) for *_, words in dare.experts)]
    found.sort(key=lambda dare: (len(dare.experts), not dare.text[0].isupper(), -len(dare.text)))
    best = {}
    for dare in found:
        best.setdefault(dare.right[-6:], dare)  # other words than the dares before it
    return list(best.values())[:MOST]


def letters(text: str) -> int:
    """How many characters are no blanks."""
    return len("".join(text.split()))


def fallen(right: str, written: str) -> int:
    """How many letters of the right text are others in what was written."""
    return sum(a != b and not a.isspace() for a, b in zip(right, written, strict=True))


def _right_ends(model: GPT) -> dict[int, list[Dare]]:
    """What the model says rightly in text that it has not read, by the length of the beginning; no experts yet."""
    context, ends = model.config.context, {begin: [] for begin in BEGINNING}
    data, more = texts(), texts(MORE)
    for name, source in SOURCES.items():
        row = data.names.index(name)
        read = data.train[row]
        unread = torch.cat([more.train[row], more.test[row]])[len(read) :]
        text, known = decode(unread), decode(read)
        starts = [word.start() for word in re.finditer(r"(?<=\s)\S", text[:-context])]
        for some in torch.tensor(starts).split(64):
            tokens = unread[some[:, None] + torch.arange(context)]
            scores = model(tokens[:, :-1])[0]
            right = (scores.argmax(-1) == tokens[:, 1:]) & (_lead(scores) > CLEAR)
            for start, good in zip(some.tolist(), right.tolist(), strict=True):
                for run in re.finditer("1+", "".join(str(int(each)) for each in good)):
                    for begin in range(max(run.start() + 1, BEGINNING.start), min(run.end(), BEGINNING.stop)):
                        at, stop = start + begin, start + min(run.end() + 1, begin + WIDEST)
                        inside = re.match(r"\w\w", text[stop - 1 : stop + 1])
                        end = re.sub(r"\w+$" if inside else r"\s+$", "", text[at:stop]).rstrip()
                        seen = text[at - 16 : at] + end in known
                        if letters(end) >= LETTERS and not seen and not set(text[start : at + len(end)]) & UGLY:
                            ends[begin].append(Dare(text[start:at], end, [], source))
    return ends


def _greedy(model: GPT, beginnings: list[str]) -> list[str]:
    """What the model writes after beginnings of one length at temperature 0, until rounding may turn a character."""
    if not beginnings:
        return []
    tokens = model.generate(torch.stack([encode(text) for text in beginnings]), WIDEST, temperature=0)
    begin = len(beginnings[0])
    clear = (_lead(model(tokens[:, :-1])[0][:, begin - 1 :]) > CLEAR).int().cumprod(1).sum(1).tolist()
    return [decode(row[begin:])[:n] for row, n in zip(tokens, clear, strict=True)]


def _lead(scores: torch.Tensor) -> torch.Tensor:
    """How far the likeliest character's score is ahead of the next: (..., V) -> (...)."""
    best, other = scores.topk(2).values.unbind(-1)
    return best - other
