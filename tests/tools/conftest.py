"""What tests of the lessons' texts share."""

import pytest

from moe_tutorial.course.lesson import Lesson, lesson_files


@pytest.fixture(params=lesson_files(), ids=lambda path: path.stem)
def lesson(request) -> Lesson:
    """Each lesson of the course."""
    return Lesson.read(request.param)
