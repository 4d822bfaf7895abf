"""A learner's own folder: how it is made from the course, brought up to date, reset, and counted."""

import json
import re
from argparse import Namespace
from datetime import datetime

import nbformat
import pytest
from tiny_course import ADD, COURSE, DOUBLE, SOLVED, course_in, learn, read, sources, write_course

from moe_tutorial.course import CourseError
from moe_tutorial.course.progress import backups
from moe_tutorial.course.progress.renumbered import LESSONS
from moe_tutorial.tools.__main__ import main
from moe_tutorial.tools.workspace import commands, status
from moe_tutorial.tools.workspace.copies import MARK, read_course
from moe_tutorial.tools.workspace.start import write_start
from moe_tutorial.tools.workspace.update import alone, make_or_update, reset


@pytest.fixture
def course(tmp_path):
    """The folder of the tiny course."""
    return write_course(tmp_path / "course")


@pytest.fixture
def mine(tmp_path, course):
    """A learner's folder, just made."""
    make_or_update(tmp_path / "mine", course_in(course))
    return tmp_path / "mine"


def update(mine, course, lessons=None, **options):
    """The course changes to these lessons, and the learner's folder follows."""
    if lessons:
        write_course(course, lessons)
    return make_or_update(mine, course_in(course), **options)


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
    exercise, check = (cell.metadata.nbgrader for cell in notebook.cells if "nbgrader" in cell.metadata)
    goes_on = ["raises-exception" in cell.metadata.get("tags", []) for cell in notebook.cells]
    assert goes_on == ["nbgrader" in cell.metadata for cell in notebook.cells]  # Run All does not stop there
    common = {"schema_version": 3, "task": False}
    assert exercise == common | {"grade_id": "01-add", "grade": False, "locked": False, "solution": True}
    assert check == common | {"grade_id": "01-add-check", "grade": True, "locked": True, "solution": False, "points": 1}
    assert not any("return a + b" in path.read_text() for path in mine.rglob("*") if path.is_file())


def test_the_real_course_is_made_whole():
    course = read_course()
    assert course[0].name == "00_start_here"
    assert [page.name for page in course[-2:]] == ["playground", "claims"]
    for page in course:
        nbformat.validate(page.notebook)
        assert "SOLUTION" not in nbformat.writes(page.notebook), page.name
        marks = [cell.metadata[MARK].id for cell in page.notebook.cells]
        assert len(set(marks)) == len(marks)
        if page.name[:2].isdecimal():
            assert page.asks


def test_made_again_nothing_changes_and_what_was_half_written_goes(mine, course):
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    (mine / ".02_double.ipynb.part").write_text("{")
    report = update(mine, course)
    assert (report.done, report.waiting, report.amiss) == ([], [], [])
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before


# How it is brought up to date


def test_answers_and_own_cells_come_along(mine, course):
    lesson = mine / "01_add.ipynb"
    learn(lesson, {"YOUR CODE": SOLVED}, {"print": "x = 1  # after the imports", "It adds": "y = 2  # at the end"})
    text = ADD.replace("Now you:", "Now it is your turn:").replace("It adds.", "It adds, and adds.")
    text = text.replace("# %% [markdown]\n# ## Recap", "# %% [markdown]\n# A new cell.\n\n# %% [markdown]\n# ## Recap")
    report = update(mine, course, COURSE | {"01_add": text})
    notebook = read(lesson)
    assert [cell.source.split("\n")[0] for cell in notebook.cells] == [
        "# Add", "import math", "x = 1  # after the imports", "Now it is your turn:", "def add(a, b):",
        'add = check("01.add", add)', "A new cell.", "## Recap", "y = 2  # at the end",
    ]  # fmt: skip
    assert notebook.cells[4].source == SOLVED
    assert notebook.cells[4].metadata.nbgrader.grade_id == "01-add"
    assert report.done[0] == "✓ 01_add is the course's present version"
    assert report.done[1] == "    your answers are in it: 01.add"
    assert report.done[2] == "    your own cells are in it, each below the cell that it followed: 2"
    (copy,) = (mine / "old").iterdir()
    assert report.done[3] == f"    as it was before: old/{copy.name}"
    assert datetime.strptime(copy.name, "01_add.%Y-%m-%d-%H%M.ipynb")
    assert SOLVED in sources(copy)
    assert not update(mine, course).done  # once is enough


