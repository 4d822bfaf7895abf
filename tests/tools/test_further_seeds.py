"""The claims hold from other seeds: one lesson in `make test`, all nightly, from seeds that nobody has looked at."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.py"))
SAMPLE = ("03",)  # a quick one


def claimed(lesson: Path) -> set[str]:
    """The ids of a lesson's claims, read from its source; those inside a `try` are shown failing on purpose."""
    tree = ast.parse(lesson.read_text(encoding="utf-8"))
    on_purpose = {call for node in ast.walk(tree) if isinstance(node, ast.Try) for call in ast.walk(node)}
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim" and node not in on_purpose
    }


def check(lesson: Path, base: str) -> None:
    """Run a lesson from these seeds: no claim stops it, and each is judged."""
    own = {"MOE_SEED": base, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONUTF8": "1"}
    run = subprocess.run(
        [sys.executable, lesson.name],
        env=os.environ | own,
        cwd=lesson.parent,
        capture_output=True,
        encoding="utf-8",
        timeout=900,
    )
    again = f"Run it again: MOE_SEED={base} make lessons"
    assert run.returncode == 0, f"{run.stderr}\n{again}"
    judged = set(re.findall(r"^\S+ claim (\d\d\.\d+) ", run.stdout, re.MULTILINE))
    assert judged >= claimed(lesson), again


def test_every_lesson_claims_something():
    assert len(LESSONS) >= 13
    assert all(claimed(lesson) for lesson in LESSONS)


@pytest.mark.parametrize("lesson", [p for p in LESSONS if p.stem.startswith(SAMPLE)], ids=lambda lesson: lesson.stem)
def test_the_claims_hold_from_seeds_that_are_not_stored(lesson):
    check(lesson, "4242")


@pytest.mark.nightly
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_the_claims_hold_from_the_seeds_of_this_date(lesson):
    if "comparison.results" in lesson.read_text(encoding="utf-8"):  # its claims are not judged without
        seeds = {"MOE_SEED": os.environ["MOE_NIGHT"]}
        subprocess.run(
            [sys.executable, "-m", "moe_tutorial.study.systems.comparison"], env=os.environ | seeds, check=True
        )
    check(lesson, os.environ["MOE_NIGHT"])
