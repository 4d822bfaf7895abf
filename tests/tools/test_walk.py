"""CONTRIBUTING's walks, followed to the letter on a copy of the course: its text is the script."""

import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import programs
import pytest

from moe_tutorial.study import below
from moe_tutorial.study.claims import read_claims
from moe_tutorial.tools.notebooks.executed import printed

ROOT = Path(__file__).parents[2]
# A step is a block of code: a new file, lines for a file below one of its lines, or commands.
STEP = re.compile(
    r"^`(?P<file>[^\n]+?)`(?:, a new file|, below `(?P<below>[^\n]+)`):\n```\w+\n(?P<text>.*?)^```$"
    r"|^```sh\n(?P<commands>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LESSON = "notebooks/15_dice"


def walk(name: str) -> list[dict[str, str | None]]:
    """The steps below this heading."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = re.split(r"\n##+ ", text.split(f"\n### {name}\n")[1])[0]
    steps = [found.groupdict() for found in STEP.finditer(section)]
    assert len(steps) == section.count("```") / 2, f"a block of the walk {name!r} says neither a file nor commands"
    return steps


def run(course: Path, *command: str) -> str:
    """What a command prints in the copy."""
    return programs.run(*command, folder=course, PYTHONPATH=str(course), PYTHONUTF8="1")


def follow(course: Path, name: str) -> None:
    """Do what the walk says."""
    for step in walk(name):
        if step["commands"]:
            for command in step["commands"].splitlines():
                assert command.startswith("make ")
                # This Python has everything already.
                run(course, *command.split(), f"PY={sys.executable}", "setup=@:")
            continue
        file = course / step["file"]
        if not step["below"]:
            assert not file.exists()
            file.write_text(step["text"], encoding="utf-8")
            continue
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        places = [number for number, line in enumerate(lines) if line.strip() == step["below"]]
        assert len(places) == 1, f"{step['file']} has {len(places)} lines with {step['below']!r}"
        lines.insert(places[0] + 1, step["text"])
        file.write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A copy of what git knows, and of what it will."""
    if not (ROOT / ".git").exists() or not shutil.which("git") or not shutil.which("make"):
        pytest.skip("a walk begins with git and make")
    folder = tmp_path_factory.mktemp("walk") / "course"
    listed = programs.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def lesson(course) -> Path:
    """The copy with a lesson more, and a claim in it."""
    follow(course, "To add a lesson")
    follow(course, "To add a claim")
    follow(course, "To add an exercise")
    return course


@pytest.mark.nightly
def test_a_lesson_stands_in_every_table_and_is_in_step(lesson):
    said = run(lesson, sys.executable, "-m", "moe_tutorial.tools", "sync")
    assert f"{len(list((ROOT / 'notebooks').glob('*.ipynb'))) + 1} lessons: every .ipynb equals its .py" in said
    for file in ("README.md", "CONTRIBUTING.md", "notebooks/00_start_here.ipynb"):
        assert "15_dice" in (lesson / file).read_text(encoding="utf-8")


@pytest.mark.nightly
def test_a_claim_is_printed_judged_by_its_rule_and_read(lesson):
    notebook = nbformat.read(lesson / f"{LESSON}.ipynb", as_version=4)
    (claim,) = read_claims(output for cell in notebook.cells for output in cell.get("outputs", []))
    assert (claim.id, claim.holds, claim.n_seeds, claim.rule) == ("15.1", True, 10, below(0.2))
    assert (claim.quantity, claim.unit) == ("share of the busiest expert (of all tokens)", "of all tokens")
    assert "○ control (all tokens throw one die together) 1.000" in str(claim)


@pytest.mark.nightly
def test_an_exercise_is_found_and_examined(lesson):
    notebook = nbformat.read(lesson / f"{LESSON}.ipynb", as_version=4)
    assert "✓ exercise 15.part_of: right\n" in "".join(printed(cell.get("outputs", [])) for cell in notebook.cells)
    tests = ["tests/course/test_exercises.py", "tests/course/test_mutants.py", "-k", "15.part_of", "-m", ""]
    said = run(lesson, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert "15 passed" in said


LINK = "decay=0.01&balance=entropy"
NODE = """
import { fromHash, toHash } from "./experiment/hash.js";
const state = fromHash(process.argv[1]);
const tree = fromHash("layer=tree&decay=0.1");
const notices = [...state.notices, ...tree.notices, ...fromHash("decay=2").notices];
console.log(JSON.stringify({ settings: state.settings, link: toHash(state), tree: toHash(tree), notices }));
"""
TWIN = """
import json
from moe_tutorial.show import playground
print(json.dumps(playground(balance="entropy", decay=0.01).options["settings"]))
"""


@pytest.fixture(scope="module")
def table(course) -> Path:
    """The copy with a balance loss and a setting more."""
    follow(course, "To add a balance loss")
    follow(course, "To add a setting")
    return course


def test_a_balance_loss_and_a_setting_stand_in_link_and_notebook(table, node):
    known = json.loads(run(table / "moe_tutorial/show/playground", node, "--input-type=module", "--eval", NODE, LINK))
    assert (known["link"], known["tree"]) == (LINK, "layer=tree&decay=0.1")
    assert known["notices"] == ["decay is 2; allowed are numbers from 0 to 1"]
    for settings in (known["settings"], json.loads(run(table, sys.executable, "-c", TWIN))):
        assert (settings["balance"], settings["decay"]) == ("entropy", 0.01)


@pytest.mark.nightly
def test_the_added_loss_trains_in_the_page_as_its_twins_do_in_torch(table, node):
    """The golden test and that of the script take their cases from the table."""
    tests = ["tests/show/test_playground_engine.py", "tests/show/test_playground_pytorch.py"]
    cases = "(torch_does or page_does) and entropy"
    said = run(table, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", cases)
    assert "16 passed" in said
