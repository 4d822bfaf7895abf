"""Killed at any moment, a command on a learner's folder loses nothing, and the next run goes on where it stopped."""

import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nbformat
import pytest
from test_workspace import DONE
from tiny_course import ADD, COURSE, DOUBLE, SOLVED, course_in, learn, read, sources, write_course

from moe_tutorial.course.progress import Progress
from moe_tutorial.course.renumbered import LESSONS
from moe_tutorial.course.workspace import carry
from moe_tutorial.course.workspace.update import make_or_update, reset

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a command is killed in a fork of the test")

TOUCHING = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "shutil.copyfile"}
WRITTEN = [SOLVED, "x = 1  # mine", "y = 1  # mine", "z = 1  # mine", "Now me!"]  # by the learner
# The first lesson becomes two, the second gets another number, and the third leaves.
BEFORE = COURSE | {"03_gone": "# %% [markdown]\n# # Gone\n\n# %%\nprint('gone')\n"}
HEAD, EXERCISE, RECAP = re.split(r"(?=# %% tags)|(?=# %% \[markdown\]\n# ## Recap)", ADD)
AFTER = {
    "01_new": "# %% [markdown]\n# # New\n",
    "02_add": HEAD + RECAP,
    "03_double": DOUBLE.replace("Now you:", "Your turn:"),
    "04_more": "# %% [markdown]\n# # More\n\n" + EXERCISE,
}


@pytest.fixture(autouse=True)
def _renumbered(monkeypatch):
    monkeypatch.setitem(LESSONS, "01_add", ["02_add", "04_more"])
    monkeypatch.setitem(LESSONS, "02_double", ["03_double"])


