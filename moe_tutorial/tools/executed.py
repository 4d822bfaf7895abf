"""Executed lessons with all that they showed, kept for their pages until their source or the code changes.

Two put them here: the tests, where nbval runs a lesson and every cell passes, and the site's build, which runs only
what is not here.
"""

import hashlib
import os
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbformat import NotebookNode

# By lessons: what they import, and what is stored with it.
ASKING = ("kept.py", "guesses.py", "questions.py", "quizzes", "score.py", "standings.py")
EXERCISES = ("checking.py", "checks", "exercises.py", "running.py")
USED = ("layers", "study", "show", "course/suspects.py", *(f"course/{name}" for name in (*ASKING, *EXERCISES)))
SHOWN_BY = ("torch", "matplotlib", "plotly", "ipywidgets", "anywidget")  # a page needs the version that made its state
IGNORED = {"__pycache__", ".ipynb_checkpoints", "node_modules"}
CODE = "moe_code"  # under this name, a kept notebook's metadata hold the digest of the code that it ran with


def fingerprint(paths: Iterable[Path]) -> str:
    """A digest of every file in these files and folders: their names and contents."""
    digest = hashlib.sha256(sys.version.encode())
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            if not IGNORED & set(file.parts) and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def code_digest(repository: Path) -> str:
    """A digest of all that a lesson's outputs rest on besides its own cells."""
    code = fingerprint(repository / "moe_tutorial" / part for part in USED)
    return " ".join([code, *(f"{package}=={version(package)}" for package in SHOWN_BY)])


def folder(repository: Path) -> Path:
    """Where executed lessons are kept, each under its own name."""
    return repository / "_build" / "executed"


def environment(repository: Path) -> dict[str, str]:
    """What a lesson runs in: for a page, from the course's own seeds, on one thread, with IPython's own settings."""
    settings = repository / "_build" / "ipython"
    settings.mkdir(parents=True, exist_ok=True)
    own = {"MOE_SITE": "1", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "IPYTHONDIR": str(settings)}
    return {name: value for name, value in (os.environ | own).items() if name != "MOE_SEED"}


def printed(outputs: list) -> str:
    """What a cell printed: the text of its streams, in order."""
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")


def keep(notebook: NotebookNode, file: Path, code: str) -> None:
    """Write an executed notebook, and the digest of the code that it ran with. Nobody sees a file half written."""
    notebook.metadata[CODE] = code
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(f".{os.getpid()}")
    nbformat.write(notebook, half)
    half.replace(file)


def find(path: Path, kept: Path, code: str) -> NotebookNode | None:
    """The notebook at ``path`` as it was executed; None where its cells or the code have changed, or it never was."""
    file = kept / path.name
    if not file.exists():
        return None
    then, now = (nbformat.read(each, as_version=4) for each in (file, path))
    same = then.metadata.get(CODE) == code and compared(then.cells) == compared(now.cells)
    return then if same else None


def compared(cells: list[NotebookNode]) -> list[tuple]:
    """What of cells is the same in a lesson's .py, its .ipynb, and what was executed: type, text and tags."""
    return [(cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))) for cell in cells]