def test_a_changed_stub_takes_the_answer_and_an_unanswered_one_is_renewed(mine, course):
    text = ADD.replace('"""a + b"""', '"""The sum."""')
    update(mine, course, COURSE | {"01_add": text})
    assert '"""The sum."""' in sources(mine / "01_add.ipynb")[3]
    learn(mine / "01_add.ipynb", {"YOUR CODE": SOLVED})
    update(mine, course)
    update(mine, course, COURSE)
    assert sources(mine / "01_add.ipynb")[3] == SOLVED


def test_a_changed_cell_stays_where_the_courses_text_is_the_same(mine, course):
    learn(mine / "01_add.ipynb", {"print": 'import math\nprint("mine")', "Now you": "Now me!"})
    report = update(mine, course, COURSE | {"01_add": ADD.replace("It adds", "It sums")})
    assert sources(mine / "01_add.ipynb")[1:3] == ['import math\nprint("mine")', "Now me!"]
    assert "    cells of the course that you had changed stay so: 2" in report.done


def test_a_cell_that_both_changed_is_the_courses_and_the_learners_below_as_text(mine, course):
    lesson = mine / "01_add.ipynb"
    learn(lesson, {"print": 'raise ValueError("mine")', "Now you": "Now me!"})
    text = ADD.replace('print("ready")', 'print("steady")').replace("Now you:", "Your turn:")
    report = update(mine, course, COURSE | {"01_add": text})
    cells = read(lesson).cells
    assert [cell.cell_type for cell in cells[1:5]] == ["code", "markdown", "markdown", "markdown"]
    assert cells[1].source == 'import math\nprint("steady")'
    assert '````python\nraise ValueError("mine")\n````' in cells[2].source
    assert cells[3].source == "Your turn:"
    assert cells[4].source.endswith("Now me!")
    assert any("cells that you and the course had changed: 2" in line for line in report.done)
    again = update(mine, course, COURSE | {"01_add": text.replace("It adds", "It sums")})
    assert "    your own cells are in it, each below the cell that it followed: 2" in again.done
    assert len(read(lesson).cells) == len(cells)


def test_a_check_that_changed_is_renewed_even_where_the_learner_wrote_in_it(mine, course):
    learn(mine / "01_add.ipynb", {'check("01.add"': 'add = check("01.add", sum)'})
    update(mine, course, COURSE | {"01_add": ADD.replace('check("01.add", add)', 'check("01.add", add, 2)')})
    text = sources(mine / "01_add.ipynb")
    assert text[4] == 'add = check("01.add", add, 2)'
    assert 'check("01.add", sum)' in text[5]


def test_an_answer_whose_exercise_is_gone_is_kept_as_text(mine, course):
    learn(mine / "01_add.ipynb", {"YOUR CODE": SOLVED})
    plain = ADD.replace(' tags=["exercise"]', "").replace("    ### BEGIN SOLUTION\n", "")
    update(mine, course, COURSE | {"01_add": plain.replace("    ### END SOLUTION\n", "").replace("01.add", "01.sum")})
    assert any(SOLVED in source for source in sources(mine / "01_add.ipynb"))


