"""A claim as an expandable HTML row: verdict, statement, figure on a small axis, and the belief that it refutes.

The expanded row adds a table of the figures, the control and the rule in words, and the number of seeds. The site and
JupyterLab show the row; elsewhere a claim is its printed line.
"""

from html import escape

from matplotlib.ticker import MaxNLocator

from moe_tutorial.show import look
from moe_tutorial.show.web import read
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.estimates import Figure

MARKS = {"measured": "●", "control": "○", "rule": "┊"}  # in the table, as on the axis


class Axis:
    """The number axis of a claim. Positions are in per cent, so that it fits any width and its text keeps its size.

    An axis of positive numbers starts at 0 unless the smallest is at least three times their range, and also if an
    interval reaches a little below 0.
    """

    def __init__(self, numbers: list[float]) -> None:
        low, high = min(numbers), max(numbers)
        if (low - high) / 20 < low < 3 * (high - low):
            low = 0.0
        self.ticks = [float(tick) for tick in MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]

    def at(self, number: float) -> str:
        """Position of a number as a CSS length, clamped to the axis."""
        first, last = self.ticks[0], self.ticks[-1]
        return f"{6 + 88 * (min(max(number, first), last) - first) / (last - first):.2f}%"

    def labels(self) -> str:
        """HTML of the tick labels."""
        spans = "".join(f'<span style="left:{self.at(tick)}">{minus(f"{tick:g}")}</span>' for tick in self.ticks)
        return f'<span class="ticks">{spans}</span>'


def minus(number: str) -> str:
    """The number with a minus sign in place of a hyphen."""
    return number.replace("-", "−")


def line(kind: str, x: str, y1: str = "0", y2: str = "100%", x2: str = "") -> str:
    """An SVG line, vertical unless ``x2`` is given."""
    return f'<line class="{kind}" x1="{x}" x2="{x2 or x}" y1="{y1}" y2="{y2}"/>'


def dot_and_interval(kind: str, figure: Figure, axis: Axis, y: int) -> str:
    """SVG of a figure's dot and interval at the height ``y`` in per cent."""
    marks = ""
    if figure.has_interval:
        low, high = axis.at(figure.low), axis.at(figure.high)
        marks = line("interval", low, f"{y}%", f"{y}%", high)
        marks += line("end", low, f"{y - 14}%", f"{y + 14}%") + line("end", high, f"{y - 14}%", f"{y + 14}%")
    return f'<g class="{kind}">{marks}<circle cx="{axis.at(figure.mean)}" cy="{y}%" r="3.5"/></g>'


def picture(claim: Claim) -> str:
    """HTML of one axis with the measured figure, the control below it, and the range that the rule allows.

    It is empty for a claim of one number without control and threshold.
    """
    thresholds = claim.rule.thresholds if claim.rule else []
    if claim.control is None and not claim.measured.has_interval and not thresholds:
        return ""
    figures = figures_of(claim)
    axis = Axis([end for figure in figures.values() for end in (figure.low, figure.mean, figure.high)] + thresholds)
    marks = "".join(line("grid", axis.at(tick)) for tick in axis.ticks)
    marks += "".join(line("threshold", axis.at(threshold)) for threshold in thresholds)
    if claim.rule:
        marks += line("allowed", axis.at(claim.rule.low), "100%", "100%", axis.at(claim.rule.high))
    heights = {"measured": 28, "control": 70} if claim.control else {"measured": 50}
    marks += "".join(dot_and_interval(kind, figures[kind], axis, y) for kind, y in heights.items())
    return f'<span class="axis" aria-hidden="true"><svg>{marks}</svg>{axis.labels()}</span>'


def figures_of(claim: Claim) -> dict[str, Figure]:
    """The measured figure, and that of the control if the claim has one."""
    return {"measured": claim.measured} | ({"control": claim.control} if claim.control else {})


def number(claim: Claim) -> str:
    """HTML of the measured figure with its unit and interval."""
    mean, interval = ("about 0", "") if 0 < abs(claim.measured.mean) < 1e-12 else claim.measured.rounded
    # "at most one point less" is said of a number that may be a gain
    sign = "+" if claim.rule and min(claim.rule.thresholds, default=0) < 0 < claim.measured.mean else ""
    unit = f" {escape(claim.unit)}" if claim.unit else ""
    return f'<span class="figure"><b>{sign}{minus(mean)}</b>{unit} <small>{minus(interval)}</small></span>'


