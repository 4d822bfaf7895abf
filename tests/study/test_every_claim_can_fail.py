"""For every claim of every lesson: with the mechanism removed, the claim fails. And all hold from other seeds."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.py"))

PROBE = """
import runpy, sys
from moe_tutorial import study
from moe_tutorial.study import ClaimFailed, claims

def probe(id, statement, measured, holds, n_seeds=None, *, control, control_is, **rest):
    claims.claim(id, statement, measured, holds, n_seeds, control=control, control_is=control_is, **rest)
    try:
        claims.claim(id, statement, control, holds)  # the mechanism is gone: only the control is left to measure
    except ClaimFailed:
        print("CAN FAIL", id)

study.claim = probe
runpy.run_path(sys.argv[1])
"""


def claimed(lesson: Path) -> list[str]:
    """The ids of a lesson's claims, read from its source; those inside a `try` are shown failing on purpose."""
    tree = ast.parse(lesson.read_text(encoding="utf-8"))
    on_purpose = {call for node in ast.walk(tree) if isinstance(node, ast.Try) for call in ast.walk(node)}
    return [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim" and node not in on_purpose
    ]


def test_there_are_lessons():
    assert len(LESSONS) >= 5
    assert all(claimed(lesson) for lesson in LESSONS)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_every_claim_can_fail(lesson):
    run = subprocess.run(
        [sys.executable, "-c", PROBE, str(lesson)],
        env=os.environ | {"MOE_SEED": "11", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"},
        cwd=lesson.parent,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    can_fail = [line.split()[-1] for line in run.stdout.splitlines() if line.startswith("CAN FAIL")]
    assert can_fail == claimed(lesson)
