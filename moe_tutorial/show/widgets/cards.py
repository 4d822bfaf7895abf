"""Small HTML pieces for `sweep` that adapt to the theme and the width of the page (``web/widgets/cards.css``)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from html import escape

from torch import Tensor

from moe_tutorial.study.usage import DEAD_BELOW


def message(title: str, note: str = "") -> str:
    """A computed title and the grey line below it."""
    below = f'<p class="moe-adds">{escape(note)}</p>' if note else ""
    return f'<p class="moe-says">{escape(title)}</p>{below}'


def expert_cards(weights: Sequence[float], write: Callable[[float], str] = "{:.2f}".format) -> str:
    """One card per expert: its colour and gate weight if it is chosen, and "not asked" if it is not.

    Args:
        weights: (E,) gate weight of each expert, 0 where it was not chosen; at most 16 experts.
        write: the text for a weight.
    """
    cards = []
    for expert, weight in enumerate(weights):
        chosen, text = (f' class="moe-chosen" style="{dye(expert)}"', write(weight)) if weight else ("", "not asked")
        cards.append(f"<li{chosen}><b>{expert}</b><span>{text}</span></li>")
    return f'<ul class="moe-cards" aria-label="Experts">{"".join(cards)}</ul>'


def pixels(image: Tensor, size: int = 120) -> str:
    """A small picture of grey values.

    Args:
        image: (H, W) numbers from 0 to 1; 1 has the colour of the text.
        size: width in CSS pixels.
    """
    height, width = image.shape
    squares = "".join(
        f'<rect x="{x}" y="{y}" width="1.02" height="1.02" opacity="{ink:.2f}"/>'
        for y, row in enumerate(image.tolist())
        for x, ink in enumerate(row)
        if ink
    )
    return f'<svg class="moe-pixels" viewBox="0 0 {width} {height}" width="{size}" aria-hidden="true">{squares}</svg>'


def beside(*pieces: str) -> str:
    """Pieces side by side, or one below the other on a narrow page."""
    return f'<div class="moe-beside">{"".join(f"<div>{piece}</div>" for piece in pieces)}</div>'


def bars(
    rows: Mapping[str, float],
    unit: str,
    strong: Sequence[str] = (),
    whole: float = 0,
    texts: Mapping[str, str] | None = None,
) -> str:
    """Horizontal grey bars, each with its name on the left and its number on the right.

    Args:
        rows: name -> nonnegative number; the largest number has the longest bar.
        unit: what the numbers count, as a label for screen readers.
        strong: names drawn in the text colour; the others are lighter.
        whole: the number that the longest bar stands for, if no row has a larger one.
        texts: name -> what is written beside the bar, if it is not the number.
    """
    largest = max(*rows.values(), whole) or 1
    lines = []
    for name, number in rows.items():
        kind = ' class="moe-strong"' if name in strong else ""
        bar = f'<i{kind} style="flex:0 1 {75 * number / largest:.2f}%"></i>'
        text = escape(texts[name]) if texts else f"{number:,.0f}"
        lines.append(f"<span>{escape(name)}</span><span>{bar}<b>{text}</b></span>")
    return _listed("moe-numbers", unit, lines)


def dye(expert: int) -> str:
    """An inline style with an expert's colours: ``--c`` is its own, ``--o`` that of text on it."""
    return f"--c:var(--moe-e{expert});--o:var(--moe-on{expert})"


def badge(expert: int, is_dead: bool = False) -> str:
    """An expert's number on its colour, or struck through in an empty frame if the expert is dead."""
    attributes = 'class="moe-disc moe-dead"' if is_dead else f'class="moe-disc" style="{dye(expert)}"'
    return f"<span {attributes}>{expert}</span>"


def expert_bars(
    lengths: Sequence[float],
    texts: Sequence[str],
    line: float,
    label: str,
    *,
    behind: Sequence[float] = (),
    least: float = 0,
) -> str:
    """One bar per expert, in its colour, with its text on the right. An expert with length 0 is struck through.

    Args:
        lengths: (E,) nonnegative; at most 16 experts.
        texts: (E,) texts beside the bars.
        line: position of the vertical reference line.
        label: what the bars are, for screen readers.
        behind: (E,) lengths of dashed frames behind the bars.
        least: minimum length that the scale covers.
    """
    longest = max(*lengths, *behind, line, least)
    upright = f'<i class="moe-upright" style="left:{100 * line / longest:.1f}%"></i>'
    rows = []
    for expert, (length, text) in enumerate(zip(lengths, texts, strict=True)):
        drawn = f'<i class="moe-frame" style="width:{100 * behind[expert] / longest:.1f}%"></i>' if behind else ""
        if length:
            drawn += f'<i style="width:{100 * length / longest:.1f}%;background:var(--moe-e{expert})"></i>'
        rows.append(f"{badge(expert, not length)}<span>{drawn}{upright}</span><span>{escape(text)}</span>")
    return _listed("moe-usages", label, rows, f"--words:{max(map(len, texts)) + 1}ch")


def percent(share: float) -> str:
    """A share in per cent, as ``percent`` in ``web/words.js`` writes it."""
    if share < 0.0005:
        return "0\N{NO-BREAK SPACE}%"
    step = Decimal("0.1") if share < 0.1 else Decimal(1)
    return f"{Decimal(100 * share).quantize(step, ROUND_HALF_UP)}\N{NO-BREAK SPACE}%"


def usage_bars(shares: Sequence[float], idle: str = "dead") -> str:
    """One bar per expert, in its colour, with its share of the row. The vertical line marks even use.

    Args:
        shares: (E,) summing to 1; at most 16 experts.
        idle: the word for an expert with less than 1 % of the choices, which is struck through.
    """
    working = [0.0 if share < DEAD_BELOW else float(share) for share in shares]
    texts = [percent(share) if share else idle for share in working]
    return expert_bars(working, texts, 1 / len(working), "Share of each expert", least=1)


def _listed(kind: str, label: str, rows: Iterable[str], style: str = "") -> str:
    items = "".join(f'<div role="listitem">{row}</div>' for row in rows)
    return f'<div class="{kind}" role="list" aria-label="{escape(label)}" style="{style}">{items}</div>'