def test_a_kernel_that_the_learner_chose_pictures_that_they_pasted_and_widgets_of_their_own_cells_stay(mine, course):
    lesson = mine / "01_add.ipynb"
    notebook = read(lesson)
    notebook.metadata.kernelspec = {"name": "other", "display_name": "Other"}
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}}
    own = nbformat.v4.new_code_cell("mine", outputs=[nbformat.v4.new_output("display_data", widget)])
    notebook.cells.insert(1, own)
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {"a": {}}}}
    notebook.cells[-1].source += "\n![](attachment:a.png)"
    notebook.cells[-1].attachments = {"a.png": {"image/png": "x"}}
    nbformat.write(notebook, lesson)
    update(mine, course, COURSE | {"01_add": ADD.replace("It adds", "It sums")})
    assert read(lesson).metadata.kernelspec.name == "other"
    assert [output.data for cell in read(lesson).cells for output in cell.get("outputs", [])] == [widget]
    assert read(lesson).metadata.widgets == notebook.metadata.widgets
    assert read(lesson).cells[-1].attachments == {"a.png": {"image/png": "x"}}


# The first lesson is renamed and its exercise moves on, the second becomes two, and the third leaves.
BEFORE = COURSE | {"03_gone": "# %% [markdown]\n# # Gone\n\n# %%\nprint('gone')\n"}
HEAD, EXERCISE, RECAP = re.split(r"(?=# %% tags)|(?=# %% \[markdown\]\n# ## Recap)", ADD)
LESSON, QUIZ = re.split(r"(?=# %% tags=..guess)", DOUBLE)
AFTER = {
    "01_new": "# %% [markdown]\n# # New\n",
    "02_add": HEAD + RECAP,
    "03_double": LESSON.replace("Now you:", "Your turn:"),
    "04_more": "# %% [markdown]\n# # More\n\n" + EXERCISE,
    "05_quiz": "# %% [markdown]\n# # Quiz\n\n" + QUIZ,
}


def learnt(course, mine, monkeypatch):
    """Work in every lesson of a folder that is made of BEFORE."""
    monkeypatch.setitem(LESSONS, "01_add", ["02_add"])
    monkeypatch.setitem(LESSONS, "02_double", ["03_double", "05_quiz"])
    make_or_update(mine, course_in(write_course(course, BEFORE)))
    learn(mine / "01_add.ipynb", {"YOUR CODE": SOLVED, "Now you": "Now me!"}, {"print": "x = 1  # mine"})
    learn(mine / "02_double.ipynb", added={"print": "y = 1  # mine", "quiz": "q = 1  # mine"})
    learn(mine / "03_gone.ipynb", added={"print": "z = 1  # mine"})


