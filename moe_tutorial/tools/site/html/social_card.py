"""The picture in the preview of a shared link: four experts on a plane, and the course's title."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from moe_tutorial.show import look
from moe_tutorial.show.region_map import middle

CARD = "moe/card.png"  # in the pages' _static
SIZE = (1200, 630)  # pixels, the size that sites with link previews ask for
MAP = 510


def draw(probs: np.ndarray, title: str, file: Path) -> None:
    """Draw the card as a PNG file. ``probs`` (resolution², experts) are the router's, as for ``region_map``."""
    with look.matplotlib_style("light"):
        width, height = SIZE
        figure = Figure(figsize=(width / 100, height / 100), dpi=100)
        margin = (height - MAP) / 2
        axes = figure.add_axes(((width - MAP - margin) / width, margin / height, MAP / width, MAP / height))
        side, experts = round(len(probs) ** 0.5), probs.shape[1]
        winner, sure = (values.reshape(side, side) for values in (probs.argmax(1), probs.max(1)))
        colors = np.array([to_rgb(look.expert_color(expert)) for expert in range(experts)])
        low, high = look.LOOK["region"]["mixLow"], look.LOOK["region"]["mixHigh"]
        strength = low + (high - low) * (sure * experts - 1) / (experts - 1)
        axes.imshow(colors[winner], alpha=strength, interpolation="nearest")
        for expert in np.unique(winner).tolist():
            fill, on = look.expert_color(expert), look.expert_color(expert, "light", "on")
            label = {"color": on, "fontsize": 22, "weight": "bold", "ha": "center", "va": "center_baseline"}
            box = {"boxstyle": "circle,pad=.35", "facecolor": fill, "edgecolor": "none"}
            axes.text(*middle(winner == expert), str(expert), **label, bbox=box)
        axes.axis("off")
        left = margin / width
        for number, line in enumerate(textwrap.wrap(title, 14)):  # matplotlib's own line spacing is uneven
            figure.text(left, 0.79 - 0.125 * number, line, fontsize=50, weight="bold", color=look.color("text"))
        note = "A course in which every claim\nis measured, and has a control."
        figure.text(left, 0.1, note, fontsize=22, color=look.color("muted"), va="bottom", linespacing=1.2)
        figure.savefig(file, format="png", metadata={"Software": None})
