"""Count what a lesson asks of its learner: words, lines to write, minutes, actions, visible claims.

Sections that are folded on the website (*Further ...*, *Try it*) are optional and not counted.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jupytext

from moe_tutorial.course.exercises import SOLUTION
from moe_tutorial.course.quizzes.questions import load

WORDS_A_MINUTE = 180
FOLDED = re.compile(r"## (Further|Try it)")
UNREAD = re.compile(
    r"<!--.*?-->|```.*?```|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>]+>|^\|[-|: ]+\|$", re.DOTALL | re.MULTILINE
)
WIDGET = re.compile(r"\b(sweep|explore_router|watch_training|watch_usage|playground|explorable|token_view)\(")
PICTURE = re.compile(
    r"\b(picture|region_maps?|bars|usage_bars|expert_bars|expert_cards|seed_dots|seed_strip|curves|interval_chart|scoreboard|token_path"
    r"|scatter|sweep|explore_router|watch_training|watch_usage|playground|explorable|token_view)\("
)


class Cell(NamedTuple):
    """The counts of one cell."""

    words: int = 0
    lines: int = 0
    exercises: int = 0
    claims: int = 0
    pictures: int = 0
    questions: int = 0
    acts: int = 0

    @property
    def minutes(self) -> float:
        """Time to read the words, plus a minute per line to write and half a minute per claim, picture or question."""
        return self.words / WORDS_A_MINUTE + self.lines + 0.5 * (self.claims + self.pictures + self.questions)


class Counts(NamedTuple):
    """The counts of one lesson. ``stretch`` is the longest time in minutes without an action by the learner."""

    words: int
    lines: int
    exercises: int
    claims: int
    pictures: int
    questions: int
    acts: int
    minutes: float
    stretch: float


def solution_lines(source: str) -> int:
    """How many lines of code the solution has, without blank lines and comments."""
    lines = [line.strip() for found in SOLUTION.finditer(source) for line in found[2].splitlines()]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def code_cell(source: str, tags: list[str]) -> Cell:
    """The counts of a code cell."""
    quiz = re.search(r'^quiz\("(\d\d)"\)', source, re.MULTILINE)
    asked = len(re.findall(r"^guess\(", source, re.MULTILINE))
    if quiz:
        asked = len(load(quiz[1]))
    exercises = int("exercise" in tags)
    calls = re.sub(r"^(from|import) .*?(?<!,)$", "", source, flags=re.MULTILINE)
    return Cell(
        lines=solution_lines(source),
        exercises=exercises,
        claims=len(re.findall(r"^claim\(", source, re.MULTILINE)),
        pictures=int(bool(PICTURE.search(calls))),
        questions=asked,
        acts=exercises + asked + int(bool(WIDGET.search(calls))),
    )


def cells(lesson: Path) -> Iterator[Cell]:
    """The counts of the cells outside folded sections, in order."""
    folded = False
    for cell in jupytext.read(lesson).cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"(?m)^(?=## )", cell.source):
                if part.startswith("## "):
                    folded = bool(FOLDED.match(part))
                if not folded:
                    yield Cell(words=len(re.findall(r"\S*\w\S*", UNREAD.sub(" ", part))))
        elif cell.cell_type == "code" and not folded:
            yield code_cell(cell.source, cell.metadata.get("tags", []))


def counts(lesson: Path) -> Counts:
    """Count one lesson's ``.py``."""
    found = list(cells(lesson))
    stretch, longest = 0.0, 0.0
    for cell in found:
        stretch = 0.0 if cell.acts else stretch + cell.minutes
        longest = max(longest, stretch)
    sums = [sum(column) for column in zip(*found, strict=True)]
    return Counts(*sums, minutes=sum(cell.minutes for cell in found), stretch=longest)


def report(folder: Path) -> int:
    """Print a row for each lesson."""
    print(f"{'lesson':20}" + "".join(f"{name:>11}" for name in Counts._fields))
    for lesson in sorted(folder.glob("[0-9][0-9]_*.py")):
        row = counts(lesson)
        print(f"{lesson.stem:20}" + "".join(f"{n:11}" for n in row[:-2]) + "".join(f"{n:11.1f}" for n in row[-2:]))
    return 0
