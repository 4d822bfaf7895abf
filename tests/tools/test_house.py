"""CONTRIBUTING says where what a lesson teaches has its home; here the table is held to the lessons."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = dict(re.findall(r"^\| (\d\d_\w+) \| (`[^|]*`) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
LESSONS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))}


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lessons_home_is_a_module_whose_test_has_its_name(lesson):
    for home in re.findall("`(.*?)`", TABLE[lesson]):
        floor, *_, name = home.split("/")
        assert importlib.util.find_spec(".".join(["moe_tutorial", *home.split("/")])), home
        assert (ROOT / "tests" / floor / f"test_{name}.py").exists(), home


FOLDERS = sorted(path for path in (ROOT / "moe_tutorial").rglob("*") if path.is_dir() and path.name != "__pycache__")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_has_at_most_a_dozen_files_or_folders(folder):
    names = {path.name for path in folder.iterdir()} - {"__init__.py", "__pycache__"}
    names -= {f"{lesson[:2]}.json" for lesson in LESSONS}  # quizzes: one file for each lesson
    assert len(names) <= 12, sorted(names)
