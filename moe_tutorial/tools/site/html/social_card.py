"""The picture in the preview of a shared link: a sentence in its experts' colours, and the course's title."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from moe_tutorial.show import look

CARD = "moe/card.png"  # in the pages' _static
SIZE = (1200, 630)  # pixels, the size that sites with link previews ask for
MARGIN, CELL, LINE = 72, 48, 100  # pixels: around, a character's width, from line to line


def draw(text: str, experts: Sequence[int], title: str, file: Path) -> None:
    """Draw the card as a PNG file. ``experts``: the one that answers each character of the text."""
    with look.matplotlib_style("light"):
        width, height = SIZE
        figure = Figure(figsize=(width / 100, height / 100), dpi=100)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        axes.text(MARGIN, 96, title, fontsize=44, weight="bold", color=look.color("text"), va="center")
        place, top = 0, 180
        for line in textwrap.wrap(text, (width - 2 * MARGIN) // CELL):
            for column, character in enumerate(line):
                expert = experts[place + column]
                x = MARGIN + CELL * column
                tint, full = look.expert_color(expert, part="tint"), look.expert_color(expert)
                axes.add_patch(Rectangle((x, top), CELL - 4, 56, color=tint, linewidth=0))
                axes.add_patch(Rectangle((x, top + 51), CELL - 4, 5, color=full, linewidth=0))
                middle = {"x": x + CELL / 2 - 2, "ha": "center", "va": "center_baseline"}
                axes.text(y=top + 26, s=character, fontsize=28, family="monospace", color=look.color("text"), **middle)
                axes.text(y=top + 72, s=str(expert), fontsize=13, color=look.color("muted"), **middle)
            place += len(line) + 1  # the space at the line's end
            top += LINE
        note = "Each character is answered by one expert of eight.\nA course in which every claim is measured."
        axes.text(MARGIN, height - 60, note, fontsize=22, color=look.color("muted"), va="bottom", linespacing=1.3)
        figure.savefig(file, format="png", metadata={"Software": None})
