"""Pictures that several lessons draw, as functions of the data."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moe_tutorial.show import look
from moe_tutorial.show.picture import Picture, is_narrow, picture
from moe_tutorial.study import estimates
from moe_tutorial.study.estimates import Numbers, estimate


def interval_chart(
    rows: Mapping[str, Numbers | estimates.Figure],
    title: str,
    note: str,
    *,
    controls: Sequence[str] = (),
    colors: Mapping[str, str] = MappingProxyType({}),
    unit: str = "",
    zero: float | None = None,
) -> Picture:
    """One row per condition: the mean as a dot, its 95 % confidence interval as a bar, and below it each seed as a
    small dot, whose area grows with the part of the seeds that are equal.

    All means are printed with the decimals that the narrowest interval justifies.

    Args:
        rows: condition -> one number per seed, or only their estimate.
        title, note: as in :func:`picture`.
        controls: the conditions that are controls, drawn hollow, dashed and grey.
        colors: condition -> role of its colour, as in :func:`look.color`: "holds" or "fails" for a verdict that its
            name also says, "accent" for what the title is about. The others are "text".
        unit: what the numbers are, written below the axis.
        zero: position of a vertical reference line.
    """
    means = {name: row if isinstance(row, estimates.Figure) else estimate(row) for name, row in rows.items()}
    ticks = {name: [] if isinstance(row, estimates.Figure) else np.atleast_1d(row) for name, row in rows.items()}
    decimals = max((len(each.rounded[0].partition(".")[2]) for each in means.values() if each.has_interval), default=0)

    def draw(figure: Figure, theme: look.Theme) -> None:
        axes = figure.add_subplot()
        muted, line, ground = (look.color(name, theme) for name in ("muted", "line", "ground"))
        if zero is not None:
            axes.axvline(zero, color=line, linewidth=1.5, zorder=0)
        numbers = np.concatenate([*ticks.values(), *([mean.low, mean.high] for mean in means.values())])
        wide = np.ptp(numbers) / 90 or 1  # about the width of a seed's dot
        for place, (name, mean) in enumerate(means.items()):
            is_control, each = name in controls, ticks[name]
            shown = f"{round(mean.mean, decimals) + 0:.{decimals}f}" if mean.has_interval else mean.rounded[0]
            shown = shown.replace("-", "−")
            color = muted if is_control else look.color(colors.get(name, "text"), theme)
            axes.axhline(place, color=line, linewidth=0.8, zorder=0)
            near, count = np.unique(np.round(np.divide(each, wide)), return_counts=True)
            axes.scatter(near * wide, 0 * near + place + 0.25, 90 * count / max(10, len(each)), muted, alpha=0.55, lw=0)
            axes.plot([mean.low, mean.high], [place] * 2, color=color, ls=(0, (2, 1.4)) if is_control else "-", lw=2)
            axes.plot(mean.mean, place, "o", ms=7, color=color, mfc=ground if is_control else color, mew=1.6)
            box = {"facecolor": ground, "linewidth": 0, "pad": 1}  # hides the line behind a number
            words = {"color": color, "weight": "normal" if is_control else "bold", "bbox": box}
            if is_narrow(figure):  # above the dot is the row's label
                _beside(axes, shown, (max([mean.high, *each]), place), 7, "data", **words)
            else:
                axes.annotate(shown, (mean.mean, place), (0, 8), textcoords="offset points", ha="center", **words)
        labels = [f"○ control: {name}" if name in controls else name for name in rows]
        if is_narrow(figure):  # a label beside its row would leave no room for the row
            axes.set_yticks([])
            for place, label in enumerate(labels):
                at = axes.get_yaxis_transform()
                color = look.color(colors.get(list(rows)[place], "muted"), theme)
                axes.text(0, place - 0.3, label, transform=at, color=color, va="bottom", fontsize=10.5)
        else:
            axes.set_yticks(range(len(rows)), labels)
            for label, name in zip(axes.get_yticklabels(), rows, strict=True):
                label.set_color(look.color(colors.get(name, "muted"), theme))
        axes.set_ylim(len(rows) - 0.5, -0.8)
        axes.margins(x=0.14)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(unit)

    spoken = "; ".join(f"{name}: {mean}" for name, mean in means.items())
    breaks = sum(name.count("\n") for name in rows)
    height = 70 + 46 * len(rows) + 8 * breaks
    above = 14 * (len(rows) + breaks)  # for the labels above their rows
    return picture(draw, title, note, alt=f"{title}. {spoken}.", height=height, narrow_height=height + above)


class Line(NamedTuple):
    """One line of :func:`curves`."""

    x: Sequence[float]
    y: Sequence[float]
    dash: str = "-"
    """Matplotlib's line style: ``"-"``, ``"--"``, ``":"`` or ``"-."``; controls are dashed."""
    color: str = "text"
    """The name of a role, as in :func:`look.color`."""
    marker: Literal["", "●", "○"] = ""
    """A control has the hollow one, which the legend repeats before its name."""
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    """Lower and upper edge of a band around the line."""


