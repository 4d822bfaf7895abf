"""A lesson's source is parsed as Jupytext parses it, and a lesson that lacks a part says which."""

import subprocess
import sys

import jupytext
import pytest

from moe_tutorial.course import CourseError
from moe_tutorial.course.exercises import EXERCISES
from moe_tutorial.course.lesson import Lesson, lesson_files, lessons_folder, solved, stub

OPENING = "# %% [markdown]\n# # A lesson\n#\n# 5 minutes. You leave able to add\n# [numbers](https://a.b/c).\n\n"
EXERCISE = '# %% tags=["exercise"]\ndef f():\n    ### BEGIN SOLUTION\n    pass\n    ### END SOLUTION\n\n'
CHECK = '# %% [markdown]\n# Text.\n\n# %%\nf = check("99.f", f)\n\n'
ASKED = '# %%\nguess(\n    "99.how", "How?", choices=["so", "or so"]\n)\n\n# %%\nquiz("99")\n'


@pytest.fixture
def read(tmp_path):
    """Parses a source."""

    def lesson(text):
        (tmp_path / "99_small.py").write_text(f"# ---\n# jupyter: {{}}\n# ---\n\n{text}", encoding="utf-8")
        return Lesson.read(tmp_path / "99_small.py")

    return lesson


@pytest.mark.parametrize("file", sorted(lessons_folder().glob("*.py")), ids=lambda file: file.stem)
def test_a_source_is_parsed_as_jupytext_does(file):
    assert Lesson.read(file) == Lesson.of(file.stem, jupytext.read(file))


def test_what_a_lesson_says_and_asks(read):
    lesson = read(OPENING + EXERCISE + CHECK + ASKED)
    assert (lesson.name, lesson.minutes, lesson.able) == ("99_small", 5, "add [numbers](https://a.b/c)")
    assert lesson.links == {"https://a.b/c"}
    assert lesson.asked == {"exercise": ["99.f"], "guess": ["99.how"], "quiz": ["99"], "detective": []}
    (task,) = lesson.tasks
    assert (task.name, task.place, task.check_place) == ("f", 1, 3)


def test_an_exercise_without_marks_or_check_is_refused(read):
    with pytest.raises(CourseError, match="99_small, cell 1: an exercise needs ### BEGIN SOLUTION"):
        _ = read(OPENING + EXERCISE.replace("    ### BEGIN SOLUTION\n", "") + CHECK).tasks
    for below in ("", ASKED, EXERCISE + CHECK):
        with pytest.raises(CourseError, match=r'99_small, cell 1: no check\("..."\) follows this exercise'):
            _ = read(OPENING + EXERCISE + below).tasks


def test_a_lesson_that_opens_otherwise_is_refused(read):
    with pytest.raises(CourseError, match=r"99_small\.py must open with its title"):
        _ = read(EXERCISE + CHECK).able


def test_several_solutions_in_a_cell_and_their_indentation():
    cell = "def f():\n    a = 1\n    ### BEGIN SOLUTION\n    b = 2\n\n    ### END SOLUTION\n    return a\n"
    assert stub(cell) == "def f():\n    a = 1\n    # YOUR CODE HERE\n    raise NotImplementedError()\n    return a"
    assert solved(cell) == "def f():\n    a = 1\n    b = 2\n\n    return a"


def test_every_exercise_of_the_lessons_is_there():
    tagged = sum(path.read_text(encoding="utf-8").count('tags=["exercise"') for path in lesson_files())
    assert len(EXERCISES) == tagged > 0


@pytest.mark.parametrize(
    ("code", "slow"),
    [
        ("import moe_tutorial.tools.__main__", "torch"),
        ("from moe_tutorial.course import check", "jupytext"),
        ("import moe_tutorial.layers", "transformers"),
    ],
)
def test_nobody_waits_for_what_is_not_needed_yet(code, slow):
    run = subprocess.run([sys.executable, "-c", f"{code}; import sys; sys.exit({slow!r} in sys.modules)"])
    assert run.returncode == 0
