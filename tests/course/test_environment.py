"""environment.yml says what pyproject.toml says, in conda-forge's names; and the small files of the set-up agree."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def split(requirement: str) -> tuple[str, str]:
    """Name and range of a requirement."""
    name, version = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", requirement.replace(" ", "")).groups()
    return CONDA_NAMES.get(name, name), version


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_environment_holds_what_the_course_and_its_lab_need():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    packages = dict(split(entry) for entry in conda if isinstance(entry, str))
    wanted = dict(split(r) for r in project()["dependencies"] + project()["optional-dependencies"]["lab"])
    assert packages.pop("pip") == ""
    assert packages.pop("python") == project()["requires-python"]
    assert packages == wanted
    assert pip == ["-e ."]


def test_every_lesson_is_on_the_site():
    toc = yaml.safe_load((ROOT / "book.yml").read_text(encoding="utf-8"))["toc"]
    pages = [toc["root"], *(chapter["file"] for chapter in toc["chapters"])]
    lessons = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
    assert pages == [*lessons, "playground", "claims"]
    for page in ("README.md", "notebooks/00_start_here.py"):
        text = (ROOT / page).read_text(encoding="utf-8")
        missing = [name for name in lessons if f"{name}.ipynb" not in text and f"{name}.py" != Path(page).name]
        assert not missing, page


def test_a_fork_tests_on_three_systems_and_on_the_oldest_and_newest_python():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.13"]
    assert project()["requires-python"] == ">=3.11,<3.14"


def test_no_file_of_the_set_up_names_a_registry():
    files = ["Makefile", ".ci/run", "environment.yml", "moe_tutorial/course/setup.sh"]
    files += ["moe_tutorial/course/web/package-lock.json"]
    for name in files:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"index-url|registry=|\"resolved\"", text), name
