"""A learner's own folder: how it is made from the course, brought up to date, reset, and counted."""

import json
import re
from argparse import Namespace
from datetime import datetime

import nbformat
import pytest
from tiny_course import ADD, COURSE, DOUBLE, NEW, SOLVED, learn, read, sources, write_course

from moe_tutorial.course import CourseError
from moe_tutorial.tools.__main__ import main
from moe_tutorial.tools.workspace import commands
from moe_tutorial.tools.workspace.copies import read_course
from moe_tutorial.tools.workspace.start import write_start
from moe_tutorial.tools.workspace.update import alone, make_or_update, reset


@pytest.fixture
def course(tmp_path):
    """The folder of the tiny course."""
    return write_course(tmp_path / "course")


@pytest.fixture
def mine(tmp_path, course):
    """A learner's folder, just made."""
    make_or_update(tmp_path / "mine", read_course(course))
    return tmp_path / "mine"


def update(mine, course, lessons=None):
    """The course changes to these lessons, and the learner's folder follows."""
    if lessons:
        write_course(course, lessons)
    return make_or_update(mine, read_course(course))


def old(mine):
    """The names of what is kept, without their dates."""
    return sorted(path.name.split(".")[0] + path.suffix for path in (mine / "old").glob("*"))


# How it is made


def test_a_learner_gets_stubs_no_outputs_and_no_second_form(mine):
    assert sorted(path.name for path in mine.iterdir() if not path.name.startswith(".")) == [
        "01_add.ipynb", "02_double.ipynb", "START.md", "progress.json",
    ]  # fmt: skip
    notebook = read(mine / "01_add.ipynb")
    assert notebook.cells[3].source == (
        'def add(a, b):\n    """a + b"""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    )
    assert "jupytext" not in notebook.metadata
    assert [cell.outputs for cell in notebook.cells if cell.cell_type == "code"] == [[], [], []]
    goes_on = ["raises-exception" in cell.metadata.get("tags", []) for cell in notebook.cells]
    assert goes_on == ["nbgrader" in cell.metadata for cell in notebook.cells]  # Run All does not stop there
    assert not any("return a + b" in path.read_text() for path in mine.rglob("*") if path.is_file())


def test_the_real_course_is_made_whole():
    for page in read_course():
        nbformat.validate(page.notebook)
        further = [cell.metadata for cell in page.notebook.cells if cell.source.startswith("## Further")]
        assert all("jp-MarkdownHeadingCollapsed" in metadata for metadata in further), page.name
        assert "SOLUTION" not in nbformat.writes(page.notebook), page.name
        assert page.asks or not page.name[:2].isdecimal(), page.name


def test_made_again_nothing_changes_and_what_was_half_written_goes(mine, course):
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    (mine / ".02_double.ipynb.part").write_text("{")
    report = update(mine, course)
    assert (report.done, report.waiting, report.amiss) == ([], [], [])
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before


# How it is brought up to date

BROKEN = "def add(a, b):\n    return (a +"


@pytest.mark.parametrize("answer", [SOLVED, "def add(a, b):\n    total = a", BROKEN, "%%time\nadd = sum"])
def test_an_answer_arrives_in_its_exercise_finished_or_not(mine, course, answer):
    learn(mine / "01_add.ipynb", {"YOUR CODE": answer})
    report = update(mine, course, NEW)
    notebook = read(mine / "01_add.ipynb")
    (exercise,) = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert (exercise.source, exercise.metadata.nbgrader.grade_id) == (answer, "01-add")
    assert len(notebook.cells) == len(read_course(course)[0].notebook.cells)
    assert "    your answers are in it: 1" in report.done
    update(mine, course, COURSE)
    assert sources(mine / "01_add.ipynb")[3] == answer


def test_an_answer_arrives_in_another_lesson_too(mine, course):
    learn(mine / "01_add.ipynb", {"YOUR CODE": SOLVED})
    start, exercise, check, recap = re.split(r"(?=# %% tags)|(?=# %%\nadd)|(?=# %% \[markdown\]\n# ## R)", ADD)
    update(mine, course, {"01_add": start + recap, "02_double": DOUBLE, "03_more": start + exercise + check})
    assert sources(mine / "03_more.ipynb")[3] == SOLVED
    assert sources(mine / "01_add.ipynb")[-1] == SOLVED  # a lesson without the exercise keeps it at its end


def test_own_and_changed_cells_stand_at_the_end_in_their_order_and_the_file_as_it_was_in_old(mine, course):
    lesson = mine / "01_add.ipynb"
    picture = "It adds:\n![](attachment:a.png)"
    learn(lesson, {"YOUR CODE": SOLVED, 'check("01.add"': 'add = check("01.add", sum)', "It adds": picture})
    learn(lesson, added={"# 01 Add": "x = 1", "print": "", "It adds": "y = 2"})
    notebook = read(lesson)
    half = nbformat.from_dict(notebook.cells[5] | {"source": "half = 1", "id": "half"})
    notebook.cells.insert(6, half)  # with the marks of the whole, as JupyterLab splits a cell
    notebook.cells[-2].attachments = {"a.png": {"image/png": "x"}}
    notebook.metadata.kernelspec = {"name": "other", "display_name": "Other"}
    nbformat.write(notebook, lesson)
    before = lesson.read_bytes()
    report = update(mine, course, NEW)
    own = ["x = 1", "half = 1", 'add = check("01.add", sum)', picture, "y = 2"]
    given = [cell.source for cell in read_course(course)[0].notebook.cells]
    given[given.index(next(text for text in given if "YOUR CODE" in text))] = SOLVED
    assert sources(lesson) == [*given, "## Your own cells before the update", *own]
    assert read(lesson).cells[-2].attachments == {"a.png": {"image/png": "x"}}
    assert read(lesson).metadata.kernelspec.name == "other"
    (copy,) = (mine / "old").iterdir()
    assert copy.read_bytes() == before
    assert datetime.strptime(copy.name, "01_add.%Y-%m-%d-%H%M.ipynb")
    assert report.done[2:4] == [
        "    your own and changed cells stand at its end: 5",
        f"    as it was before: old/{copy.name}",
    ]

    assert not update(mine, course).done  # once is enough
    learn(lesson, added={"Your turn": "z = 3"})
    second = lesson.read_bytes()
    update(mine, course, COURSE)
    assert sources(lesson)[-7:] == ["## Your own cells before the update", "z = 3", *own]
    assert {before, second} == {path.read_bytes() for path in (mine / "old").iterdir()}


def test_a_lesson_that_the_learner_never_changed_is_simply_replaced(mine, course, monkeypatch, capsys):
    learn(mine / "02_double.ipynb", added={"print": "y = 1"})
    written = (mine / "02_double.ipynb").read_bytes()
    write_course(course, NEW)
    monkeypatch.setattr(commands, "read_course", lambda: read_course(course))
    commands.run(Namespace(command="new", folder=mine), [])  # opening the course replaces no other lesson
    assert capsys.readouterr().out == (
        "✓ 01_add is the course's present version\n"
        "`moe-tutorial update` brings 02_double up to date, with your work in it\n"
    )
    assert sources(mine / "01_add.ipynb") == [cell.source for cell in read_course(course)[0].notebook.cells]
    assert (mine / "02_double.ipynb").read_bytes() == written
    assert not (mine / "old").exists()


def test_a_learners_own_notebooks_are_none_of_the_courses_business(mine, course):
    learn(mine / "01_add.ipynb", {"YOUR CODE": SOLVED})
    (mine / "01_add-Copy1.ipynb").write_bytes((mine / "01_add.ipynb").read_bytes())
    reset(mine, read_course(course), "01")
    before = (mine / "01_add-Copy1.ipynb").read_bytes()
    update(mine, course, NEW)
    assert (mine / "01_add-Copy1.ipynb").read_bytes() == before
    assert SOLVED not in sources(mine / "01_add.ipynb")


# What cannot be


def test_a_notebook_that_is_none_is_left_alone_and_said(mine, course):
    (mine / "01_add.ipynb").write_text('{"cells": [')
    nbformat.write(nbformat.v4.new_notebook(), mine / "02_double.ipynb")
    report = update(mine, course)
    assert report.amiss == [
        f"{name}.ipynb is not a notebook of the course any more, and was left alone; "
        f"`moe-tutorial reset {name}` gives it anew"
        for name in COURSE
    ]
    assert (mine / "01_add.ipynb").read_text() == '{"cells": ['
    reset(mine, read_course(course), "01")
    assert (next(iter((mine / "old").glob("01*")))).read_text() == '{"cells": ['
    assert "# 01 Add" in sources(mine / "01_add.ipynb")[0]


def test_a_folder_that_is_something_else(tmp_path, course):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CourseError, match="file is a file; name a folder"):
        make_or_update(tmp_path / "file", read_course(course))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.md").write_text("mine")
    with pytest.raises(CourseError, match="is not empty, and not a folder of this course"):
        make_or_update(tmp_path / "full", read_course(course))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.md"]
    (tmp_path / "empty/.git").mkdir(parents=True)
    make_or_update(tmp_path / "empty", read_course(course))


