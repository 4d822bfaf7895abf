"""Small HTML pieces for `sweep`: they follow the theme and the width of the page by themselves (``web/cards.css``)."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from moe_tutorial.study.usage import DEAD_BELOW


def message(title: str, note: str = "") -> str:
    """A computed title and the grey line below it."""
    below = f'<p class="moe-adds">{escape(note)}</p>' if note else ""
    return f'<p class="moe-says">{escape(title)}</p>{below}'


def expert_cards(weights: Sequence[float]) -> str:
    """One card an expert: in its colour with its gate weight where it is chosen, empty where it is not.

    Args:
        weights: (E,) gate weight of each expert, 0 where it was not chosen; at most 16 experts.
    """
    cards = []
    for expert, weight in enumerate(weights):
        look, text = (f' class="moe-chosen" style="{dye(expert)}"', f"{weight:.2f}") if weight else ("", "not asked")
        cards.append(f"<li{look}><b>{expert}</b><span>{text}</span></li>")
    return f'<ul class="moe-cards" aria-label="Experts">{"".join(cards)}</ul>'


def beside(*pieces: str) -> str:
    """Pieces side by side where there is room, and one below the other where there is not."""
    return f'<div class="moe-beside">{"".join(f"<div>{piece}</div>" for piece in pieces)}</div>'


def bars(rows: Mapping[str, float], unit: str, strong: Sequence[str] = ()) -> str:
    """Horizontal bars in grey, each with its name before it and its number after it.

    Args:
        rows: name -> number from 0; the longest bar is the largest number.
        unit: what the numbers count, in the label that is read aloud.
        strong: names drawn in the text colour; the others are lighter.
    """
    largest = max(rows.values()) or 1
    lines = []
    for name, number in rows.items():
        kind = ' class="moe-strong"' if name in strong else ""
        bar = f'<i{kind} style="flex:0 1 {75 * number / largest:.2f}%"></i>'
        lines.append(f"<span>{escape(name)}</span><span>{bar}<b>{number:,.0f}</b></span>")
    return _listed("moe-numbers", unit, lines)


def dye(expert: int) -> str:
    """An expert's colours as the style of an element: its own, and that of text on it."""
    return f"--c:var(--moe-e{expert});--o:var(--moe-on{expert})"


def badge(expert: int, is_dead: bool = False) -> str:
    """An expert's number on its colour; struck through in an empty frame where the expert is dead."""
    look = 'class="moe-disc moe-dead"' if is_dead else f'class="moe-disc" style="{dye(expert)}"'
    return f"<span {look}>{expert}</span>"


def expert_bars(
    lengths: Sequence[float],
    texts: Sequence[str],
    line: float,
    label: str,
    *,
    behind: Sequence[float] = (),
    least: float = 0,
) -> str:
    """One bar an expert, in its colour, with its text on the right. An expert of no length is struck through.

    Args:
        lengths: (E,) from 0; at most 16 experts.
        texts: (E,) what stands beside the bars.
        line: where the upright line of reference stands.
        label: what the bars are, read aloud.
        behind: (E,) lengths of dashed frames behind the bars.
        least: the length that the room is for, if no other is greater.
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


def usage_bars(shares: Sequence[float], idle: str = "dead") -> str:
    """One bar an expert, in its colour, with its share. The upright line is even use.

    Args:
        shares: (E,) summing to 1; at most 16 experts.
        idle: the word for an expert with less than one choice in a hundred, which is struck through.
    """
    working = [0.0 if share < DEAD_BELOW else float(share) for share in shares]
    texts = [f"{share:.0%}" if share else idle for share in working]
    return expert_bars(working, texts, 1 / len(working), "Share of each expert", least=0.25)


def seed_dots(rows: Mapping[str, Sequence[float]]) -> str:
    """Numbers between 0 and 1, one dot a seed on a line of its own for each row, and the mean in figures.

    Args:
        rows: name -> one number a seed.
    """
    lines = []
    for name, numbers in rows.items():
        dots = "".join(f'<i style="left:{100 * float(number):.1f}%"></i>' for number in numbers)
        mean = sum(map(float, numbers)) / len(numbers)
        lines.append(f"<span>{escape(name)}</span><span>{dots}</span><b>{mean:.2f}</b>")
    return _listed("moe-dots", "One dot a seed, on a line from 0 to 1", lines)


def _listed(kind: str, label: str, rows: Iterable[str], style: str = "") -> str:
    items = "".join(f'<div role="listitem">{row}</div>' for row in rows)
    return f'<div class="{kind}" role="list" aria-label="{escape(label)}" style="{style}">{items}</div>'
