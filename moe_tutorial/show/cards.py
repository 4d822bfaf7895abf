"""Small HTML pieces for `sweep`: they follow the theme and the width of the page by themselves."""

import html
from collections.abc import Mapping, Sequence

from moe_tutorial.show.look import TOKENS
from moe_tutorial.study.usage import DEAD_BELOW

NUMERALS = "font-variant-numeric:tabular-nums"


def message(title: str, note: str = "") -> str:
    """A computed title and the grey line below it."""
    lines = f'<p style="margin:0;font-weight:600;font-size:17px;line-height:1.35">{html.escape(title)}</p>'
    if note:
        lines += f'<p style="margin:3px 0 12px;font-size:13.5px;color:var(--moe-muted)">{html.escape(note)}</p>'
    return lines


def expert_cards(weights: Sequence[float]) -> str:
    """One card an expert: in its colour with its gate weight where it is chosen, empty where it is not.

    Args:
        weights: (E,) gate weight of each expert, 0 where it was not chosen; at most 16 experts.
    """
    cards = []
    for expert, weight in enumerate(weights):
        if weight:
            look = f"background:var(--moe-e{expert});color:var(--moe-on{expert});border:1px solid transparent"
            text = f"{weight:.2f}"
        else:
            look = "background:none;color:var(--moe-muted);border:1px solid var(--moe-line)"
            text = "not asked"
        cards.append(
            f'<li style="{look};border-radius:{TOKENS["radius"]["panel"]}px;padding:8px 10px;min-width:0">'
            f'<b style="display:block;font-size:15px">{expert}</b><span style="font-size:12.5px">{text}</span></li>'
        )
    return (
        '<ul aria-label="Experts" style="list-style:none;margin:0 0 16px;padding:0;display:grid;gap:8px;'
        f'grid-template-columns:repeat(auto-fill,minmax(74px,1fr));{NUMERALS}">{"".join(cards)}</ul>'
    )


def beside(*pieces: str) -> str:
    """Pieces side by side where there is room, and one below the other where there is not."""
    columns = "".join(f'<div style="min-width:0">{piece}</div>' for piece in pieces)
    return (
        '<div style="display:grid;grid-template-columns:repeat(auto-fit,minmax(min(240px,100%),1fr));gap:20px;'
        f'margin-bottom:16px">{columns}</div>'
    )


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
        color = "var(--moe-text)" if name in strong else "var(--moe-border)"
        lines.append(
            f'<div role="listitem" style="display:grid;grid-template-columns:minmax(90px,28%) 1fr;gap:2px 12px;'
            'align-items:center;margin:0 0 8px">'
            f'<span style="font-size:13.5px;line-height:1.3">{html.escape(name)}</span>'
            f'<span style="display:flex;align-items:center;gap:8px"><span style="flex:0 1 {75 * number / largest:.2f}%;'
            f'min-width:1px;height:16px;background:{color};border-radius:2px"></span>'
            f'<b style="font-size:13.5px;{NUMERALS}">{number:,.0f}</b></span></div>'
        )
    return f'<div role="list" aria-label="{html.escape(unit)}">{"".join(lines)}</div>'


def badge(expert: int, is_dead: bool = False) -> str:
    """An expert's number on its colour; struck through in an empty frame where the expert is dead."""
    look = f"border:1px solid var(--moe-ground);background:var(--moe-e{expert});color:var(--moe-on{expert})"
    if is_dead:
        look = "border:1px dashed var(--moe-border);color:var(--moe-muted);text-decoration:line-through"
    return (
        f'<span style="{look};display:inline-block;box-sizing:border-box;min-width:22px;border-radius:11px;'
        f'text-align:center;font-size:11px;line-height:18px;font-weight:600">{expert}</span>'
    )


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
    columns = f"24px 1fr {max(map(len, texts)) + 1}ch"

    def bar(length: float, look: str) -> str:
        width = f"{100 * length / longest:.1f}%"
        return f'<span style="position:absolute;inset:0 auto 0 0;box-sizing:border-box;width:{width};{look}"></span>'

    upright = f"left:{100 * line / longest:.1f}%;border-left:1.5px solid var(--moe-text)"
    rows = []
    for expert, (length, text) in enumerate(zip(lengths, texts, strict=True)):
        drawn = bar(behind[expert], "border:1px dashed var(--moe-border)") if behind else ""
        drawn += bar(length, f"background:var(--moe-e{expert})") if length else ""
        rows.append(
            f'<div role="listitem" style="display:grid;grid-template-columns:{columns};gap:8px;align-items:center;'
            f'height:24px;font-size:12.5px">{badge(expert, not length)}<span style="position:relative;height:14px">'
            f'{drawn}<span style="position:absolute;top:-5px;bottom:-5px;{upright}"></span></span>'
            f'<span style="text-align:right;{NUMERALS}">{html.escape(text)}</span></div>'
        )
    return f'<div role="list" aria-label="{html.escape(label)}">{"".join(rows)}</div>'


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
        dots = "".join(
            f'<span style="position:absolute;left:{100 * float(number):.1f}%;top:6px;width:9px;height:9px;'
            'margin-left:-4px;border-radius:50%;background:var(--moe-text);opacity:.6"></span>'
            for number in numbers
        )
        mean = sum(map(float, numbers)) / len(numbers)
        lines.append(
            '<div role="listitem" style="display:grid;grid-template-columns:minmax(92px,30%) 1fr 44px;gap:12px;'
            f'align-items:center;font-size:13px"><span>{html.escape(name)}</span><span style="position:relative;'
            'height:21px;background:linear-gradient(var(--moe-line),var(--moe-line)) center/100% 1px no-repeat">'
            f"{dots}</span>"
            f'<b style="text-align:right;{NUMERALS}">{mean:.2f}</b></div>'
        )
    return f'<div role="list" aria-label="One dot a seed, on a line from 0 to 1">{"".join(lines)}</div>'
