"""A claim as a box: its verdict, statement, figures, control, and the popular version that it refutes.

The site's pages and JupyterLab show the box; everywhere else a claim is the line that it prints.
"""

import math
from html import escape

from moe_tutorial.show import look
from moe_tutorial.show.web import read
from moe_tutorial.study.claim_lines import Claim, Figure


def ticks(low: float, high: float) -> list[float]:
    """About four round numbers that enclose low to high."""
    rough = (high - low) / 4 or abs(high) / 4 or 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]


def axis(figures: list[Figure]) -> list[float]:
    """Ticks for all figures. Zero is shown unless the figures lie far from it, close together."""
    ends = [end for f in figures for end in (f.mean, f.low, f.high) if end is not None]
    low, high = min(ends), max(ends)
    if low > 0 and low < 3 * (high - low):
        low = 0.0
    return ticks(low, high)


def track(figure: Figure, scale: list[float], control: bool) -> str:
    """One row's dot and interval, placed in per cent, so that it fits any width with text that keeps its size."""
    span = scale[-1] - scale[0]

    def at(value: float) -> str:
        return f"{3 + 94 * (value - scale[0]) / span:.2f}%"

    lines = "".join(f'<line class="grid" x1="{at(t)}" x2="{at(t)}" y1="0" y2="100%"/>' for t in scale)
    interval = ""
    if figure.low is not None and figure.high is not None:
        interval = f'<line class="interval" x1="{at(figure.low)}" x2="{at(figure.high)}" y1="50%" y2="50%"/>'
        interval += "".join(
            f'<line class="end" x1="{at(end)}" x2="{at(end)}" y1="34%" y2="66%"/>' for end in (figure.low, figure.high)
        )
    kind = "control" if control else "measured"
    dot = f'<circle cx="{at(figure.mean)}" cy="50%" r="5"/>'
    return f'<div class="track"><svg class="{kind}">{lines}{interval}{dot}</svg></div>'


def chart(claim: Claim) -> str:
    """Measured against control on one axis; nothing where there is only one lone figure."""
    if claim.control is None and claim.measured.low is None:
        return ""
    rows = [("measured", claim.measured, False)]
    if claim.control is not None:
        rows.append((control_name(claim), claim.control, True))
    scale = axis([figure for _, figure, _ in rows])
    parts = [
        f'<span class="{"control" if control else "measured"}">{escape(name)}</span>{track(figure, scale, control)}'
        for name, figure, control in rows
    ]
    span = scale[-1] - scale[0]
    labels = "".join(f'<span style="left:{3 + 94 * (t - scale[0]) / span:.2f}%">{t:g}</span>' for t in scale)
    parts.append(f'<span></span><div class="ticks">{labels}</div>')
    return f'<div class="moe-claim-chart" aria-hidden="true">{"".join(parts)}</div>'


def control_name(claim: Claim) -> str:
    """The control in words, behind its hollow mark."""
    return f"○ control: {claim.control_is}" if claim.control_is else "○ control"


def table(claim: Claim) -> str:
    """The same figures as numbers."""
    interval = any(f is not None and f.low is not None for f in (claim.measured, claim.control))
    head = "<th></th><th>Mean</th><th>95 % interval</th>" if interval else "<th></th><th>Figure</th>"

    def row(name: str, figure: Figure, kind: str) -> str:
        mean, _, rest = figure.text.partition(" [")
        between = f"<td>{rest.rstrip(']').replace(', ', ' to ') or 'always the same'}</td>" if interval else ""
        return f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td class="mean">{mean}</td>{between}</tr>'

    rows = row("measured", claim.measured, "measured")
    if claim.control is not None:
        rows += row(control_name(claim), claim.control, "control")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def box(claim: Claim, *, link: str = "") -> str:
    """The whole box. ``link`` is HTML that leads to where the claim is measured."""
    mark, kind = ("✓", "holds") if claim.holds else ("–", "elsewhere") if claim.timed else ("✗", "fails")
    seeds = f"{claim.n_seeds} {'runs' if claim.timed else 'seeds'}" if claim.n_seeds else "one measurement"
    if claim.timed:
        seeds += ", timed on the machine that ran this page"
    refutes = ""
    if claim.refutes:
        refutes = f'<p class="refutes"><b>✗ Popular version refuted:</b> <s>{escape(claim.refutes)}</s></p>'
    return (
        f'<section class="moe-claim {kind}" id="{anchor(claim)}">'
        f'<p class="verdict"><b><span aria-hidden="true">{mark}</span> '
        f"Claim {escape(claim.id)} {escape(claim.verdict)}</b> <span>{seeds}</span>{link}</p>"
        f"<h3>{escape(claim.statement)}</h3>{refutes}{chart(claim)}{table(claim)}</section>"
    )


def present(line: str) -> None:
    """Show a claim's line as its box in a notebook; its text stays the line."""
    from IPython.display import display

    claim = Claim.read(line)
    html = f"<style>{look.css()}{read('web/claim.css')}</style>{box(claim)}" if claim else f"<pre>{escape(line)}</pre>"
    display({"text/plain": line, "text/html": html}, raw=True)


def anchor(claim: Claim) -> str:
    """The claim's place on a page."""
    return f"claim-{claim.id.replace('.', '-')}"
