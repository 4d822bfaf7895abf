"""A table of a layer's experts: how much of a text each takes, and which of its characters."""

from collections import Counter

from torch import Tensor

from moe_tutorial.layers import Routing
from moe_tutorial.show.picture import Picture, table
from moe_tutorial.show.widgets.cards import percent
from moe_tutorial.study.data import decode

MARKS = str.maketrans({" ": "·", "\n": "⏎"})


def who_answers(routing: Routing, tokens: Tensor, title: str) -> Picture:
    """The table of one layer.

    Args:
        routing: of the layer, for all tokens (T,) of a text; an expert's characters are those that choose it first.
        title: as in :func:`picture`.
    """
    text, chosen = decode(tokens), routing.indices[:, 0].tolist()
    rows = {}
    for expert in range(routing.probs.shape[1]):
        own = [character.translate(MARKS) for character, e in zip(text, chosen, strict=True) if e == expert]
        often = " ".join(character for character, _ in Counter(own).most_common(6))
        rows[f"expert {expert}"] = [percent(len(own) / len(text)), often]
    return table(
        ["", "takes", "most often"],
        rows,
        title,
        "The expert's share of all characters, and its most frequent ones. · is a space, ⏎ a line end.",
    )
