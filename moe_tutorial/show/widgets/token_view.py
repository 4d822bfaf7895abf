"""Who handled each character? A text tinted by the experts that a small GPT's routers chose, block by block.

Everything is in the page: block, character and expert are chosen there, in JupyterLab and on the website alike.
"""

from collections.abc import Sequence

import anywidget
import numpy as np
import traitlets as t

from moe_tutorial.layers.checks import check_count
from moe_tutorial.show.arrays import MAX_EXPERTS, Array, floats, refuse, shaped, whole_below
from moe_tutorial.show.web import bundle, style

MAX_CHARACTERS = 2_000
PROBABILITY_STEPS = 65_535
"""A probability travels as a uint16: it comes back to within 0.00001."""


class TokenView(anywidget.AnyWidget):
    """The widget behind `token_view`. Everything it shows is in its state."""

    _esm = bundle("web/widgets/token_view.js")
    _css = style()
    settings = t.Dict().tag(sync=True)
    text = t.Unicode().tag(sync=True)
    indices = t.Bytes().tag(sync=True)  # uint8 (blocks, characters, k), best first
    weights = t.Bytes().tag(sync=True)  # float32 (blocks, characters, k)
    probs = t.Bytes().tag(sync=True)  # uint16 (blocks, characters, experts), or empty

    def __repr__(self) -> str:
        s = self.settings
        return f"Token view: {len(self.text)} characters, {s['experts']} experts, blocks: {s['blocks']} (interactive)"


def token_view(
    text: str,
    indices: Array,
    weights: Array,
    n_experts: int,
    *,
    labels: Sequence[tuple[str, int]] | None = None,
    probs: Array | None = None,
    title: str | None = None,
) -> TokenView:
    """A text in which every character shows the expert that handled it, in the block that the reader chooses.

    A character is a token. One picked character shows its path through all blocks, one picked expert its characters.

    Args:
        text: T characters, 1 to 2,000.
        indices: (blocks, T, k) the chosen experts, best first: `routing.indices` of each block's record.
        weights: (blocks, T, k) their gate weights, 0 or more.
        n_experts: E, 1 to 16.
        labels: (name, length) of the text's parts in order, as [("prose", 120), ("code", 80)]; the lengths sum to T.
            Each part gets a heading, and the page counts which experts handle it.
        probs: (blocks, T, E) the routers' probabilities, shown as bars for the picked character.
        title: a few words above the text that name what is shown; its message is computed.
    """
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_CHARACTERS:
        what = f"{len(text)} characters long" if isinstance(text, str) else type(text).__name__
        raise ValueError(f"text is {what}; allowed is a str of 1 to {MAX_CHARACTERS} characters")
    check_count("n_experts", n_experts, high=MAX_EXPERTS)
    chosen = _chosen(indices, len(text), n_experts)
    gates = shaped(weights, "weights", chosen.shape, ", that of indices")
    refuse(gates[gates < 0], "weights", "gate weights of 0 or more")
    return TokenView(
        settings={
            "experts": n_experts,
            "blocks": chosen.shape[0],
            "k": chosen.shape[2],
            "labels": _parts(labels, len(text)),
            "title": title or "",
        },
        text=text,
        indices=chosen.tobytes(),
        weights=gates.tobytes(),
        probs=b"" if probs is None else _probabilities(probs, (*chosen.shape[:2], n_experts)).tobytes(),
    )


def _chosen(indices: Array, n_characters: int, n_experts: int) -> np.ndarray:
    """The chosen experts as uint8 (blocks, T, k)."""
    chosen = floats(indices, "indices")
    if chosen.ndim != 3 or chosen.shape[1] != n_characters or not chosen.shape[0] or not chosen.shape[2]:
        raise ValueError(
            f"indices has shape {chosen.shape}; allowed is (blocks, {n_characters}, k), as the text is long"
        )
    chosen = whole_below(chosen, n_experts, "indices")
    if (np.diff(np.sort(chosen, -1), axis=-1) == 0).any():
        raise ValueError("indices names an expert twice for one character; allowed are k different experts")
    return chosen


def _parts(labels: Sequence[tuple[str, int]] | None, n_characters: int) -> list[list]:
    parts = [[str(name), length] for name, length in labels or ()]
    total = sum(check_count("a length in labels", length) for _, length in parts)
    if parts and total != n_characters:
        raise ValueError(f"labels cover {total} characters; allowed are {n_characters}, as the text is long")
    return parts


def _probabilities(probs: Array, shape: tuple[int, ...]) -> np.ndarray:
    values = shaped(probs, "probs", shape)
    refuse(values[(values < 0) | (values > 1 + 1e-4)], "probs", "probabilities from 0 to 1")
    return (values.clip(0, 1) * PROBABILITY_STEPS).round().astype(np.uint16)
