"""A GPT with experts that runs in the page: type, see who answers each character, and switch experts off.

The page gets the model's weights, rounded to bytes, and needs neither a kernel nor a network.
"""

import copy
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import anywidget
import numpy as np
import torch
import traitlets as t
from torch import Tensor

from moe_tutorial.layers import GPT
from moe_tutorial.show.arrays import check_experts, floats
from moe_tutorial.show.web import bundle, style
from moe_tutorial.study.data import CHARACTERS


class Dare(NamedTuple):
    """A sentence that a model goes on with rightly, and no longer does without one of a few experts."""

    text: str
    """Its beginning."""
    right: str
    """How it goes on, and how the model with all experts goes on."""
    experts: list[tuple[int, int, str]]
    """Block and number of each expert that breaks it alone (at least half of the letters change), and what it writes
    without that one."""
    source: str
    """Where the sentence is from."""


class LiveGpt(anywidget.AnyWidget):
    """The widget behind `live_gpt`. Everything it shows is computed in the page."""

    _esm = bundle("web/widgets/live_gpt.js")
    _css = style("web/widgets/live_gpt.css")
    settings = t.Dict().tag(sync=True)
    weights = t.Bytes().tag(sync=True)  # as from `quantise`

    def __repr__(self) -> str:
        s = self.settings
        return f"GPT that runs in the page: {s['experts']} experts in each block, blocks: {s['blocks']} (interactive)"


def live_gpt(
    model: GPT,
    text: str,
    *,
    characters: str = CHARACTERS,
    title: str | None = None,
    dares: Sequence[Dare] = (),
    link: bool = False,
) -> LiveGpt:
    """A GPT with experts to type into. Each character shows the experts that the model asked for it.

    The page computes with weights that are rounded to a byte each, and routes as the model does in evaluation mode.

    Args:
        model: a GPT with experts as ``GPTConfig(feed_forward="moe")`` builds it, of at most 4 blocks and 16 experts in
            each, without shared experts or a router of one's own.
        text: what the page shows first, 1 to 400 of the characters.
        characters: the model's vocabulary, a character's token id is its index.
        title: a few words above the text that name what is shown; its message is computed.
        dares: sentences to break by switching off an expert, shown in turn; ``text`` may be one of them.
        link: on the site, keep text and experts in the page's URL. At most one on a page should do so.
    """
    weights, sizes = quantise(model)
    if unknown := [c for c in text if c not in characters]:
        raise ValueError(f"text holds {unknown[0]!r}; allowed are the model's characters, {characters!r}")
    own = {"characters": characters, "text": text, "title": title or "", "link": bool(link)}
    own["dares"] = [dare._asdict() for dare in dares]
    # A link names the weights, since another model would answer otherwise.
    return LiveGpt(settings=sizes | own | {"digest": hashlib.sha256(weights).hexdigest()[:8]}, weights=weights)


def quantise(model: GPT) -> tuple[bytes, dict[str, int]]:
    """A model's weights as the page reads them, and its sizes.

    Each row of a weight becomes its scale, a bfloat16 of two bytes, and its values divided by that, as int8.

    Raises:
        ValueError: the model is not one that `live_gpt` can show, or a weight is NaN or infinite.
    """
    config = model.config
    if config.feed_forward != "moe" or config.n_shared or config.router is not None:
        allowed = (
            'one with experts, as GPTConfig(feed_forward="moe") builds it, without shared experts or another router'
        )
        raise ValueError(f"model is a GPT that the page cannot run; allowed is {allowed}")
    check_experts(config.n_experts, "model")
    rows = [np.hstack([scale.view(torch.int8), codes]) for scale, codes in map(_rounded, _weights(model))]
    return b"".join(each.tobytes() for each in rows), {
        "context": config.context,
        "blocks": config.n_layers,
        "heads": config.n_heads,
        "width": config.d_model,
        "hidden": config.d_hidden,
        "experts": config.n_experts,
        "k": config.top_k,
    }


def dequantised(model: GPT) -> GPT:
    """A copy of the model with the weights that the page computes with."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for weight in _weights(rounded):
            scale, codes = _rounded(weight)
            weight.copy_((scale.float() * codes).view_as(weight))
    return rounded


def _rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The scale of each row, bfloat16 (rows, 1), and the codes, int8 (rows, columns)."""
    values = torch.from_numpy(floats(weight, "a weight of the model")).reshape(-1, weight.shape[-1])
    scale = (values.abs().amax(1, keepdim=True) / 127).bfloat16()
    return scale, (values / scale.float().clamp(min=1e-30)).round().clamp(-127, 127).to(torch.int8)


def _weights(model: GPT) -> Iterator[Tensor]:
    """The weights of a model that the page can run, in the order in which web/gpt.js reads them."""
    yield from (model.token.weight, model.position.weight)
    for block in model.blocks:
        for part in (block.attention_norm, block.attention.query_key_value, block.attention.out):
            yield from (part.weight, part.bias)
        yield from (block.feed_forward_norm.weight, block.feed_forward_norm.bias, block.feed_forward.router.weight)
        experts = block.feed_forward.experts
        yield from (experts.w_in, experts.b_in, experts.w_out, experts.b_out)
    yield from (model.norm.weight, model.norm.bias, model.head.weight)
