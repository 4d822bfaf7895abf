"""The pictures that several lessons draw. Each is a function of the data, and returns a :class:`Picture`."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moe_tutorial.show import look
from moe_tutorial.show.picture import Picture, is_narrow, picture
from moe_tutorial.study.estimates import Numbers, estimate, figure_text

SHARP = 320
"""Pixels along each side of a plane of regions."""


def interval_chart(
    rows: Mapping[str, Numbers],
    title: str,
    note: str,
    *,
    controls: Sequence[str] = (),
    unit: str = "",
    zero: float | None = None,
) -> Picture:
    """One line a condition: each seed as a small tick, the mean as a dot, its 95 % interval as a bar.

    Args:
        rows: condition -> one number a seed.
        title, note: as in :func:`picture`.
        controls: the conditions that are controls: hollow, dashed and grey.
        unit: what the numbers are, written below the axis.
        zero: where to draw an upright line of reference.
    """

    def draw(figure: Figure, theme: look.Theme) -> None:
        axes = figure.add_subplot()
        text, muted, line, ground = (look.color(name, theme) for name in ("text", "muted", "line", "ground"))
        if zero is not None:
            axes.axvline(zero, color=line, linewidth=1.5)
        for place, (name, numbers) in enumerate(rows.items()):
            is_control, mean = name in controls, estimate(numbers)
            color = muted if is_control else text
            each = np.atleast_1d(np.asarray(numbers, dtype=float))
            axes.plot(each, np.full(each.shape, place), "|", color=line, ms=11, mew=1.5)
            axes.plot([mean.low, mean.high], [place] * 2, color=color, ls=(0, (2, 1.4)) if is_control else "-", lw=2)
            axes.plot(mean.mean, place, "o", ms=7, color=color, mfc=ground if is_control else color, mew=1.6)
            axes.annotate(
                figure_text(mean.mean),
                (max(mean.high, each.max()), place),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                color=color,
                weight="normal" if is_control else "bold",
            )
        labels = [f"○ control: {name}" if name in controls else name for name in rows]
        if is_narrow(figure):  # a label beside its row would leave no room for the row
            axes.set_yticks([])
            for place, label in enumerate(labels):
                axes.text(
                    0, place - 0.3, label, transform=axes.get_yaxis_transform(), color=muted, va="bottom", fontsize=10.5
                )
        else:
            axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.5, -0.8)
        axes.margins(x=0.14)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(unit)

    spoken = "; ".join(f"{name}: {estimate(numbers)}" for name, numbers in rows.items())
    height = 70 + 40 * len(rows)
    return picture(draw, title, note, alt=f"{title}. {spoken}.", height=height, narrow_height=height + 14 * len(rows))


def seed_strip(rows: Mapping[str, torch.Tensor], title: str, note: str) -> Picture:
    """One row a condition, one column a seed: how the seed's choices divide among the experts.

    Args:
        rows: condition -> shares (S, E), each summing to 1; at most 16 experts.
        title, note: as in :func:`picture`.
    """
    wide, narrow = 60, 20  # columns that fit beside each other, with room for a number in them

    def draw(figure: Figure, theme: look.Theme) -> None:
        across = narrow if is_narrow(figure) else wide
        strips = [
            (f"{name}, {len(shares)} seeds" if not start else "", shares[start : start + across])
            for name, shares in rows.items()
            for start in range(0, len(shares), across)
        ]
        places = figure.subplots(len(strips), 1, squeeze=False)[:, 0]
        columns = max(len(shares) for _, shares in strips)
        for axes, (name, shares) in zip(places, strips, strict=True):
            seeds, below = np.arange(len(shares)), np.zeros(len(shares))
            for expert, part in enumerate(np.asarray(shares).T):
                axes.bar(
                    seeds,
                    part,
                    bottom=below,
                    width=0.9,
                    color=look.expert_color(expert, theme),
                    edgecolor=look.color("ground", theme),
                    linewidth=0.7,
                )
                for seed in np.flatnonzero(part > 0.2):
                    axes.text(
                        seed,
                        below[seed] + part[seed] / 2,
                        str(expert),
                        color=look.expert_color(expert, theme, "on"),
                        fontsize=8.5,
                        ha="center",
                        va="center",
                    )
                below = below + part
            axes.set_xlim(-0.5, max(columns, narrow) - 0.5)
            axes.set_ylim(0, 1)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(name, loc="left", fontsize=11, color=look.color("muted", theme))
            for spine in axes.spines.values():
                spine.set_visible(False)

    def height(across: int) -> int:
        return sum(22 + 82 * -(-len(shares) // across) for shares in rows.values())

    spoken = "; ".join(
        f"{name}: the largest share is {float(np.asarray(shares).max(-1).mean()):.2f} on average"
        for name, shares in rows.items()
    )
    return picture(draw, title, note, alt=f"{title}. {spoken}.", height=height(wide), narrow_height=height(narrow))


def draw_regions(
    axes: Axes,
    theme: look.Theme,
    probs: torch.Tensor,
    extent: Sequence[float],
    points: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    """The plane, each place in the colour of the expert that the router prefers there, deeper where it is surer.

    Args:
        probs: (resolution², E) probabilities, rows from the top.
        extent: left, right, bottom, top.
        points, labels: (N, 2) and (N,): a class is a shape.
    """
    n_experts = probs.shape[-1]
    coarse, side = round(len(probs) ** 0.5), SHARP
    # Between the places, logits are interpolated and not winners: a straight border stays straight.
    logits = probs.clamp(min=1e-12).log().T.reshape(1, n_experts, coarse, coarse)
    fine = F.interpolate(logits, (side, side), mode="bilinear", align_corners=True)[0].softmax(0)
    confidence, winner = (values.numpy() for values in fine.max(0))
    ground = np.array(_rgb(look.color("ground", theme)))
    colors = np.array([_rgb(look.expert_color(expert, theme)) for expert in range(n_experts)])
    low, high = look.TOKENS["region"]["mixLow"], look.TOKENS["region"]["mixHigh"]
    amount = low + (high - low) * (confidence - 1 / n_experts) / (1 - 1 / n_experts)
    axes.imshow(
        amount[..., None] * colors[winner] + (1 - amount[..., None]) * ground,
        extent=extent,
        interpolation="nearest",
        aspect="equal",
    )
    xs = np.linspace(extent[0], extent[1], side)
    ys = np.linspace(extent[3], extent[2], side)
    for expert in np.unique(winner):
        mine = winner == expert
        if not mine.all():
            axes.contour(xs, ys, mine, levels=[0.5], colors=[look.color("ground", theme)], linewidths=1.6)
    for label in labels.unique().tolist():
        chosen = points[labels == label]
        axes.plot(
            *chosen.T,
            look.class_marker(label),
            ms=4.5,
            color=look.color("text", theme),
            mec=look.color("ground", theme),
            mew=0.8,
        )
    for expert in np.unique(winner):
        row, column = middle(winner == expert)
        badge(axes, xs[column], ys[row], int(expert), theme)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def middle(mine: np.ndarray) -> tuple[int, int]:
    """Row and column for a region's number: its own place nearest to its mean, since it need not be convex."""
    rows, columns = np.nonzero(mine)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return int(rows[nearest]), int(columns[nearest])


def badge(axes: Axes, x: float, y: float, expert: int, theme: look.Theme) -> None:
    """The round badge that names an expert: its number on its colour."""
    axes.text(
        x,
        y,
        str(expert),
        color=look.expert_color(expert, theme, "on"),
        weight="bold",
        fontsize=10,
        ha="center",
        va="center",
        bbox={
            "boxstyle": "circle,pad=0.28",
            "facecolor": look.expert_color(expert, theme),
            "edgecolor": look.color("ground", theme),
            "linewidth": 1.2,
        },
        zorder=5,
    )


def _rgb(color: str) -> tuple[float, float, float]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