def draw_curves(
    axes: Axes,
    theme: look.Theme,
    lines: Mapping[str, Line],
    *,
    x: str,
    y: str = "",
    log: Literal["", "x", "y", "xy"] = "",
    xticks: Mapping[float, str] | Sequence[float] = (),
    yticks: Sequence[float] = (),
    ylim: tuple[float, float] | None = None,
    legend: bool = False,
) -> None:
    """Draw curves over a parameter, with their names on the right at the heights of the ends, moved apart if necessary.

    Args:
        lines: name -> line; the subject of the lesson in the colour "text", what it is compared with in "muted".
        x, y: labels of the axes, with the unit.
        log: which axes are logarithmic.
        xticks, yticks: positions of the ticks; a mapping gives their texts. Of more than four on x, a phone shows
            every second.
        ylim: limits of the y axis.
        legend: draw a legend above instead of the names, for curves that end close together.
    """
    axes.set(xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear", ylabel=y)
    axes.set_xlabel(x, loc="left")
    axes.grid(axis="y", color=look.color("line", theme), linewidth=0.8)
    axes.set_axisbelow(True)
    for name, line in lines.items():
        color = look.color(line.color, theme)
        marks = {"marker": "o" if line.marker else "", "ms": 5}
        if line.marker == "○":
            marks["mfc"], name = look.color("ground", theme), f"○ control: {name}"
        axes.plot(line.x, line.y, line.dash, color=color, label=name, **marks)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.15, lw=0)
    axes.set_ylim(ylim)
    if xticks:
        texts = xticks if isinstance(xticks, Mapping) else {tick: f"{tick:,g}" for tick in xticks}
        shown = list(texts)[:: 2 if is_narrow(axes.figure) and len(texts) > 4 else 1]
        axes.set_xticks(shown, [texts[tick] for tick in shown])
    if yticks:
        axes.set_yticks(yticks, [f"{tick:,g}" for tick in yticks])
    axes.minorticks_off()
    if legend:
        columns = 1 if is_narrow(axes.figure) else len(lines)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, labelcolor="markeredgecolor", borderpad=0)
    else:
        _name_ends(axes, theme, lines)


def _name_ends(axes: Axes, theme: look.Theme, lines: Mapping[str, Line]) -> None:
    axes.get_ylim()  # computes the limits, on which the heights depend
    to_height = axes.transScale + axes.transLimits
    heights = {name: to_height.transform((line.x[-1], line.y[-1]))[1] for name, line in lines.items()}
    gap = 20 / (100 * axes.get_subplotspec().get_position(axes.figure).height * axes.figure.get_figheight())
    free = -1.0
    for name in sorted(heights, key=heights.__getitem__):
        rest = gap * name.count("\n") / 2  # half the height of a name's further lines
        place = max(heights[name], free + rest)
        color = look.color(lines[name].color, theme)
        _beside(axes, name, (1, place), 2, "axes fraction", color=color, annotation_clip=False)
        free = place + rest + gap


def _beside(axes: Axes, text: str, place: tuple[float, float], points: float, where: str, **style: Any) -> None:
    """Write text ``points`` points to the right of a place, centred at its height."""
    axes.annotate(text, place, (points, 0), xycoords=where, textcoords="offset points", va="center", **style)


def curves(
    lines: Mapping[str, Line], title: str, note: str, *, alt: str = "", height: int = 340, **axes_options: Any
) -> Picture:
    """Curves over a parameter.

    Args:
        lines, axes_options: as in :func:`draw_curves`.
        title, note, height: as in :func:`picture`.
        alt: as in :func:`picture`; by default the title and each curve's points, of more than ten the first and last.
    """

    def draw(figure: Figure, theme: look.Theme) -> None:
        draw_curves(figure.add_subplot(), theme, lines, **axes_options)

    return picture(draw, title, note, alt=alt or f"{title}. {_spoken(lines, **axes_options)}", height=height)


def _spoken(
    lines: Mapping[str, Line], *, x: str, y: str = "", xticks: Mapping[float, str] | Sequence[float] = (), **_: Any
) -> str:
    """The curves in words, such as ``accuracy over steps: dense 0.5 at 0, 0.71 at 100; mixture ...``."""
    texts = xticks if isinstance(xticks, Mapping) else {}
    said = []
    for name, line in lines.items():
        points = list(zip(line.x, line.y, strict=True))
        ends = points if len(points) <= 10 else [points[0], points[-1]]
        pairs = ", ".join(f"{float(f'{b:.3g}'):,g} at {texts.get(a, f'{a:,g}')}" for a, b in ends)
        said.append(f"{' '.join(name.split())} {pairs}")
    return f"{y} over {x}: {'; '.join(said)}".strip()
