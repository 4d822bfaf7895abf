"""Count what a lesson asks of its learner: words, lines to write, minutes, actions, visible claims.

Sections that are folded on the website (*Further ...*, *Try it*) and exercises with the tag "optional" are not counted.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from moe_tutorial.course.lesson import SOLUTION, Cell, Lesson
from moe_tutorial.course.quizzes.questions import load

WORDS_A_MINUTE = 180
FOLDED = re.compile(r"## (Further|Try it)")
UNREAD = re.compile(
    r"<!--.*?-->|```.*?```|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>]+>|^\|[-|: ]+\|$", re.DOTALL | re.MULTILINE
)
WIDGET = re.compile(r"\b(sweep|explore_router|watch_\w+|playground|explorable|live_gpt|detective)\(")
STILL = re.compile(
    r"\b(picture|region_maps?|bars|usage_bars|expert_bars|expert_cards|seed_dots|curves|interval_chart"
    r"|scoreboard|token_path|scatter)\("
)


class Counts(NamedTuple):
    """The counts of one cell, or of several."""

    words: int = 0
    lines: int = 0
    exercises: int = 0
    claims: int = 0
    pictures: int = 0
    questions: int = 0
    acts: int = 0

    @property
    def minutes(self) -> float:
        """Time to read the words, 3 minutes per line to write, and half a minute per claim, picture or question."""
        return self.words / WORDS_A_MINUTE + 3 * self.lines + 0.5 * (self.claims + self.pictures + self.questions)


def solution_lines(source: str) -> int:
    """How many lines of code the solution has, without blank lines and comments."""
    lines = [line.strip() for found in SOLUTION.finditer(source) for line in found[2].splitlines()]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def code_cell(cell: Cell) -> Counts:
    """The counts of a code cell."""
    questions = len(cell.ids("guess")) + sum(len(load(id)) for id in cell.ids("quiz"))
    exercises = int("exercise" in cell.tags)
    calls = re.sub(r"^(from|import) .*?(?<!,)$", "", cell.source, flags=re.MULTILINE)
    widget = bool(WIDGET.search(calls))
    return Counts(
        lines=solution_lines(cell.source),
        exercises=exercises,
        claims=len(cell.ids("claim")),
        pictures=int(widget or bool(STILL.search(calls))),
        questions=questions,
        acts=exercises + questions + int(widget),
    )


def cells(lesson: Lesson) -> Iterator[Counts]:
    """The counts of the cells outside folded sections, in order."""
    folded = False
    for cell in lesson.cells:
        if cell.kind == "markdown":
            for part in re.split(r"(?m)^(?=## )", cell.source):
                if part.startswith("## "):
                    folded = bool(FOLDED.match(part))
                if not folded:
                    yield Counts(words=len(re.findall(r"\S*\w\S*", UNREAD.sub(" ", part))))
        elif not folded and "optional" not in cell.tags:
            yield code_cell(cell)


def counts(lesson: Lesson) -> tuple[Counts, float]:
    """A lesson's counts, and the longest time in minutes without an action by the learner."""
    found = list(cells(lesson))
    stretch, longest = 0.0, 0.0
    for cell in found:
        stretch = 0.0 if cell.acts else stretch + cell.minutes
        longest = max(longest, stretch)
    return Counts(*(sum(column) for column in zip(*found, strict=True))), longest
