"""What a lesson asks of its learner, counted: little at a time."""

import pytest

from moe_tutorial.course.lesson import Lesson
from moe_tutorial.tools.notebooks.counts import counts


@pytest.mark.parametrize("name", ["00_start_here", "01_why_experts", "02_experts", "03_router", "04_training"])
def test_a_lesson_with_exercises_asks_for_little_at_a_time(root, name):
    lesson = Lesson.read(root / f"notebooks/{name}.py")
    found, stretch = counts(lesson)
    assert 3 <= found.exercises <= 5
    assert 0 < found.claims <= 4
    assert found.minutes <= 35
    assert 0 < stretch <= 4
    assert 0 <= lesson.minutes - found.minutes <= 7  # and running the cells takes time
