"""``detective("14.suspects", rounds, probes, does, why)``: find out what is wrong with mixtures, by priced probes.

A round is a dict, letter -> (bug, mixture, its tokens), and a probe a function of a mixture and tokens that returns a
number, which fails where it is not below ``PASSES``. All probes run on all suspects when the widget is made. What they
found and who has which bug go to the page in base64, which hinders peeking, not cheating.
"""

import copy
import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import torch
import traitlets as t
from torch import Tensor, nn

from moe_tutorial.course.guesses import NO_SCRIPT
from moe_tutorial.course.progress.storage import StoredAnswer, prose
from moe_tutorial.show.web import bundle, style

PASSES = 1e-3  # a probe's number is below it where nothing is wrong; NaN is not
SOUND = "nothing is wrong"
ASKS = (
    "What is wrong with each? Run probes, give your verdicts, and accuse. A run costs the tokens that it reads, "
    "a wrong verdict as much as all probes on one suspect."
)

Probe = Callable[[nn.Module, Tensor], float]
Round = dict[str, tuple[str, nn.Module, Tensor]]


class Detective(StoredAnswer):
    """The widget behind `detective`."""

    _esm = bundle("web/ask/detective.js")
    _css = style("web/ask/ask.css", "web/ask/detective.css")
    label = t.Unicode("The detective").tag(sync=True)
    question = t.Unicode(ASKS).tag(sync=True)
    # probes, rounds, bugs, what they do, sealed, the digest of all that; and perhaps "ours": our bill of each round
    settings = t.Dict().tag(sync=True)

    def __repr__(self) -> str:
        runs = ", ".join(f"{each['name']} ({each['price']} tokens)" for each in self.settings["probes"])
        return f"{self.label}: suspects {self.settings['rounds'][0]}; probes {runs}"

    def page(self) -> str:
        """The probes with their prices, and the bugs, as HTML."""
        given = self.settings
        probes = "".join(f"<li><code>{each['name']}</code>: {prose(each['asks'])}</li>" for each in given["probes"])
        return (
            f'<section class="moe-ask"><p class="moe-label">{self.label}</p><p class="moe-question">{self.question}</p>'
            f"<ul>{probes}</ul><p>Verdicts: {prose('; '.join(given['bugs']))}.</p>{NO_SCRIPT}</section>"
        )


def detective(
    id: str, rounds: Sequence[Round], probes: Sequence[Probe], does: dict[str, str], why: dict[str, str]
) -> Detective:
    """Show the suspects of several rounds, who are probed at a price and accused.

    A probe that raises an exception has failed. Its price is the number of tokens that a mixture, or its copies, read
    while it ran: the most over all suspects. It gets a copy of the mixture, so it may change it.

    Args:
        id: a permanent id: the lesson's number and a name, such as ``"14.suspects"``.
        rounds: two to four dicts, letter -> (bug, mixture, tokens x (T, d)); the bug of a sound mixture is ``SOUND``.
        probes: functions ``probe(moe, x)`` of different names, whose docstring's first line says what they ask.
        does: bug -> what it does, which a suspect's card says when that verdict is chosen.
        why: bug -> why its probes fail, which the page says when that verdict is right.

    Raises ValueError unless the probes are functions of different names.
    """
    names = [getattr(probe, "__name__", "") for probe in probes]
    named = dict(zip(names, probes, strict=True))
    if not named or len(named) < len(names) or not all(map(str.isidentifier, names)):
        raise ValueError(f"{id}: probes are {names}; allowed are functions of different names")

    runs = [
        {letter: {name: run(probe, moe, x) for name, probe in named.items()} for letter, (_, moe, x) in each.items()}
        for each in rounds
    ]
    prices = {name: max(found[name][1] for each in runs for found in each.values()) for name in names}
    asks = {name: (probe.__doc__ or "").strip().partition("\n")[0] for name, probe in named.items()}
    secrets = {
        "why": why,
        "truth": [{letter: bug for letter, (bug, _, _) in each.items()} for each in rounds],
        "found": [{a: {name: why for name, (why, _) in found.items()} for a, found in each.items()} for each in runs],
    }
    shown = {
        "probes": [{"name": name, "asks": asks[name], "price": prices[name]} for name in names],
        "rounds": ["".join(each) for each in rounds],
        "bugs": [SOUND, *sorted({bug for each in secrets["truth"] for bug in each.values()} - {SOUND})],
        "does": does,
        "sealed": b64encode(json.dumps(secrets).encode()).decode(),
    }
    digest = hashlib.sha256(json.dumps([id, shown]).encode()).hexdigest()[:6]  # a link names it
    return Detective("detective", id, settings=shown | {"digest": digest})


def run(probe: Probe, moe: nn.Module, x: Tensor) -> tuple[str, int]:
    """Run a probe on a copy of the mixture. Returns "", or why it fails, and the tokens that were read."""
    tokens = 0

    def count(module: nn.Module, given: tuple, named: dict[str, Any]) -> None:
        nonlocal tokens
        read = (*given, *named.values())[0]
        tokens += read.numel() // read.shape[-1]

    moe = copy.deepcopy(moe).eval()
    moe.register_forward_pre_hook(count, with_kwargs=True)  # a copy of the copy has it, too
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same draws for each suspect, and when the page is made anew
        try:
            value = probe(moe, x.clone())
            why = "" if float(value.detach() if isinstance(value, Tensor) else value) < PASSES else "FAILS"
        except Exception as error:
            why = f"stopped with {type(error).__name__}: {error}".partition("\n")[0].strip(": ")
    return why, tokens
