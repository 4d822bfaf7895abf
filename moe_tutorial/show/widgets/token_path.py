"""A picture of one token's path through a mixture: the experts' scores, the picked experts, and their sum."""

import html
from typing import Any

from torch import Tensor

from moe_tutorial.show.picture import Picture, framed
from moe_tutorial.show.web import read
from moe_tutorial.show.widgets.cards import badge, dye, pixels

ROW = 30
"""Height of an expert's row in CSS pixels, as in ``web/widgets/token_path.css``."""


def token_path(routing: Any, token: int = 0, name: str = "", image: Tensor | None = None) -> Picture:
    """Draw one token's path.

    Args:
        routing: the Routing that a router or a mixture returned; at most 16 experts.
        token: index of the token in the routing.
        name: the token's name in the title; by default "token" and its index.
        image: (H, W) numbers from 0 to 1, drawn as the token; by default it is a circle with an x.
    """
    name = name or f"token {token}"
    probs = routing.probs[token].tolist()
    picked = dict(zip(routing.indices[token].tolist(), routing.weights[token].tolist(), strict=True))
    n = len(probs)
    experts, counts = listed([str(i) for i in picked]), listed([f"{weight:.2f}" for weight in picked.values()])
    title = f"{name[:1].upper()}{name[1:]} asks {'expert' if len(picked) == 1 else 'experts'} {experts}, which "
    title += f"{'counts' if len(picked) == 1 else 'count'} {counts}"
    logits = routing.logits[token].tolist()
    rows = "".join(_row(i, logits[i], prob, max(probs), picked.get(i)) for i, prob in enumerate(probs))
    start = '<b class="moe-end">x</b>' if image is None else pixels(image, 64)
    terms = " + ".join(f"<span>{weight:.2f} · E{badge(i)}(x)</span>" for i, weight in picked.items())
    scores = ", ".join(f"expert {i} {prob:.2f}" for i, prob in enumerate(probs))
    alt = f"{title}. The router's probabilities: {scores}. The answer y is the sum of the picked experts' answers, "
    alt += "each times its gate weight."
    content = (
        f'<div class="moe-path" role="img" aria-label="{html.escape(alt)}"><div aria-hidden="true">'
        f"{start}{_fan(n, dict.fromkeys(range(n), 0.0) | picked, towards_sum=False)}"
        f'<div class="moe-rows">{rows}</div>{_fan(n, picked, towards_sum=True)}<b class="moe-end">y</b></div>'
        f'<p aria-hidden="true">y = {terms}</p></div>'
    )
    note = (
        "For each expert its logit, a bar for its probability, and the probability. In colour: the chosen, and their "
        "answers' weights."
    )
    css = read("web/widgets/cards.css") + read("web/widgets/token_path.css")
    return framed(title, note, f"<style>{css}</style>{content}")


def listed(names: list[str]) -> str:
    """Join names for a sentence: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _row(expert: int, logit: float, prob: float, largest: float, weight: float | None) -> str:
    score = f"{logit:.2f}".replace("-", "−")
    bar = f'<span>{score}</span><span><i style="width:{100 * prob / largest:.1f}%"></i></span>'
    if weight is None:
        return f'<div><span class="moe-disc">{expert}</span>{bar}<span>{prob:.2f}</span></div>'
    return (
        f'<div class="moe-picked" style="{dye(expert)}">{badge(expert)}{bar}'
        f"<span>{prob:.2f}</span><b>× {weight:.2f}</b></div>"
    )


def _fan(n: int, weights: dict[int, float], towards_sum: bool) -> str:
    """SVG lines between one end and the experts' rows, wider for larger weights. They stretch with their column."""
    height, lines = ROW * n, ""
    for expert, weight in weights.items():
        y, middle = ROW * (expert + 0.5), height / 2
        ends = (y, middle) if towards_sum else (middle, y)
        style = f'style="stroke:var(--moe-e{expert});stroke-width:{2 + 8 * weight:.1f}"' if weight else ""
        lines += f'<path d="M0 {ends[0]}C50 {ends[0]} 50 {ends[1]} 100 {ends[1]}" {style}/>'
    return f'<svg viewBox="0 0 100 {height}" preserveAspectRatio="none" style="height:{height}px">{lines}</svg>'
