"""What a lesson asks of its learner, counted: little at a time, and little code in sight.

Sections that are folded on the website (*Further ...*, *Try it*) and exercises with the tag "optional" are not counted.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from moe_tutorial.course.lesson import SOLUTION, Cell, Lesson
from moe_tutorial.course.quizzes.questions import load
from moe_tutorial.tools.workspace.copies import COLLAPSED

ONE_IS_ENOUGH = "14_capstone"  # where more exercises are optional
WORDS_A_MINUTE = 180
FOLDED = re.compile(r"## (Further|Try it)")
UNREAD = re.compile(
    r"<!--.*?-->|```.*?```|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>]+>|^\|[-|: ]+\|$", re.DOTALL | re.MULTILINE
)
WIDGET = re.compile(r"\b(sweep|explore_router|watch_\w+|playground|explorable|live_gpt|detective)\(")
STILL = re.compile(
    r"\b(picture|region_maps?|bars|usage_bars|expert_bars|expert_cards|curves|interval_chart"
    r"|scoreboard|token_path|scatter)\("
)


class Counts(NamedTuple):
    """The counts of one cell, or of several."""

    words: int = 0
    lines: int = 0  # of code to write
    exercises: int = 0
    claims: int = 0
    pictures: int = 0  # widgets are among them
    questions: int = 0
    widgets: int = 0

    @property
    def acts(self) -> int:
        """How often the learner does something."""
        return self.exercises + self.questions + self.widgets

    @property
    def minutes(self) -> float:
        """Time to read the words, 3 minutes per line to write, and half a minute per claim, picture or question."""
        return self.words / WORDS_A_MINUTE + 3 * self.lines + 0.5 * (self.claims + self.pictures + self.questions)


def code_cell(cell: Cell) -> Counts:
    """The counts of a code cell; blank lines and comments are no lines to write."""
    solution = [line.strip() for found in SOLUTION.finditer(cell.source) for line in found[2].splitlines()]
    calls = re.sub(r"^(from|import) .*?(?<!,)$", "", cell.source, flags=re.MULTILINE)
    widget = bool(WIDGET.search(calls))
    return Counts(
        lines=sum(bool(line) and not line.startswith("#") for line in solution),
        exercises=int("exercise" in cell.tags),
        claims=len(cell.ids("claim")),
        pictures=int(widget or bool(STILL.search(calls))),
        questions=len(cell.ids("guess")) + sum(len(load(id)) for id in cell.ids("quiz")),
        widgets=int(widget),
    )


def counts(lesson: Lesson) -> Iterator[Counts]:
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


def test_a_lesson_with_exercises_asks_for_little_at_a_time(lesson):
    cells = list(counts(lesson))
    whole = Counts(*(sum(column) for column in zip(*cells, strict=True)))
    assert (1 if lesson.name == ONE_IS_ENOUGH else 2) <= whole.exercises <= 5
    assert whole.lines <= 8
    assert 0 < whole.claims <= 4
    without_an_act = 0.0  # minutes
    for cell in cells:
        without_an_act = 0.0 if cell.acts else without_an_act + cell.minutes
        assert without_an_act <= 4
    # What is counted is a lower bound. A lesson says what a reader needed who had not seen it, rounded up to five.
    assert whole.minutes <= lesson.minutes <= 45
    assert lesson.minutes % 5 == 0


def test_a_collapsed_cell_begins_with_a_comment_that_names_it_and_little_code_is_in_sight(lesson):
    tasks = {task.place: task.stub for task in lesson.tasks}
    in_sight = 0
    for place, cell in enumerate(lesson.cells):
        if cell.kind == "markdown":
            continue
        if COLLAPSED & set(cell.tags):
            assert cell.source.startswith("# "), cell.source
            assert len(cell.source.split("\n")[0]) <= 100
        else:
            in_sight += sum(bool(line.strip()) for line in tasks.get(place, cell.source).split("\n"))
    assert in_sight <= 60


def test_claims_are_numbered_in_the_order_in_which_they_stand(lesson):
    claims = [id for cell in lesson.cells for id in cell.ids("claim")]
    assert claims == [f"{lesson.name[:2]}.{number}" for number in range(1, len(claims) + 1)]