def test_work_follows_lessons_that_are_renamed_renumbered_divided_or_gone(course, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    learnt(course, mine, monkeypatch)
    report = update(mine, course, AFTER)
    assert [path.stem for path in sorted(mine.glob("*.ipynb"))] == list(AFTER)
    assert "x = 1  # mine" in sources(mine / "02_add.ipynb")
    assert not [source for source in sources(mine / "02_add.ipynb") if SOLVED in source]
    assert "y = 1  # mine" in sources(mine / "03_double.ipynb")
    assert SOLVED in sources(mine / "04_more.ipynb")
    assert "q = 1  # mine" in sources(mine / "05_quiz.ipynb")
    assert old(mine) == ["01_add.ipynb", "02_double.ipynb", "03_gone.ipynb"]
    (gone,) = (mine / "old").glob("03_gone*")
    assert sources(gone)[-1] == "z = 1  # mine"
    assert report.done[:2] == ["✓ 04_more is new", "    your answers are in it: 01.add"]
    assert "✓ 02_add is the course's present version; it was 01_add" in report.done
    assert report.done[-1] == f"✓ 03_gone is no longer in the course; yours is old/{gone.name}"


def test_a_lesson_that_was_divided_takes_each_part_of_the_work_along(mine, course, monkeypatch):
    monkeypatch.setitem(LESSONS, "01_add", ["01_sum", "03_more"])
    changed = {"YOUR CODE": SOLVED, "Now you": "Now me!", "It adds": "It adds, I say."}
    added = {"5 minutes": "a = 1", "print": "b = 1", "check(": "c = 1", "I say": "d = 1"}
    learn(mine / "01_add.ipynb", changed, added)
    first, _, rest = ADD.partition("# %% [markdown]\n# Now you:")
    more = "# %% [markdown]\n# # More\n\n# %% [markdown]\n# Now you:" + rest.replace("It adds.", "It adds numbers.")
    new = {"01_sum": first.replace("# Add", "# Sum"), "02_double": DOUBLE, "03_more": more}
    assert update(mine, course, new, only_untouched=True).waiting == ["01_sum", "03_more"]
    report = update(mine, course)
    assert [source.split("\n")[0] for source in sources(mine / "01_sum.ipynb")] == [
        "# Sum", "a = 1", "import math", "b = 1",
    ]  # fmt: skip
    assert [source.split("\n")[0] for source in sources(mine / "03_more.ipynb")] == [
        "# More", "Now me!", "def add(a, b):", 'add = check("01.add", add)', "c = 1", "## Recap",
        "*What you had here before the update of " + f"{datetime.now():%Y-%m-%d}:*", "d = 1",
    ]  # fmt: skip
    assert SOLVED in sources(mine / "03_more.ipynb")
    assert old(mine) == ["01_add.ipynb"]
    assert report.done[-1].startswith("✓ 01_add is 01_sum, 03_more now; yours is old/01_add.")
    assert not update(mine, course).done


def test_a_learners_own_notebooks_are_none_of_the_courses_business(mine, course):
    (mine / "scratch.ipynb").write_bytes((mine / "01_add.ipynb").read_bytes())
    (mine / "01_add-Copy1.ipynb").write_bytes((mine / "01_add.ipynb").read_bytes())
    before = {name: (mine / name).read_bytes() for name in ("scratch.ipynb", "01_add-Copy1.ipynb")}
    update(mine, course, {"02_sum": ADD.replace("It adds", "It sums")})
    assert {name: (mine / name).read_bytes() for name in before} == before


def test_opening_the_course_renews_untouched_lessons_alone_and_says_in_a_line_what_waits(
    mine, course, monkeypatch, capsys
):
    learn(mine / "02_double.ipynb", added={"print": "y = 1"})
    write_course(course, {name: text.replace("It adds", "It sums") for name, text in COURSE.items()})
    monkeypatch.setattr(commands, "read_course", lambda: course_in(course))
    commands.run(Namespace(command="new", folder=mine), [])
    assert capsys.readouterr().out == (
        "✓ The course's newer version, where you had written nothing: 01_add\n"
        "`moe-tutorial update` brings 02_double up to date, where you wrote, and takes your work along\n"
    )
    assert "It sums" in sources(mine / "01_add.ipynb")[-1]
    assert "It adds" in sources(mine / "02_double.ipynb")[6]
    assert not (mine / "old").exists()  # nothing of the learner's was in it


def test_what_ran_in_an_untouched_lesson_is_kept(mine, course):
    notebook = read(mine / "01_add.ipynb")
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="ready\n")]
    nbformat.write(notebook, mine / "01_add.ipynb")
    update(mine, course, COURSE | {"01_add": ADD.replace("It adds", "It sums")}, only_untouched=True)
    assert old(mine) == ["01_add.ipynb"]


def test_two_copies_of_one_minute_are_two(tmp_path):
    now, file = datetime(2026, 11, 26, 10, 15), tmp_path / "03_router.ipynb"
    for content in ("one", "two", "one"):
        file.write_text(content)
        backups.back_up(file, now)
    kept = {path.name: path.read_text() for path in (tmp_path / "old").iterdir()}
    assert kept == {"03_router.2026-11-26-1015.ipynb": "one", "03_router.2026-11-26-1015-2.ipynb": "two"}


# What cannot be