def test_two_commands_at_once(mine, course):
    with alone(mine), pytest.raises(CourseError, match="another command is at work on"):
        update(mine, course)


def test_a_notebook_that_is_saved_meanwhile_is_not_replaced(mine, course, monkeypatch):
    def save_now(folder):
        learn(folder / "01_add.ipynb", added={"print": "saved = True"})
        return set()

    monkeypatch.setattr("moe_tutorial.tools.workspace.update.opened", save_now)
    assert "01_add.ipynb is open" in update(mine, course, NEW).amiss[0]
    assert "saved = True" in sources(mine / "01_add.ipynb")


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    def run(folder, *command):
        monkeypatch.chdir(folder)
        return main([*command]), "".join(capsys.readouterr())

    assert run(tmp_path, "update") == (1, "✗ there is no course in my-course yet; `moe-tutorial lab` makes one\n")
    error, said = run(tmp_path, "new")
    assert (error, said.split(":")[0]) == (0, f"✓ {tmp_path / 'my-course'} is your own folder of the course")
    assert run(tmp_path / "my-course", "update") == (0, "✓ every lesson is up to date\n")
    assert run(tmp_path / "my-course", "my-moe")[1].startswith("✓ my_moe.py is in your folder\n")
    error, said = run(tmp_path, "reset", "77")
    assert (error, said.split(";")[0]) == (1, "✗ there is no lesson '77'")
    assert run(tmp_path, "reset", "3")[1].startswith("✓ 03_router is as the course gives it\n    yours is old/03_")
    (tmp_path / "file").write_text("mine")
    assert run(tmp_path, "new", "--folder", "file/course") == (1, "✗ file/course: Not a directory\n")


