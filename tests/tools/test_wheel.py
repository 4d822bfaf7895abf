"""The course as a wheel: in a fresh environment it makes a learner's folder, and that needs no repository."""

import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from programs import fresh_python, run

ROOT = Path(__file__).parents[2]
SOURCE = ["pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "book.yml", "moe_tutorial", "notebooks"]
IGNORED = shutil.ignore_patterns("__pycache__", ".*", "node_modules")
BUILD = "import sys; from setuptools.build_meta import build_{0}; print(build_{0}(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a source distribution, and that from a copy, since a build leaves its traces."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=IGNORED)
        else:
            shutil.copy(ROOT / name, copy)
    sdist = run(sys.executable, "-c", BUILD.format("sdist"), str(out), folder=copy).splitlines()[-1]
    shutil.unpack_archive(out / sdist, out)
    name = run(sys.executable, "-c", BUILD.format("wheel"), "..", folder=out / sdist.removesuffix(".tar.gz"))
    return out / name.splitlines()[-1]


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """A fresh environment with the wheel and, so that nothing is fetched, this one's other packages."""
    python = fresh_python(tmp_path_factory.mktemp("fresh"))
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)]
    run(python, *install, folder=python.parent)
    return python


def test_the_wheel_has_the_lessons_and_the_stored_results(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    lessons = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    for kind in ("ipynb", "py"):  # the exercises are read in the sources
        assert {f"moe_tutorial/course/notebooks/{name}.{kind}" for name in lessons} <= names
    data = [path for kind in ("json", "js", "css") for path in (ROOT / "moe_tutorial").rglob(f"*.{kind}")]
    kept = {path.relative_to(ROOT).as_posix() for path in data if "node_modules" not in path.parts}
    assert {"moe_tutorial/course/notebooks/book.yml", "moe_tutorial/study/systems/comparison.json"} | kept <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"moe_tutorial"}


def test_a_learners_folder_is_made_without_the_repository(python, tmp_path):
    command = python.with_name("moe-tutorial" + python.suffix)
    assert "is your own folder of the course" in run(command, "new", folder=tmp_path)
    assert run(command, "update", folder=tmp_path) == "✓ every lesson is up to date\n"
