"""The picture in the preview of a shared link: the front page's first dare, and the course's title."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from moe_tutorial.show import look
from moe_tutorial.show.who_answers import MARKS
from moe_tutorial.show.widgets.live_gpt import Dare

CARD = "moe/card.png"  # in the pages' _static
SIZE = (1200, 630)  # pixels, the size that sites with link previews ask for
MARGIN, CELL, LINE, LARGE = 72, 44, 86, 52  # pixels: around, a character's width, from line to line, a large one's
MIDDLE = {"ha": "center", "va": "center_baseline"}


def draw(dare: Dare, experts: Sequence[int], title: str, file: Path) -> None:
    """Draw the card as a PNG file. ``experts``: the one that answers each character of the dare's text."""
    with look.matplotlib_style("light"):
        width, height = SIZE
        figure = Figure(figsize=(width / 100, height / 100), dpi=100)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        text, muted = look.color("text"), look.color("muted")
        axes.text(MARGIN, 80, title, fontsize=40, weight="bold", color=text, va="center")
        place, top = 0, 140
        for line in textwrap.wrap(dare.text, (width - 2 * MARGIN) // CELL, drop_whitespace=False):
            for column, character in enumerate(line):
                expert, x = experts[place + column], MARGIN + CELL * column
                tint, full = look.expert_color(expert, part="tint"), look.expert_color(expert)
                axes.add_patch(Rectangle((x, top), CELL - 4, 50, color=tint, linewidth=0))
                axes.add_patch(Rectangle((x, top + 45), CELL - 4, 5, color=full, linewidth=0))
                axes.text(x + CELL / 2 - 2, top + 23, character, fontsize=25, family="monospace", color=text, **MIDDLE)
                axes.text(x + CELL / 2 - 2, top + 64, str(expert), fontsize=12, color=muted, **MIDDLE)
            place += len(line)
            top += LINE
        begun = re.search(r"\w{0,6}$", dare.text)[0]
        for head, words in (("With all sixteen experts", dare.right), ("Without one of them", dare.experts[0][2])):
            axes.text(MARGIN, top + 20, head, fontsize=19, color=muted, va="center")
            for column, (character, right) in enumerate(zip(begun + words, begun + dare.right, strict=True)):
                x, color = MARGIN + LARGE * column, text if column >= len(begun) else muted
                if character != right:
                    axes.add_patch(Rectangle((x, top + 42), LARGE - 4, 62, color=look.color("fails"), linewidth=0))
                    color = look.color("ground")
                large = {"fontsize": 38, "family": "monospace", "weight": "bold", "color": color}
                axes.text(x + LARGE / 2 - 2, top + 71, character.translate(MARKS), **large, **MIDDLE)
            top += 122
        axes.text(MARGIN, height - 36, "Which? Break the model.", fontsize=24, weight="bold", color=text, va="bottom")
        figure.savefig(file, format="png", metadata={"Software": None})
