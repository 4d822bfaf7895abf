"""A claim as a row that unfolds: its verdict, its sentence, its figure on a small axis, and the belief that it refutes.

Unfolded it has the figures as a table, the control and the rule in words, and the seeds. The site's pages and
JupyterLab show the row; everywhere else a claim is the line that it prints.
"""

from html import escape

from matplotlib.ticker import MaxNLocator

from moe_tutorial.show import look
from moe_tutorial.show.web import read
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.estimates import Figure

MARKS = {"measured": "●", "control": "○", "rule": "┊"}  # on the axis, and before their rows of the table


class Axis:
    """The numbers of a claim on one line, placed in per cent, so that it fits any width with text that keeps its size.

    Zero is shown unless the numbers lie far from it, close together.
    """

    def __init__(self, numbers: list[float]) -> None:
        low, high = min(numbers), max(numbers)
        if 0 < low < 3 * (high - low):
            low = 0.0
        self.ticks = [float(tick) for tick in MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]

    def at(self, number: float) -> str:
        """Where a number stands; one beyond the ends stands at the end."""
        first, last = self.ticks[0], self.ticks[-1]
        return f"{6 + 88 * (min(max(number, first), last) - first) / (last - first):.2f}%"

    def labels(self) -> str:
        """The ticks' numbers."""
        spans = "".join(f'<span style="left:{self.at(tick)}">{tick:g}</span>' for tick in self.ticks)
        return f'<span class="ticks">{spans}</span>'


def line(kind: str, x: str, y1: str = "0", y2: str = "100%", x2: str = "") -> str:
    """A line of the picture, upright unless ``x2`` says where else it ends."""
    return f'<line class="{kind}" x1="{x}" x2="{x2 or x}" y1="{y1}" y2="{y2}"/>'


def dot_and_interval(kind: str, figure: Figure, axis: Axis, y: int) -> str:
    """A figure's marks at its height, in per cent."""
    marks = ""
    if figure.has_interval:
        low, high = axis.at(figure.low), axis.at(figure.high)
        marks = line("interval", low, f"{y}%", f"{y}%", high)
        marks += line("end", low, f"{y - 14}%", f"{y + 14}%") + line("end", high, f"{y - 14}%", f"{y + 14}%")
    return f'<g class="{kind}">{marks}<circle cx="{axis.at(figure.mean)}" cy="{y}%" r="3.5"/></g>'


def picture(claim: Claim) -> str:
    """Measured above control on one axis, and where the rule says yes; nothing for one lone figure."""
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
    """What was measured, and the control, if there is one."""
    return {"measured": claim.measured} | ({"control": claim.control} if claim.control else {})


def shown(figure: Figure) -> tuple[str, str]:
    """A figure as it is read: its mean, and its interval; that is empty for one number."""
    mean, _, ends = figure.text.partition(" [")
    return mean, ends.rstrip("]").replace(", ", " to ")


def number(claim: Claim) -> str:
    """The figure that carries the claim, with its unit and interval; what was measured stands in the table."""
    mean, interval = shown(claim.measured)
    unit = f" {escape(claim.unit)}" if claim.unit else ""
    return f'<span class="figure"><b>{mean}</b>{unit} <small>{interval}</small></span>'


def table(claim: Claim) -> str:
    """The figures as numbers, the control in words, and the rule."""
    words = {"measured": "measured", "control": f"control: {claim.control_is}" if claim.control_is else "control"}
    figures = figures_of(claim)
    interval = any(figure.has_interval for figure in figures.values())
    columns = ["Mean", "95 % interval"] if interval else ["Figure"]
    quantity = f"{claim.quantity}, {claim.unit}" if claim.unit else claim.quantity
    head = f"<th>{escape(quantity)}</th>" if quantity else "<td></td>"
    head += "".join(f"<th>{name}</th>" for name in columns)

    def row(kind: str, name: str, cells: str) -> str:
        mark = f'<span aria-hidden="true">{MARKS[kind]}</span>'
        return f'<tr class="{kind}"><th scope="row">{mark} {escape(name)}</th>{cells}</tr>'

    rows = ""
    for kind, figure in figures.items():
        mean, ends = shown(figure)
        between = f"<td>{ends or 'always the same'}</td>" if interval else ""
        rows += row(kind, words[kind], f'<td class="mean">{mean}</td>{between}')
    if claim.rule:
        rows += row("rule", "holds where", f'<td colspan="{len(columns)}">{escape(str(claim.rule))}</td>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def seeds(claim: Claim) -> str:
    """What the figures rest on."""
    kind = "runs" if claim.timed else "seeds"
    basis = f"{claim.n_seeds} {kind}" if claim.n_seeds > 1 else "one measurement"
    return f"{basis}, on the machine that ran this page" if claim.timed else basis


def kinds(claim: Claim) -> list[str]:
    """What a reader may ask for: its verdict, and whether it refutes a belief or depends on the machine."""
    verdict = {"✓": "holds", "–": "elsewhere", "✗": "fails"}[claim.mark]
    return [verdict] + ["refutes"] * bool(claim.refutes) + ["timed"] * claim.timed


def box(claim: Claim, *, address: str = "", link: str = "") -> str:
    """The whole row. ``address`` is where the claim's number leads; ``link`` is HTML that stands at the end."""
    id = escape(claim.id)
    name = f'<a href="{escape(address)}">{id}</a>' if address else f"<span>{id}</span>"
    here = " here" if claim.timed and claim.holds else ""
    verdict = f'<b><span aria-hidden="true">{claim.mark}</span> {claim.verdict}{here}</b> {name}'
    refuted = ""
    if claim.refutes:
        refuted = f'<span class="refuted"><b>✗ refuted:</b> <s>{escape(claim.refutes)}</s></span>'
    figures = f'<span class="number">{number(claim)}{picture(claim)}</span>'
    return (
        f'<section class="moe-claim {" ".join(kinds(claim))}" id="{anchor(claim)}"><div class="moe-claim-row">'
        f'<p class="verdict">{verdict}</p><details>'
        f"<summary><h3>{escape(claim.statement)}</h3>{figures}{refuted}</summary>"
        f'{table(claim)}<p class="rests">{seeds(claim)} {link}</p></details></div></section>'
    )


def display_box(claim: Claim) -> None:
    """Show a claim as its row in a notebook; its text stays the line."""
    from IPython.display import display

    html = f"<style>{look.css()}{read('web/claim.css')}</style>{box(claim)}"
    display({"text/plain": claim.line, "text/html": html}, raw=True)


def anchor(claim: Claim) -> str:
    """The claim's place on a page."""
    return f"claim-{claim.id.replace('.', '-')}"