def test_a_notebook_that_is_none_is_left_alone_and_said(mine, course):
    (mine / "01_add.ipynb").write_text('{"cells": [')
    nbformat.write(nbformat.v4.new_notebook(), mine / "02_double.ipynb")
    report = update(mine, course)
    assert report.amiss == [
        "01_add.ipynb is not a notebook any more, and was left alone; `moe-tutorial reset 01_add` gives it anew",
        "02_double.ipynb does not say what in it is the course's, and was left alone; "
        "`moe-tutorial reset 02_double` gives it anew",
    ]
    assert (mine / "01_add.ipynb").read_text() == '{"cells": ['
    reset(mine, course_in(course), "01")
    assert (next(iter((mine / "old").glob("01*")))).read_text() == '{"cells": ['
    assert "# Add" in sources(mine / "01_add.ipynb")[0]


def test_a_folder_that_is_something_else(tmp_path, course):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CourseError, match="file is a file; name a folder"):
        make_or_update(tmp_path / "file", course_in(course))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.md").write_text("mine")
    with pytest.raises(CourseError, match="is not empty, and not a folder of this course"):
        make_or_update(tmp_path / "full", course_in(course))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.md"]
    (tmp_path / "empty/.git").mkdir(parents=True)
    make_or_update(tmp_path / "empty", course_in(course))


def test_two_commands_at_once(mine, course):
    with alone(mine), pytest.raises(CourseError, match="another command is at work on"):
        update(mine, course)


def test_a_notebook_that_is_saved_meanwhile_is_not_replaced(mine, course, monkeypatch):
    def save_now(paths):
        learn(paths[0], added={"print": "saved = True"})

    monkeypatch.setattr("moe_tutorial.tools.workspace.update.refuse_open", save_now)
    with pytest.raises(CourseError, match=r"01_add\.ipynb was saved by another program just now"):
        update(mine, course, COURSE | {"01_add": ADD.replace("It adds", "It sums")})
    assert "saved = True" in sources(mine / "01_add.ipynb")


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    def run(folder, *command):
        monkeypatch.chdir(folder)
        status = main([*command])
        said = capsys.readouterr()
        return status, said.out + said.err

    assert run(tmp_path, "status") == (1, "✗ there is no course in my-course yet; `moe-tutorial lab` makes one\n")
    error, said = run(tmp_path, "new")
    assert (error, said.split(":")[0]) == (0, f"✓ {tmp_path / 'my-course'} is your own folder of the course")
    assert run(tmp_path / "my-course", "update") == (0, "✓ every lesson is up to date\n")
    error, said = run(tmp_path / "my-course", "my-moe")
    assert (error, said.split(":")[0]) == (0, "✓ my_moe.py is in your folder\n    03.route")
    assert "class MyMoE(nn.Module):" in (tmp_path / "my-course/my_moe.py").read_text()
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


def test_status_counts_each_lesson_and_the_front_page_shows_it(mine, course):
    assert "Begin with **[01 Add](01_add.ipynb)**" in (mine / "START.md").read_text()
    (mine / "progress.json").write_text(json.dumps(DONE))
    assert list(status.lines(mine, course_in(course))) == [
        "✓ 01 Add     1 of 1 exercises",
        "  02 Double  0 of 1 exercises, 1 of 1 guesses, quiz 2 of 4",
    ]
    write_start(mine, course_in(course))
    page = (mine / "START.md").read_text()
    assert "Go on with **[02 Double](02_double.ipynb)**" in page
    assert "| ✓ | [01 Add](01_add.ipynb) | How? |  | 1 of 1 exercises |" in page
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
    said = reset(mine, course_in(course), "02")
    assert "y = 1" not in sources(mine / "02_double.ipynb")
    kept = json.loads((mine / "progress.json").read_text())
    assert kept == {"exercise": {"01.add": DONE["exercise"]["01.add"]}, "guess": {}, "quiz": {}}
    assert old(mine) == ["02_double.ipynb", "progress.json"]
    assert len(said) == 3
    assert json.loads(next((mine / "old").glob("progress*")).read_text()) == DONE
