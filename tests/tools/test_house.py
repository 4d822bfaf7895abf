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
        floor, _, name = home.partition("/")
        assert (ROOT / "tests" / floor / f"test_{name}.py").exists(), home
        module = ".".join(["moe_tutorial", floor, name])
        assert any(one == module or one.startswith(f"{module}.") for one in used), (home, sorted(used))