def keys(claim: Claim) -> str:
    """HTML that says what the figure's number and the dots on its axis are."""
    measured = claim.quantity.removesuffix(f" ({claim.unit})") or "measured"
    words = {"measured": measured, "control": f"control: {claim.control_is}"}
    said = (f'<span aria-hidden="true">{MARKS[kind]}</span>&nbsp;{escape(words[kind])}' for kind in figures_of(claim))
    return f'<span class="keys">{"<br>".join(said)}</span>'


def table(claim: Claim) -> str:
    """HTML table of the figures, with the control and the rule in words."""
    words = {"measured": "measured", "control": f"control: {claim.control_is}"}
    figures = figures_of(claim)
    interval = any(figure.has_interval for figure in figures.values())
    columns = ["Mean", "95 % interval"] if interval else ["Figure"]
    head = f"<th>{escape(claim.quantity)}</th>" if claim.quantity else "<td></td>"
    head += "".join(f"<th>{name}</th>" for name in columns)

    def row(kind: str, name: str, cells: str) -> str:
        mark = f'<span aria-hidden="true">{MARKS[kind]}</span>'
        return f'<tr class="{kind}"><th scope="row">{mark} {escape(name)}</th>{cells}</tr>'

    rows = ""
    for kind, figure in figures.items():
        mean, ends = figure.rounded
        between = f"<td>{minus(ends) or 'always the same'}</td>" if interval else ""
        rows += row(kind, words[kind], f'<td class="mean">{minus(mean)}</td>{between}')
    if claim.rule:
        rows += row("rule", "holds where", f'<td colspan="{len(columns)}">{minus(escape(str(claim.rule)))}</td>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def seeds(claim: Claim) -> str:
    """The number of seeds or runs that the figures rest on, as text."""
    kind = "runs" if claim.timed else "seeds"
    basis = f"{claim.n_seeds} {kind}" if claim.n_seeds > 1 else "one measurement"
    return f"{basis}, on the machine that measured it" if claim.timed else basis


def kinds(claim: Claim) -> list[str]:
    """CSS classes of the row: its verdict, and whether it refutes a belief or depends on the machine."""
    verdict = {"✓": "holds", "–": "elsewhere", "✗": "fails"}[claim.mark]
    return [verdict] + ["refutes"] * bool(claim.refutes) + ["timed"] * claim.timed


def box(claim: Claim, *, address: str = "", link: str = "") -> str:
    """HTML of the whole row. The claim's id links to ``address``; ``link`` is HTML at the end of the row."""
    id = escape(claim.id)
    name = f'<a href="{escape(address)}">{id}</a>' if address else f"<span>{id}</span>"
    verdict = f'<b><span aria-hidden="true">{claim.mark}</span> {claim.verdict}</b> {name}'
    refuted = ""
    if claim.refutes:
        refuted = f'<span class="refuted"><b>✗ refuted:</b> <s>{escape(claim.refutes)}</s></span>'
    figures = f'<span class="number">{number(claim)}{picture(claim)}{keys(claim)}</span>'
    return (
        f'<section class="moe-claim {" ".join(kinds(claim))}" id="{anchor(claim)}"><div class="moe-claim-row">'
        f'<p class="verdict">{verdict}</p><details>'
        f"<summary><h3>{escape(claim.statement)}</h3>{figures}{refuted}</summary>"
        f'{table(claim)}<p class="rests">{seeds(claim)} {link}</p></details></div></section>'
    )


def in_notebook(claim: Claim) -> str:
    """HTML of the row with its style, and a sentence if the claim fails."""
    html = f"<style>{look.css()}{read('web/widgets/claim.css')}</style>{box(claim)}"
    if claim.mark == "✗":
        html += f'<p class="moe-claim-why">This does not hold here: {claim.reason}. The lesson goes on.</p>'
    return html


def anchor(claim: Claim) -> str:
    """The HTML id of the claim's row."""
    return f"claim-{claim.id.replace('.', '-')}"
