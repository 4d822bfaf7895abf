"""A claim as a box: its verdict, statement, figures, control, rule, and the popular version that it refutes.

The site's pages and JupyterLab show the box; everywhere else a claim is the line that it prints.
"""

from html import escape

from matplotlib.ticker import MaxNLocator

from moe_tutorial.show import look
from moe_tutorial.show.web import read
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.estimates import Figure


class Axis:
    """The numbers of all rows on one line, placed in per cent, so that it fits any width with text that keeps its size.

    Zero is shown unless the numbers lie far from it, close together.
    """

    def __init__(self, numbers: list[float]) -> None:
        low, high = min(numbers), max(numbers)
        if 0 < low < 3 * (high - low):
            low = 0.0
        self.ticks = [float(tick) for tick in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]

    def at(self, number: float) -> str:
        """Where a number stands; one beyond the ends stands at the end."""
        first, last = self.ticks[0], self.ticks[-1]
        return f"{3 + 94 * (min(max(number, first), last) - first) / (last - first):.2f}%"

    def track(self, kind: str, marks: str) -> str:
        """One row, with its grid."""
        grid = "".join(line("grid", self.at(tick)) for tick in self.ticks)
        return f'<div class="track"><svg class="{kind}">{grid}{marks}</svg></div>'

    def labels(self) -> str:
        """The ticks' numbers."""
        spans = "".join(f'<span style="left:{self.at(tick)}">{tick:g}</span>' for tick in self.ticks)
        return f'<div class="ticks">{spans}</div>'


def line(kind: str, x: str, y1: str = "0", y2: str = "100%", x2: str = "") -> str:
    """A line of the chart, upright unless ``x2`` says where else it ends."""
    return f'<line class="{kind}" x1="{x}" x2="{x2 or x}" y1="{y1}" y2="{y2}"/>'


def dot_and_interval(figure: Figure, axis: Axis) -> str:
    """A figure's marks in its row."""
    marks = ""
    if figure.has_interval:
        low, high = axis.at(figure.low), axis.at(figure.high)
        marks = line("interval", low, "50%", "50%", high)
        marks += line("end", low, "34%", "66%") + line("end", high, "34%", "66%")
    return f'{marks}<circle cx="{axis.at(figure.mean)}" cy="50%" r="5"/>'


def chart(claim: Claim) -> str:
    """Measured against control on one axis, and where the rule says yes; nothing for one lone figure."""
    rows = figures_of(claim)
    thresholds = claim.rule.thresholds if claim.rule else []
    if len(rows) == 1 and not claim.measured.has_interval and not thresholds:
        return ""
    ends = [end for _, figure in rows.values() for end in (figure.low, figure.mean, figure.high)]
    axis = Axis(ends + thresholds)
    lines = "".join(line("threshold", axis.at(threshold)) for threshold in thresholds)
    parts = [
        f'<span class="{kind}">{escape(name)}</span>{axis.track(kind, lines + dot_and_interval(figure, axis))}'
        for kind, (name, figure) in rows.items()
    ]
    if claim.rule:
        allowed = line("allowed", axis.at(claim.rule.low), "50%", "50%", axis.at(claim.rule.high))
        words = f'<span class="rule">holds where: {escape(str(claim.rule))}</span>'
        parts.append(words + axis.track("rule", lines + allowed))
    parts.append(f'<span class="quantity">{escape(quantity(claim))}</span>{axis.labels()}')
    return f'<div class="moe-claim-chart" aria-hidden="true">{"".join(parts)}</div>'


def figures_of(claim: Claim) -> dict[str, tuple[str, Figure]]:
    """What was measured, and the control behind its hollow mark, if there is one: kind -> name and figure."""
    found = {"measured": ("measured", claim.measured)}
    if claim.control is not None:
        found["control"] = (f"○ control: {claim.control_is}" if claim.control_is else "○ control", claim.control)
    return found


def quantity(claim: Claim) -> str:
    """What was measured, and in what unit; empty where the claim does not say."""
    return f"{claim.quantity}, {claim.unit}" if claim.unit else claim.quantity


def table(claim: Claim) -> str:
    """The same figures as numbers, and the rule in words."""
    figures = figures_of(claim)
    interval = any(figure.has_interval for _, figure in figures.values())
    columns = ["Mean", "95 % interval"] if interval else ["Figure"]
    corner = f"<th>{escape(quantity(claim))}</th>" if claim.quantity else "<td></td>"
    head = corner + "".join(f"<th>{name}</th>" for name in columns)

    rows = ""
    for kind, (name, figure) in figures.items():
        mean, _, ends = figure.text.partition(" [")
        between = f"<td>{ends.rstrip(']').replace(', ', ' to ') or 'always the same'}</td>" if interval else ""
        rows += f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td class="mean">{mean}</td>{between}</tr>'
    if claim.rule:
        says = f'<td colspan="{len(columns)}">{escape(str(claim.rule))}</td>'
        rows += f'<tr class="rule"><th scope="row">holds where</th>{says}</tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def box(claim: Claim, *, link: str = "") -> str:
    """The whole box. ``link`` is HTML that leads to where the claim is measured."""
    kind = {"✓": "holds", "–": "elsewhere", "✗": "fails"}[claim.mark]
    seeds = f"{claim.n_seeds} {'runs' if claim.timed else 'seeds'}" if claim.n_seeds > 1 else "one measurement"
    if claim.timed:
        seeds += ", timed on the machine that ran this page"
    refutes = ""
    if claim.refutes:
        refutes = f'<p class="refutes"><b>✗ Popular version refuted:</b> <s>{escape(claim.refutes)}</s></p>'
    return (
        f'<section class="moe-claim {kind}" id="{anchor(claim)}">'
        f'<p class="verdict"><b><span aria-hidden="true">{claim.mark}</span> '
        f"Claim {escape(claim.id)} {escape(claim.verdict)}</b> <span>{seeds}</span>{link}</p>"
        f"<h3>{escape(claim.statement)}</h3>{refutes}{chart(claim)}{table(claim)}</section>"
    )


def display_box(claim: Claim) -> None:
    """Show a claim as its box in a notebook; its text stays the line."""
    from IPython.display import display

    html = f"<style>{look.css()}{read('web/claim.css')}</style>{box(claim)}"
    display({"text/plain": claim.line, "text/html": html}, raw=True)


def anchor(claim: Claim) -> str:
    """The claim's place on a page."""
    return f"claim-{claim.id.replace('.', '-')}"
