"""environment.yml says what pyproject.toml says, in conda-forge's names; and the small files of the set-up agree."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "playwright": "playwright-python"}
NOT_ON_CONDA_FORGE = {"fastfeedforward"}


def split(requirement: str) -> tuple[str, str]:
    """Name and range of a requirement."""
    name, version = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", requirement.replace(" ", "")).groups()
    return CONDA_NAMES.get(name, name), version


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_environment_holds_what_every_command_needs():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    *by_pip, course = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    packages = dict(split(entry) for entry in conda if isinstance(entry, str))
    extras = project()["optional-dependencies"]
    wanted = dict(split(r) for r in sum((extras[name] for name in ("lab", "book", "test")), project()["dependencies"]))
    assert packages.pop("pip") == ""
    assert packages.pop("python") == project()["requires-python"]
    assert dict(map(split, by_pip)) == {name: wanted.pop(name) for name in NOT_ON_CONDA_FORGE}
    assert packages == wanted
    assert course == "-e ."


def test_the_installer_takes_the_pythons_that_the_project_names():
    first, after = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project()["requires-python"]).groups()
    fits = f"(3, {first}) <= sys.version_info[:2] <= (3, {int(after) - 1})"
    assert fits in (ROOT / "moe_tutorial/tools/setup.sh").read_text(encoding="utf-8")


def test_no_file_of_the_set_up_names_a_registry():
    """Where packages are fetched from is the machine's affair, but for PyTorch's own index, which has its CPU build."""
    setup = "moe_tutorial/tools/setup.sh"
    files = ["Makefile", ".ci/run", ".ci/fresh", "environment.yml", "pyproject.toml", ".devcontainer/devcontainer.json"]
    files += [f".github/workflows/{name}.yml" for name in ("test", "nightly", "site")]
    for name in [*files, setup]:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert (name == setup) == bool(re.search(r"index-url|default-index", text)), name
        addresses = re.findall(r"https?://(?!127\.0\.0\.1)[^\s'\"]+", text)
        assert addresses == (["https://download.pytorch.org/whl/cpu"] if name == setup else []), name
