"""Stopped before any of its files takes its name, a command loses nothing, and the next run goes on from there."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from test_workspace import DONE
from tiny_course import NEW, SOLVED, learn, sources, write_course

from moe_tutorial.course.progress.file import Progress
from moe_tutorial.tools.workspace.copies import read_course
from moe_tutorial.tools.workspace.update import make_or_update, reset

WRITTEN = [SOLVED, "x = 1", "Now me!", "y = 1"]  # by the learner


class Stopped(BaseException):
    """The program ends here."""


def stopped(work: Callable, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do the work, and stop where a file is to take its name for the step-th time; False where it ended before."""
    steps, replace = count(1), os.replace

    def until_then(path, target):
        if next(steps) == step:
            Path(path).write_text("")  # it is still being written
            raise Stopped
        replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until_then)
        try:
            work()
        except Stopped:
            return True
    return False


def checked(mine: Path) -> None:
    """Nothing is lost, and what is kept of the progress is all of it."""
    text = "\n".join(source for path in mine.rglob("*.ipynb") for source in sources(path))
    assert [piece for piece in WRITTEN if piece not in text] == []
    assert DONE in [Progress(path).read() for path in [mine / "progress.json", *(mine / "old").glob("progress*")]]


COMMANDS = {
    "update": make_or_update,
    "reset": lambda mine, course: reset(mine, course, "01"),
    "an answer": lambda mine, course: Progress(mine / "progress.json").put("guess", "02.twice", {"said": "4"}),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_stopped_loses_nothing_and_is_gone_on_with(tmp_path, monkeypatch, name):
    before, whole = tmp_path / "before", tmp_path / "whole"
    make_or_update(before, read_course(write_course(tmp_path / "course")))
    learn(before / "01_add.ipynb", {"YOUR CODE": SOLVED, "Now you": "Now me!"}, {"print": "x = 1"})
    learn(before / "02_double.ipynb", added={"print": "y = 1"})
    Progress(before / "progress.json").write(DONE)
    course = read_course(write_course(tmp_path / "course", NEW))
    shutil.copytree(before, whole)
    COMMANDS[name](whole, course)
    for step in range(1, 100):
        mine = tmp_path / f"{name}-{step}"
        shutil.copytree(before, mine)
        if not stopped(partial(COMMANDS[name], mine, course), step, monkeypatch):
            break
        checked(mine)
        COMMANDS[name](mine, course)
        checked(mine)
        assert [sources(path) for path in sorted(mine.glob("*.ipynb"))] == [
            sources(path) for path in sorted(whole.glob("*.ipynb"))
        ], f"step {step}"
        assert not list(mine.rglob(".*.part"))
    assert step > {"update": 4, "reset": 4, "an answer": 1}[name]


def test_a_folder_that_is_being_made(tmp_path, monkeypatch):
    course = read_course(write_course(tmp_path / "course"))
    for step in range(1, 100):
        mine = tmp_path / f"mine-{step}"
        if not stopped(partial(make_or_update, mine, course), step, monkeypatch):
            break
        make_or_update(mine, course)
        for page in course:
            assert sources(mine / page.file) == [cell.source for cell in page.notebook.cells]
        assert (mine / "START.md").exists()
        assert (mine / "progress.json").read_text() == "{}\n"
    assert step > 3
