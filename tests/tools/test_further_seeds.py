"""The claims hold from other seeds: one lesson in `make test`, all nightly, from seeds that nobody has looked at."""

import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from moe_tutorial.course.lesson import Lesson, lesson_files
from moe_tutorial.study.claims import read_claims
from moe_tutorial.study.systems import comparison
from moe_tutorial.tools.jupyter.kernels import execute

LESSONS = lesson_files()
SAMPLE = ("03",)  # a quick one


def check(lesson: Path, base: str) -> None:
    """Run a lesson from these seeds: no claim stops it, and each is judged.

    An indented one, in a `try`, is shown failing on purpose.
    """
    claimed = {id for cell in Lesson.read(lesson).cells for id in cell.ids("claim")}
    notebook = execute(jupytext.read(lesson), lesson, os.environ | {"MOE_SEED": base})
    judged = {claim.id for cell in notebook.cells for claim in read_claims(cell.get("outputs", []))}
    assert judged >= claimed, f"Run it again: MOE_SEED={base} make lessons"


@pytest.mark.parametrize("lesson", [p for p in LESSONS if p.stem.startswith(SAMPLE)], ids=lambda lesson: lesson.stem)
def test_the_claims_hold_from_seeds_that_are_not_stored(lesson):
    check(lesson, "4242")


@pytest.mark.nightly
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_the_claims_hold_from_the_seeds_of_this_date(lesson):
    seeds = {"MOE_SEED": os.environ["MOE_NIGHT"]}
    made = comparison.file(1000 * int(seeds["MOE_SEED"])).exists()  # two lessons read them
    if not made and "comparison.results" in lesson.read_text(encoding="utf-8"):  # its claims are not judged without
        subprocess.run(
            [sys.executable, "-m", "moe_tutorial.study.systems.comparison", "3"], env=os.environ | seeds, check=True
        )
    check(lesson, os.environ["MOE_NIGHT"])
