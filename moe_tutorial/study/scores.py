"""The rows of the course's scoreboard: a model's accuracy on ``digits4``, and how many of its neurons an input uses.

A lesson prints one line per row. Later lessons and nbval read them from its output, so no figure is copied by hand::

    scoreboard 02: experts and an oracle | 8 of 32 neurons | accuracy 0.950 [0.946, 0.954]
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from moe_tutorial.study.estimates import FIGURE, Figure, Numbers, estimate

LINE = re.compile(
    r"^scoreboard (?P<lesson>\d\d): (?P<name>[^|\n]+) \| (?P<active>\d+) of (?P<total>\d+) neurons"
    rf" \| accuracy (?P<accuracy>{FIGURE})$",
    re.MULTILINE,
)


class Row(NamedTuple):
    """One model: an input uses ``active`` of its ``total`` hidden neurons."""

    lesson: str
    name: str
    active: int
    total: int
    accuracy: Figure

    @property
    def line(self) -> str:
        """The row as it is printed."""
        size = f"{self.active} of {self.total} neurons"
        return f"scoreboard {self.lesson}: {self.name} | {size} | accuracy {self.accuracy}"


def read_rows(text: str) -> list[Row]:
    """Every row in a text, in order."""
    return [
        Row(part["lesson"], part["name"], int(part["active"]), int(part["total"]), Figure.read(part["accuracy"]))
        for part in LINE.finditer(text)
    ]


def score(lesson: str, contestants: Mapping[str, tuple[int, int, Numbers]]) -> list[Row]:
    """Print a lesson's rows, and return them.

    Args:
        lesson: its number, such as ``"02"``.
        contestants: name -> hidden neurons that an input uses, hidden neurons in total, test accuracy of each seed.
    """
    rows = [Row(lesson, name, *sizes, estimate(numbers)) for name, (*sizes, numbers) in contestants.items()]
    print(*(row.line for row in rows), sep="\n")
    return rows
