"""Run the lessons, store their text outputs, and check that every .ipynb equals its .py.

The ``.py`` (Jupytext percent) is a lesson's source. Its ``.ipynb`` has the same cells and the text that they printed,
which is nbval's reference. Pictures and widgets are not stored, since running a cell restores them.
"""

import hashlib
import os
import time
from itertools import zip_longest
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from moe_tutorial.course import CourseError
from moe_tutorial.course.lesson import Cell, lesson_files, notebook_cells
from moe_tutorial.tools.jupyter.kernels import LessonError, execute
from moe_tutorial.tools.notebooks import tables

IGNORE = "nbval-ignore-output"
METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def sources(folder: Path) -> list[Path]:
    """The sources of the lessons and then of the other notebooks, each in the order of their names.

    Raises:
        CourseError: the folder has no lessons; running none must not look like success.
    """
    if not lesson_files(folder):
        raise CourseError(f"no lessons (NN_name.py) in {folder}")
    return sorted(folder.glob("*.py"))


def run(folder: Path) -> int:
    """Run every lesson without writing anything; print a line for each. Returns how many failed."""
    from moe_tutorial.study.claims import read_claims  # loads PyTorch, which `sync` does not need

    failures, claims = 0, []
    begun = time.perf_counter()
    for path in sources(folder):
        start = time.perf_counter()
        try:
            notebook = execute(jupytext.read(path), path)
        except LessonError as error:
            failures += 1
            print(f"✗ {error}", flush=True)
            continue
        said = read_claims(output for cell in notebook.cells for output in cell.get("outputs", []))
        claims += said
        print(f"✓ {path.stem}: {time.perf_counter() - start:.1f} s, {summary(said)}", flush=True)
    seconds, seed = time.perf_counter() - begun, os.environ.get("MOE_SEED")
    seeded = f" (MOE_SEED={seed})" if seed else ""
    verdict = "✗" if failures else "✓"
    print(f"{verdict} all lessons: {seconds:.1f} s, {summary(claims)}, {failures} lessons failed{seeded}")
    return failures


def summary(claims: list) -> str:
    """How many claims hold. Only those about times may not: any other would have raised."""
    not_here = [claim.id for claim in claims if not claim.holds]
    rest = f", not on this machine: {', '.join(not_here)}" if not_here else ""
    return f"{len(claims) - len(not_here)} claims hold{rest}"


def text_only(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs to store: joined streams, and the plain text of results, with the data of a claim beside its line."""
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            if kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
                kept[-1].text += output.text
            else:
                kept.append(output)
        elif "text/plain" in output.get("data", {}):
            data = {"text/plain": output.data["text/plain"]}
            claim = {name: value for name, value in output.metadata.items() if name == "claim"}
            kept.append(nbformat.from_dict(output | {"data": data, "metadata": claim}))
    return kept


def stored(notebook: NotebookNode) -> NotebookNode:
    """The notebook as it is committed. It depends only on the sources and the outputs."""
    seen: dict[str, int] = {}
    cells = []
    for cell in notebook.cells:
        digest = hashlib.sha1(f"{cell.cell_type}:{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        tags = cell.metadata.get("tags", [])
        clean = {
            "cell_type": cell.cell_type,
            "id": digest if seen[digest] == 1 else f"{digest}-{seen[digest]}",
            "metadata": {key: cell.metadata[key] for key in sorted(cell.metadata)},
            "source": cell.source,
        }
        if cell.cell_type == "code":
            clean["execution_count"] = cell.execution_count
            clean["outputs"] = [] if IGNORE in tags else text_only(cell.outputs)
        cells.append(clean)
    return nbformat.from_dict({"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})


def reference(folder: Path, names: list[str]) -> None:
    """Run the lessons with the default seeds, and write each .ipynb from its .py and the text that its cells print.

    If ``names`` are given, only those lessons run. The .ipynb of another lesson is then written with its stored
    outputs, unless its code cells changed. The tables of lessons are updated, too.

    Raises:
        CourseError: a name is not that of a lesson, a table of lessons cannot be made, or a lesson failed.
    """
    os.environ.pop("MOE_SEED", None)
    paths = sources(folder)
    if unknown := set(names) - {path.stem for path in paths}:
        known = ", ".join(path.stem for path in paths)
        raise CourseError(f"there is no lesson {', '.join(sorted(unknown))}; there are {known}")
    for file, text in tables.tables(folder.parent).items():
        file.write_text(text, encoding="utf-8")
    for path in paths:
        start = time.perf_counter()
        if names and path.stem not in names:
            notebook = with_stored_outputs(path)
        else:
            notebook = execute(jupytext.read(path), path)
            print(f"✓ {path.stem}.ipynb: {time.perf_counter() - start:.1f} s", flush=True)
        if notebook:
            nbformat.write(stored(notebook), path.with_suffix(".ipynb"))


def with_stored_outputs(path: Path) -> NotebookNode | None:
    """The lesson's source with the outputs stored in its .ipynb; None if that is missing or has other code."""
    paired = path.with_suffix(".ipynb")
    if not paired.exists():
        return None
    notebook, then = jupytext.read(path), nbformat.read(paired, as_version=4)
    now, old = ([cell for cell in each.cells if cell.cell_type == "code"] for each in (notebook, then))
    if notebook_cells(now) != notebook_cells(old):
        return None
    for cell, ran in zip(now, old, strict=True):
        cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    return notebook


def out_of_sync(path: Path) -> str | None:
    """The first difference between a lesson's .py and its .ipynb, or a stored output that is not text; or None."""
    paired = path.with_suffix(".ipynb")
    if not paired.exists():
        return f"{paired.name} is missing"
    notebook = nbformat.read(paired, as_version=4)
    source, pair = notebook_cells(jupytext.read(path).cells), notebook_cells(notebook.cells)
    for number, (left, right) in enumerate(zip_longest(source, pair, fillvalue=Cell("none", "", []))):
        if left != right:
            return f"{path.name} and {paired.name} differ in cell {number}: {first_difference(left, right)}"
    if "widgets" in notebook.metadata:
        return f"{paired.name} stores the state of widgets"
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if text_only([output]) != [output]:
                return f"{paired.name}, cell {number} stores {', '.join(output.get('data', ['an error']))}"
    return None


def first_difference(*cells: Cell) -> str:
    """The first difference between two cells, shortened: their types, their tags, or a line of their text."""
    lines = ([f"type {cell.kind}", f"tags {cell.tags}", *cell.source.splitlines()] for cell in cells)
    one, other = next((a, b) for a, b in zip_longest(*lines, fillvalue="") if a != b)
    return f"{one[:60]!r} against {other[:60]!r}"


def sync(folder: Path) -> int:
    """Print every lesson and table that is out of sync. Returns how many there are."""
    paths = sources(folder)
    wrong = [found for path in paths if (found := out_of_sync(path))]
    strays = {p.stem for p in folder.glob("*.ipynb")} - {p.stem for p in paths}
    wrong += [f"{name}.ipynb has no {name}.py" for name in sorted(strays)]
    for file, text in tables.tables(folder.parent).items():
        if file.read_text(encoding="utf-8") != text:
            wrong.append(f"{file.name} has another table of lessons than book.yml and the lessons' first lines make")
    for found in wrong:
        print(f"✗ {found}. Fix: make reference")
    if not wrong:
        print(f"✓ {len(paths)} lessons: every .ipynb equals its .py and stores text only")
    return len(wrong)