def dies_at(step: int, torn: bool, folder: Path) -> Callable:
    """An audit hook that kills its process before the step-th time that it touches a file of the folder. ``torn``: a
    file that was to be opened for writing is empty by then, and one that was to take its name lacks a half."""
    count = 0

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        if event not in TOUCHING or not str(args[0]).startswith(str(folder)):
            return
        if event == "open" and (args[1] is None or set(args[1]) <= set("rbt")):
            return
        count += 1
        if count == step:
            if torn and event == "os.rename" and str(args[0]).endswith(".part"):
                os.truncate(args[0], os.path.getsize(args[0]) // 2)
            if torn and event == "open":
                Path(args[0]).write_bytes(b"")
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def in_a_fork(work: Callable, hook: Callable | None = None) -> int:
    """Do the work in a process of its own, and return that."""
    process = os.fork()
    if process:
        return process
    try:
        if hook:
            sys.addaudithook(hook)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def ended(process: int) -> bool:
    """Whether a process came to its end; False where it was killed."""
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


@pytest.fixture
def prepared(tmp_path):
    """A learner's folder with work in every lesson, and the new course."""
    course, mine = write_course(tmp_path / "course", BEFORE), tmp_path / "prepared"
    make_or_update(mine, course_in(course))
    learn(mine / "01_add.ipynb", {"YOUR CODE": SOLVED, "Now you": "Now me!"}, {"print": "x = 1  # mine"})
    learn(mine / "02_double.ipynb", added={"print": "y = 1  # mine"})
    learn(mine / "03_gone.ipynb", added={"print": "z = 1  # mine"})
    Progress(mine / "progress.json").write(DONE)
    return mine, course_in(write_course(course, AFTER))


def everything(folder: Path) -> str:
    """The text in all notebooks, each of which must be a valid one."""
    return "\n".join(source for path in folder.rglob("*.ipynb") for source in sources(path))


def lessons(folder: Path) -> dict[str, list[tuple]]:
    """What stands in the lessons."""
    return {
        path.name: [dict(cell) | {"id": ""} for cell in read(path).cells] for path in sorted(folder.glob("*.ipynb"))
    }


def checked(mine: Path) -> None:
    """Nothing is lost, and what is kept of the progress is all of it."""
    text = everything(mine)
    assert [piece for piece in WRITTEN if piece not in text] == []
    assert DONE in [Progress(path).read() for path in [mine / "progress.json", *(mine / "old").glob("progress*")]]


COMMANDS = {
    "update": make_or_update,
    "reset": lambda mine, course: reset(mine, course, "01"),
    "import": lambda mine, course: carry.take_in(mine, mine.parent / "exported.json"),
}


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_each_step(prepared, tmp_path, name, torn):
    before, course = prepared
    if name == "reset":
        course = course_in(write_course(tmp_path / "course", BEFORE))
    make_or_update(tmp_path / "other", course)
    carry.export(tmp_path / "other", tmp_path / "exported.json")
    whole = tmp_path / "whole"
    shutil.copytree(before, whole)
    COMMANDS[name](whole, course)
    checked(whole)
    for step in range(1, 200):
        mine = tmp_path / f"{name}-{step}"
        shutil.copytree(before, mine)
        if ended(in_a_fork(partial(COMMANDS[name], mine, course), dies_at(step, torn, mine))):
            break
        checked(mine)
        COMMANDS[name](mine, course)
        checked(mine)
        assert lessons(mine) == lessons(whole), f"step {step}"
        assert not list(mine.rglob(".*.part"))
    assert step > {"update": 20, "reset": 8, "import": 3}[name]
    print(f"\n{name}: killed at each of {step - 1} steps")


def test_a_folder_that_is_being_made(tmp_path):
    course = course_in(write_course(tmp_path / "course"))
    make_or_update(tmp_path / "whole", course)
    for step in range(1, 200):
        mine = tmp_path / f"mine-{step}"
        if ended(in_a_fork(partial(make_or_update, mine, course), dies_at(step, True, mine))):
            break
        make_or_update(mine, course)
        assert lessons(mine) == lessons(tmp_path / "whole")
        assert (mine / "progress.json").read_text() == "{}\n"
    assert step > 8


def test_progress_that_is_being_kept(tmp_path):
    for damaged in (False, True):
        for step in range(1, 50):
            file = tmp_path / f"{damaged}-{step}" / "progress.json"
            file.parent.mkdir()
            Progress(file).write(DONE)
            if damaged:
                file.write_text(file.read_text()[:-20])
            if ended(in_a_fork(partial(Progress(file).put, "guess", "03.x", 1), dies_at(step, True, file.parent))):
                break
            assert file.exists()  # it is by this file that the folder is a learner's
            kept = [path.read_text() for path in file.parent.glob("progress*")]
            assert any('"02.double"' in text for text in kept)
        assert step > 3


@pytest.mark.parametrize("times", [5, pytest.param(200, marks=pytest.mark.nightly)])
def test_killed_at_any_time(prepared, tmp_path, times):
    before, course = prepared
    whole = tmp_path / "whole"
    shutil.copytree(before, whole)
    begun = time.perf_counter()
    make_or_update(whole, course)
    seconds = time.perf_counter() - begun
    seed = int(os.environ.get("MOE_NIGHT", "0"))
    draw = random.Random(seed)
    for number in range(times):
        mine = tmp_path / f"mine-{number}"
        shutil.copytree(before, mine)
        for _ in range(3):
            process = in_a_fork(partial(make_or_update, mine, course))
            time.sleep(draw.uniform(0, seconds))
            os.kill(process, signal.SIGKILL)
            ended(process)
            checked(mine)
        make_or_update(mine, course)
        checked(mine)
        assert lessons(mine) == lessons(whole), f"seed {seed}"
        shutil.rmtree(mine)


def test_the_folder_is_what_it_would_be_without_a_kill(prepared):
    """The scenario itself: what the tests above compare with is what a learner expects."""
    mine, course = prepared
    make_or_update(mine, course)
    assert [path.stem for path in sorted(mine.glob("*.ipynb"))] == ["01_new", "02_add", "03_double", "04_more"]
    assert "x = 1  # mine" in sources(mine / "02_add.ipynb")
    assert SOLVED in sources(mine / "04_more.ipynb")
    assert "y = 1  # mine" in sources(mine / "03_double.ipynb")
    kept = nbformat.read(next((mine / "old").glob("03_gone*")), as_version=4)
    assert kept.cells[-1].source == "z = 1  # mine"
