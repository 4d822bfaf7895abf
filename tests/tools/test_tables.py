"""The tables of lessons come from one source, and whatever that lacks is named."""

import re
import shutil
from pathlib import Path

import pytest

from moe_tutorial.course import CourseError
from moe_tutorial.course.lesson import Lesson
from moe_tutorial.tools.__main__ import main
from moe_tutorial.tools.notebooks import lessons, tables

LAST = "14_capstone"


@pytest.fixture
def course(root: Path, tmp_path: Path) -> Path:
    """The course's words, without its package."""
    for name in ("README.md", "CONTRIBUTING.md", "book.yml"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    return tmp_path


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_table_that_is_old_is_named_and_made_anew_without_running_a_lesson(course, capsys, monkeypatch):
    folder = course / "notebooks"
    change(course / "book.yml", "and does noise prevent it?", "and what does noise prevent?")
    change(folder / "03_router.py", "You leave able to turn an input", "You leave able to turn every input")
    assert main(["sync", "--folder", str(folder)]) == 1
    said = capsys.readouterr().out
    for name in ("README.md", "00_start_here.py"):
        assert f"✗ {name} has another table of lessons than book.yml and the lessons' first lines make" in said

    before = (folder / "03_router.ipynb").read_text(encoding="utf-8").count('"output_type"')
    ran = []
    monkeypatch.setattr(lessons, "execute", lambda notebook, path: ran.append(path.stem) or notebook)
    lessons.reference(folder, ["playground"])
    assert ran == ["playground"]
    assert "and what does noise prevent?" in (folder / "00_start_here.ipynb").read_text(encoding="utf-8")
    assert "| turn every input into" in (course / "README.md").read_text(encoding="utf-8")
    assert (folder / "03_router.ipynb").read_text(encoding="utf-8").count('"output_type"') == before > 0
    assert main(["sync", "--folder", str(folder)]) == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("book.yml", f"file: {LAST}", "file: 15_other", f"{LAST}.py is not in the toc of book.yml"),
        ("book.yml", "home: [layers/interop]", "homes: []", f"the toc of book.yml has no 'home' for {LAST}"),
        (f"notebooks/{LAST}.py", "You leave able to", "You can", f"{LAST}.py must open with its title"),
        ("README.md", "| you leave able to |", "| you can |", "README.md has no table with the head '| lesson"),
    ],
)
def test_what_a_table_lacks_is_named(course, capsys, file, old, new, says):
    change(course / file, old, new)
    with pytest.raises(CourseError, match=says.replace("|", r"\|")):
        tables.tables(course)
    assert main(["sync", "--folder", str(course / "notebooks")]) == 1
    assert says in capsys.readouterr().err


def test_the_hour_that_the_front_page_names_is_an_hour(root):
    """The lessons that it names take no longer, by their own first lines."""
    text = (root / "notebooks/index.md").read_text(encoding="utf-8").split("For an hour, take")[1].split(":")[0]
    named = re.findall(r"\((\w+)\.ipynb\)", text)
    minutes = [Lesson.read(root / f"notebooks/{name}.py").minutes for name in named]
    assert len(minutes) >= 2
    assert sum(minutes) <= 60
