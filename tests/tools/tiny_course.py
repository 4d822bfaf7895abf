"""A course of two lessons, small enough to be read beside a test, and what its author and a learner do to it."""

from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

ADD = '''# %% [markdown]
# # 01 Add
#
# 5 minutes. You leave able to add.

# %%
import math
print("ready")

# %% [markdown]
# Now you:

# %% tags=["exercise"]
def add(a, b):
    """a + b"""
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION

# %%
add = check("01.add", add)

# %% [markdown]
# ## Recap
#
# It adds.
'''
DOUBLE = ADD.replace("01 Add", "02 Double").replace("01.add", "02.double").replace("return a + b", "return a * 2")
DOUBLE += """
# %% tags=["guess"]
guess("02.twice", "How much is twice two?", choices=["3", "4"])

# %% tags=["quiz"]
quiz("02")
"""
COURSE = {"01_add": ADD, "02_double": DOUBLE}
NEW = {  # every cell but the exercise and its check is another, and there is one more
    name: text.replace("Now you:", "Your turn:\n#\n# %% [markdown]\n# More.").replace("print(", "print(1, ")
    for name, text in COURSE.items()
}
SOLVED = 'def add(a, b):\n    """a + b"""\n    return b + a  # mine'


def write_course(folder: Path, lessons: dict[str, str] = COURSE) -> Path:
    """Write it as the repository has it: its contents, and the notebooks with stored outputs."""
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    for path in (folder / "notebooks").iterdir():
        path.unlink()
    toc = ["toc:", "  - file: index"]
    for name, text in lessons.items():
        toc += [f"  - file: {name}", "    asks: How?", "    needs: []"]
        notebook = jupytext.reads(text, "py:percent")
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [new_output("stream", text="ready\n")], 1
        nbformat.write(notebook, folder / f"notebooks/{name}.ipynb")
    (folder / "book.yml").write_text("\n".join(toc) + "\n", encoding="utf-8")
    return folder


def read(path: Path) -> NotebookNode:
    """A notebook, which must be a valid one."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def sources(path: Path) -> list[str]:
    """The text of its cells."""
    return [cell.source for cell in read(path).cells]


def place(notebook: NotebookNode, piece: str) -> int:
    """The place of its only cell with these words."""
    (found,) = [number for number, cell in enumerate(notebook.cells) if piece in cell.source]
    return found


def learn(path: Path, changes: dict[str, str] | None = None, added: dict[str, str] | None = None) -> None:
    """Do what a learner does: replace the text of the cell with these words, and add a cell below another."""
    notebook = read(path)
    for piece, text in (changes or {}).items():
        notebook.cells[place(notebook, piece)].source = text
    for piece, text in (added or {}).items():
        notebook.cells.insert(place(notebook, piece) + 1, new_code_cell(text))
    nbformat.write(notebook, path)
