"""CONTRIBUTING says where what a lesson teaches has its home; here the table is held to the lessons."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = dict(re.findall(r"^\| (\d\d_\w+) \| (`[^|]*`) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
LESSONS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))}


def homes(path: Path) -> set[str]:
    """The modules in which what a lesson imports is written."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("moe_tutorial"):
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                thing = getattr(module, name, None)
                written = getattr(thing, "__module__", None) or getattr(thing, "__name__", f"{node.module}.{name}")
                found |= {node.module, written}
    return found


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_uses_its_home_whose_test_has_its_name(lesson):
    used = homes(LESSONS[lesson])
    for home in re.findall("`(.*?)`", TABLE[lesson]):
        floor, *_, name = home.split("/")
        assert (ROOT / "tests" / floor / f"test_{name}.py").exists(), home
        module = ".".join(["moe_tutorial", *home.split("/")])
        assert any(one == module or one.startswith(f"{module}.") for one in used), (home, sorted(used))


FOLDERS = sorted(path for path in (ROOT / "moe_tutorial").rglob("*") if path.is_dir() and path.name != "__pycache__")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_has_at_most_a_dozen_files_or_folders(folder):
    names = {path.name for path in folder.iterdir()} - {"__init__.py", "__pycache__"}
    names -= {f"{lesson[:2]}.json" for lesson in LESSONS}  # quizzes: one file for each lesson
    assert len(names) <= 12, sorted(names)
