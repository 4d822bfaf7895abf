"""nbgrader releases a lesson and grades it: an answer that is right, one that is wrong, and one that never ends."""

import csv
import os
import subprocess
from pathlib import Path

import nbformat
import programs
import pytest
from tiny_course import ADD, write_course

from moe_tutorial.course import CourseError
from moe_tutorial.course.lesson import SOLUTION, Lesson
from moe_tutorial.tools.nbgrader import make_class

ROOT = Path(__file__).parents[2]
NBGRADER = "nbgrader>=0.9.6"
WORDS = {  # in place of the first solution of the lesson
    "right": None,
    "wrong": "return None",
    "endless": "while True: pass",
}


def test_a_class_is_made_of_the_lessons_with_exercises(tmp_path):
    lessons = write_course(tmp_path / "course", {"01_add": ADD, "02_read": "# %% [markdown]\n# # Read\n"}) / "notebooks"
    assert make_class(tmp_path / "class", lessons) == ["01_add"]
    assert [path.name for path in (tmp_path / "class/source").iterdir()] == ["01_add"]
    notebook = nbformat.read(tmp_path / "class/source/01_add/01_add.ipynb", as_version=4)
    assert "### BEGIN SOLUTION" in notebook.cells[3].source  # nbgrader cuts it out
    assert notebook.cells[3].metadata.nbgrader.grade_id == "01-add"
    assert not notebook.cells[1].outputs
    with pytest.raises(CourseError, match="is there already, and not empty"):
        make_class(tmp_path / "class", lessons)
    (lessons / "01_add.ipynb").unlink()
    with pytest.raises(CourseError, match="no lesson has an exercise yet"):
        make_class(tmp_path / "other", lessons)


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    """Runs nbgrader. It has an environment of its own, or its menus would stand in every learner's JupyterLab."""
    folder = tmp_path_factory.mktemp("nbgrader")
    python = programs.fresh_python(folder)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NBGRADER]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nbgrader cannot be had here: {done.stderr.splitlines()[-1]}")

    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),  # it calls alembic
    }
    return lambda course, *command: programs.run(python, "-m", "nbgrader", *command, folder=course, **environment)


@pytest.mark.nightly
def test_three_submissions_are_released_and_graded(nbgrader, tmp_path):
    course = tmp_path / "class"
    name = make_class(course)[0]
    settings = course / "nbgrader_config.py"
    settings.write_text(settings.read_text().replace("timeout = 120", "timeout = 30"))  # that of the endless answer
    nbgrader(course, "generate_assignment", name)
    source = nbformat.read(course / f"source/{name}/{name}.ipynb", as_version=4)
    released = nbformat.read(course / f"release/{name}/{name}.ipynb", as_version=4)
    tasks = Lesson.of(name, source).tasks
    assert all(released.cells[task.place].source == task.stub for task in tasks)

    for student, words in WORDS.items():
        handed_in = nbformat.from_dict(released)
        for task in tasks:
            handed_in.cells[task.place].source = task.cell
        if words:
            first = handed_in.cells[tasks[0].place]
            first.source = SOLUTION.sub(lambda found, words=words: f"{found[1]}{words}\n", first.source)
        last = next(n for n, cell in enumerate(handed_in.cells) if "check(" in cell.source) + 1
        handed_in.cells = [cell for n, cell in enumerate(handed_in.cells) if n < last or "nbgrader" in cell.metadata]
        target = course / f"submitted/{student}/{name}/{name}.ipynb"
        target.parent.mkdir(parents=True)
        nbformat.write(handed_in, target)
    nbgrader(course, "autograde", name)
    nbgrader(course, "export", "--to", str(course / "grades.csv"))
    with (course / "grades.csv").open(encoding="utf-8", newline="") as file:
        grades = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert grades == {"right": len(tasks), "wrong": len(tasks) - 1, "endless": len(tasks) - 1}
    graded = nbformat.read(course / f"autograded/endless/{name}/{name}.ipynb", as_version=4)
    said = next(output for cell in graded.cells for output in cell.get("outputs", []) if output.output_type == "error")
    assert said.ename == "AnswerFailed"
    assert "It was stopped while it ran." in said.evalue
