"""A cache of executed lessons with all their outputs, for the site. An entry is valid until its source or code changes.

Both the tests and the site's build write to it: the tests when nbval runs a lesson and every cell passes, and the build
when it runs a lesson that is not in the cache.
"""

import hashlib
import os
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from moe_tutorial.course.lesson import notebook_cells
from moe_tutorial.course.progress.file import write_file

USED = ("layers", "study", "show", "course")  # what lessons use; a change in these folders invalidates the cache
SHOWN_BY = ("torch", "matplotlib", "plotly", "ipywidgets", "anywidget")  # a page needs the versions that made it
IGNORED = {"__pycache__", ".ipynb_checkpoints", "node_modules"}
CODE = "moe_code"  # metadata key of a cached notebook: the digest of the code that it ran with


def fingerprint(paths: Iterable[Path]) -> str:
    """A digest of Python's version and of the names and contents of all files in these files and folders."""
    digest = hashlib.sha256(sys.version.encode())
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            if not IGNORED & set(file.parts) and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def code_digest(repository: Path) -> str:
    """A digest of the code and package versions that a lesson's outputs depend on, besides its own cells."""
    code = fingerprint(repository / "moe_tutorial" / part for part in USED)
    return " ".join([code, *(f"{package}=={version(package)}" for package in SHOWN_BY)])


def folder(repository: Path) -> Path:
    """The folder of the cache, which has one notebook for each lesson."""
    return repository / "_build" / "executed"


def environment(repository: Path) -> dict[str, str]:
    """The environment of a lesson run for the site: the default seeds, one thread, and IPython's default settings."""
    settings = repository / "_build" / "ipython"
    settings.mkdir(parents=True, exist_ok=True)
    own = {"MOE_SITE": "1", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "IPYTHONDIR": str(settings)}
    return {name: value for name, value in (os.environ | own).items() if name != "MOE_SEED"}


def printed(outputs: list) -> str:
    """What a cell printed: the text of its streams, in order."""
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")


def store(notebook: NotebookNode, file: Path, code: str) -> None:
    """Write an executed notebook with the digest of the code that it ran with, in one atomic write."""
    notebook.metadata[CODE] = code
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, nbformat.writes(notebook).encode())


def find(path: Path, cache: Path, code: str) -> NotebookNode | None:
    """The cached run of the notebook at ``path``; None if there is none, or its cells or the code changed since."""
    file = cache / path.name
    if not file.exists():
        return None
    then, now = (nbformat.read(each, as_version=4) for each in (file, path))
    same = then.metadata.get(CODE) == code and notebook_cells(then.cells) == notebook_cells(now.cells)
    return then if same else None