# How far a learner is

DONE = {
    "exercise": {"01.add": {"attempts": 3, "solved": True}, "02.double": {"attempts": 1, "solved": False}},
    "guess": {"02.twice": {"said": "4"}},
    "quiz": {"02": {"of": 4, "tries": {"a": 1, "b": 2}, "right": ["a", "b"]}},
}


def test_the_front_page_counts_each_lesson(mine, course):
    assert "Begin with **[01 Add](01_add.ipynb)**" in (mine / "START.md").read_text()
    (mine / "progress.json").write_text(json.dumps(DONE))
    write_start(mine, read_course(course))
    page = (mine / "START.md").read_text()
    assert "Go on with **[02 Double](02_double.ipynb)**" in page
    assert "| ✓ | [01 Add](01_add.ipynb) | How? |  | 1 of 1 exercises |" in page
    assert " | 0 of 1 exercises, 1 of 1 guesses, quiz 2 of 4 |" in page
    assert not (mine / "old").exists()


def test_words_that_a_learner_adds_to_the_front_page_are_kept(mine, course):
    (mine / "START.md").write_text((mine / "START.md").read_text() + "Tuesdays!\n")
    update(mine, course)
    (copy,) = (mine / "old").iterdir()
    assert "Tuesdays!" in copy.read_text()
    assert "Tuesdays!" not in (mine / "START.md").read_text()


def test_reset_gives_a_lesson_anew_with_its_guesses_open(mine, course):
    learn(mine / "02_double.ipynb", added={"print": "y = 1"})
    (mine / "progress.json").write_text(json.dumps(DONE))
    said = reset(mine, read_course(course), "02")
    assert "y = 1" not in sources(mine / "02_double.ipynb")
    kept = json.loads((mine / "progress.json").read_text())
    assert kept == {"exercise": {"01.add": DONE["exercise"]["01.add"]}, "guess": {}, "quiz": {}}
    assert old(mine) == ["02_double.ipynb", "progress.json"]
    assert len(said) == 3
    assert json.loads(next((mine / "old").glob("progress*")).read_text()) == DONE
