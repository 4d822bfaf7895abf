"""Every planted mistake is noticed by the tests that its row names, and by each of them alone.

`make test` plants a sample, `make nightly` all. A mistake is planted in a copy of the package; the tests that run
against it are the course's own.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mistakes import MISTAKES, Mistake

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "moe_tutorial"
# One of each part of the course whose tests take seconds: after others, kernels compile anew or ranks start.
SAMPLE = [
    "noise-in-evaluation",
    "switch-loss-not-by-k",
    "heap-from-one",
]


def plant(mistake: Mistake | None, folder: Path) -> None:
    """A copy of the package in this folder, with the mistake."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("*.pyc"))
    if mistake:
        path = folder / PACKAGE.name / mistake.file
        path.write_text(path.read_text(encoding="utf-8").replace(mistake.old, mistake.new), encoding="utf-8")


def outcomes(tests: list[str], folder: Path) -> dict[str, set[str]]:
    """What these tests say of the package in this folder: name -> the outcomes of all its cases."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "--tb=no", "-rA", "-p", "no:cacheprovider"]
    command += ["-o", "addopts=", "-m", "not nightly", "-p", "no:nbval"]  # lessons and their plugins are not asked
    command += ["--hypothesis-profile=first failure"]
    command += ["--assert=plain"]  # to explain how two long lists differ takes minutes, and nobody reads it here
    run = subprocess.run(
        [*command, *(str(TESTS / test) for test in tests)],
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=900,  # a busy machine may take long; none may take for ever
        check=False,
    )
    said = re.findall(r"^(PASSED|FAILED|ERROR|SKIPPED) tests/(\S+?)(?:\[.*)?(?: - .*)?$", run.stdout, re.MULTILINE)
    found: dict[str, set[str]] = {test: set() for test in tests}
    for outcome, name in said:
        assert name in found, run.stdout + run.stderr
        found[name].add(outcome)
    assert all(found.values()), run.stdout + run.stderr
    return found


def test_there_are_enough_and_each_can_be_planted():
    assert len(MISTAKES) >= 40
    for name, mistake in MISTAKES.items():
        text = (PACKAGE / mistake.file).read_text(encoding="utf-8")
        assert text.count(mistake.old) == 1, f"{name}: {mistake.old!r} stands {text.count(mistake.old)} times"
        compile(text.replace(mistake.old, mistake.new), name, "exec")
        assert mistake.tests, name


@pytest.mark.nightly  # `make test` runs the tests of its sample on the package itself
def test_without_a_mistake_the_same_tests_pass(tmp_path):
    plant(None, tmp_path)
    tests = sorted({test for mistake in MISTAKES.values() for test in mistake.tests})
    assert outcomes(tests, tmp_path) == {test: {"PASSED"} for test in tests}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SAMPLE else pytest.mark.nightly) for name in MISTAKES]
)
def test_a_planted_mistake_is_noticed(name, tmp_path):
    plant(MISTAKES[name], tmp_path)
    found = outcomes(list(MISTAKES[name].tests), tmp_path)
    assert not [test for test, outcomes in found.items() if "FAILED" not in outcomes], found
