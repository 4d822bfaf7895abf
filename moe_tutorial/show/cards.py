"""Small HTML pieces for `sweep`: they follow the theme and the width of the page by themselves."""

import html
from collections.abc import Mapping, Sequence

from moe_tutorial.show.look import TOKENS

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
