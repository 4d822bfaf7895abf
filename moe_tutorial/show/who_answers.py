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
    text, chosen, weight = decode(tokens), routing.indices[:, 0].tolist(), routing.weights[:, 0].tolist()
    rows = {}
    for expert in range(routing.probs.shape[1]):
        own = [i for i, e in enumerate(chosen) if e == expert]
        often = [character for character, _ in Counter(text[i] for i in own).most_common(6)]
        surest = [max((i for i in own if text[i] == c), key=weight.__getitem__) for c in often[:3]]
        places = [f"{text[max(0, i - 8) : i]}[{text[i]}]{text[i + 1 : i + 5]}" for i in surest]
        words = [" ".join(c.translate(MARKS) for c in often), " | ".join(place.translate(MARKS) for place in places)]
        rows[f"expert {expert}"] = [percent(len(own) / len(text)), *words]
    return table(
        ["", "takes", "most often", "where it is surest"],
        rows,
        title,
        "The expert's share of all characters, its most frequent ones, and of the first three the place [in brackets] "
        "with the largest weight. · is a space, ⏎ a line end.",
    )
