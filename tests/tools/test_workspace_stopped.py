"""Stopped before any of its files takes its name, a command loses nothing, and the next run goes on from there."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from test_workspace import AFTER, BEFORE, DONE, learnt
from tiny_course import SOLVED, course_in, read, sources, write_course

from moe_tutorial.course.progress.file import Progress
from moe_tutorial.tools.workspace.update import make_or_update, reset

WRITTEN = [SOLVED, "x = 1  # mine", "y = 1  # mine", "q = 1  # mine", "z = 1  # mine", "Now me!"]  # by the learner


class Stopped(BaseException):
    """The program ends here."""


def stopped(work: Callable, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do the work, and stop where a file is to take its name, or to go, for the step-th time; False where it came to
    its end before."""
    steps = count(1)

    def until_then(do: Callable) -> Callable:
        def counted(path, *target, **options):
            if Path(path).suffix != ".lock" and next(steps) == step:
                if target:  # it is still being written
                    Path(path).write_text("")
                raise Stopped
            return do(path, *target, **options)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until_then(os.replace))
        patch.setattr(Path, "unlink", until_then(Path.unlink))
        try:
            work()
        except Stopped:
            return True
    return False


def lessons(folder: Path) -> dict[str, list[tuple]]:
    """What stands in the lessons."""
    return {
        path.name: [dict(cell) | {"id": ""} for cell in read(path).cells] for path in sorted(folder.glob("*.ipynb"))
    }


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
    learnt(tmp_path / "course", before, monkeypatch)
    Progress(before / "progress.json").write(DONE)
    course = course_in(write_course(tmp_path / "course", BEFORE if name == "reset" else AFTER))
    shutil.copytree(before, whole)
    COMMANDS[name](whole, course)
    checked(whole)
    for step in range(1, 100):
        mine = tmp_path / f"{name}-{step}"
        shutil.copytree(before, mine)
        if not stopped(partial(COMMANDS[name], mine, course), step, monkeypatch):
            break
        checked(mine)
        COMMANDS[name](mine, course)
        checked(mine)
        assert lessons(mine) == lessons(whole), f"step {step}"
        assert not list(mine.rglob(".*.part"))
    assert step > {"update": 10, "reset": 4, "an answer": 1}[name]


def test_a_folder_that_is_being_made(tmp_path, monkeypatch):
    course = course_in(write_course(tmp_path / "course"))
    make_or_update(tmp_path / "whole", course)
    for step in range(1, 100):
        mine = tmp_path / f"mine-{step}"
        if not stopped(partial(make_or_update, mine, course), step, monkeypatch):
            break
        make_or_update(mine, course)
        assert lessons(mine) == lessons(tmp_path / "whole")
        assert (mine / "START.md").exists()
        assert (mine / "progress.json").read_text() == "{}\n"
    assert step > 3
