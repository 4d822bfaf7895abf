"""What a lesson asks of its learner, counted: little at a time, and little code in sight."""

from pathlib import Path

import pytest
from counts import counts

from moe_tutorial.course.lesson import Lesson, lesson_files
from moe_tutorial.tools.workspace.copies import COLLAPSED

LESSONS = [
    "00_start_here",
    "01_why_experts",
    "02_experts",
    "03_router",
    "04_training",
    "05_collapse",
    "06_noise",
    "07_balance",
    "08_moe_gpt",
    "09_modern_moe",
    "10_edge",
    "11_scale",
    "12_fff_trees",
    "13_fff_vs_moe",
    "14_capstone",
]
ONE_IS_ENOUGH = "14_capstone"  # where more are optional
ALL = [path.stem for path in lesson_files(Path(__file__).parents[2] / "notebooks")]


@pytest.fixture(params=LESSONS)
def lesson(root, request) -> Lesson:
    return Lesson.read(root / f"notebooks/{request.param}.py")


def test_a_lesson_with_exercises_asks_for_little_at_a_time(lesson):
    found, stretch = counts(lesson)
    assert (1 if lesson.name == ONE_IS_ENOUGH else 2) <= found.exercises <= 5
    assert found.lines <= 8
    assert 0 < found.claims <= 4
    assert 0 < stretch <= 4
    # What is counted is a lower bound. A lesson says what a reader needed who had not seen it, rounded up to five.
    assert found.minutes <= lesson.minutes <= 45
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


@pytest.mark.parametrize("lesson", ALL, indirect=True)
def test_claims_are_numbered_in_the_order_in_which_they_stand(lesson):
    claims = [id for cell in lesson.cells for id in cell.ids("claim")]
    assert claims == [f"{lesson.name[:2]}.{number}" for number in range(1, len(claims) + 1)]
