"""The exercises: what a learner writes, found in the lessons, and how an answer is examined.

One source: a lesson's cell with the tag "exercise" holds the solution between nbgrader's own marks. The cell that
follows names its id: ``my_mixture = check("03.my_mixture", my_mixture)``.
"""

import importlib
import linecache
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moe_tutorial.course.failed_cells import CellFailed
from moe_tutorial.course.folders import lessons_folder
from moe_tutorial.course.running import NotWritten, NotYet, Printed, nothing_changes, shielded

SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION\n?", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)
CHECKED = re.compile(r'^(\w+) = check\("([^"]+)", \1\)', re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What became of an examination.

    The verdict is "right", "wrong", "open" (not written yet), "stopped" (by Jupyter's Stop button or nbgrader's
    timeout), "own" (it is the course's) or "failed" (its cell did not run).
    """

    verdict: str
    message: str
    printed: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.verdict == "right"


@dataclass(frozen=True)
class Exercise:
    """One exercise: ``name`` is the function that the learner writes, ``cell`` the lesson's cell with the solution."""

    id: str
    name: str
    cell: str

    @property
    def stub(self) -> str:
        """The cell as a learner gets it, with nbgrader's words where the solution was."""
        return stub(self.cell)

    @property
    def solution(self) -> str:
        """The cell with the solution, without the marks."""
        return solved(self.cell)

    @property
    def hints(self) -> tuple[str, str, str]:
        """Three, each saying more than the one before."""
        return self._check.hints

    @cached_property
    def own(self) -> Callable:
        """The course's own function, always the same object."""
        return self.written(self.solution, f"<the course's {self.id}>")

    @cached_property
    def _check(self) -> Any:
        from moe_tutorial.course.checks.vocabulary import CHECKS

        importlib.import_module(f"moe_tutorial.course.checks.lesson_{self.id[:2]}")
        if self.id not in CHECKS:
            raise LookupError(f"exercise {self.id} has no check in course/checks/lesson_{self.id[:2]}.py")
        return CHECKS[self.id]

    def written(self, source: str, file: str = "<answer>") -> Callable:
        """The function of this name, from source text that may use what every exercise may use."""
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # for its error messages
        names = namespace()
        exec(compile(source, file, "exec"), names)
        return names[self.name]

    def examine(self, answer: Any) -> Result:
        """Ask whether an answer does what the exercise wants. Whatever it does, this returns, or can be interrupted."""
        from moe_tutorial.course.checks.vocabulary import Ask

        if isinstance(answer, CellFailed):
            return Result("failed", answer.message)
        if answer is self.own:
            return Result("own", f"This is the course's own {self.name}. Run your cell first, and then this one again.")
        if not callable(answer):
            return Result("wrong", f"{self.name} is of type {type(answer).__name__}, not a function.")
        verdict, message, printed = "right", "right", Printed()
        try:
            with nothing_changes(), shielded(printed):
                self._check.examine(Ask(answer, self._check.changes))
        except NotWritten as error:
            verdict, message = "open", str(error)
        except NotYet as error:
            verdict, message = "wrong", str(error)
        except KeyboardInterrupt:
            verdict, message = "stopped", "It was stopped while it ran. Is there a loop that does not end?"
        except Exception as error:
            verdict, message = "wrong", f"What it returns cannot be examined: {error}"
        return Result(verdict, message, str(printed))


def stub(cell: str) -> str:
    """A cell with nbgrader's words in place of each solution."""
    return SOLUTION.sub(r"\1# YOUR CODE HERE\n\1raise NotImplementedError()\n", _ended(cell)).rstrip("\n")


def solved(cell: str) -> str:
    """A cell with its solution and without the marks."""
    return SOLUTION.sub(r"\2", _ended(cell)).rstrip("\n")


def checked(cell: str) -> tuple[str, str] | None:
    """The name and the id that a cell checks, if it does."""
    found = CHECKED.search(cell)
    return (found[1], found[2]) if found else None


def read(text: str) -> list[Exercise]:
    """The exercises in a lesson's source (Jupytext percent).

    Raises ValueError where a cell with the tag has no marks, or is not followed by its check.
    """
    heads = list(CELL.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    cells = [(head[1], text[head.end() : end].strip("\n")) for head, end in zip(heads, ends, strict=True)]
    found = []
    for number, (head, cell) in enumerate(cells):
        if '"exercise"' not in head:
            continue
        after = next((checked(other) for kind, other in cells[number + 1 :] if "[markdown]" not in kind), None)
        if not after or not SOLUTION.search(_ended(cell)):
            raise ValueError(f"an exercise has marks and is followed by its check; this is not:\n{cell}")
        found.append(Exercise(after[1], after[0], cell))
    return found


def namespace() -> dict[str, Any]:
    """What an exercise may use beside Python itself."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn

    from moe_tutorial import layers, study

    names = {"torch": torch, "math": math, "np": np, "F": F, "nn": nn, "__name__": "__main__"}
    return names | {name: getattr(each, name) for each in (layers, study) for name in each.__all__}


def _ended(cell: str) -> str:
    return textwrap.dedent(cell).rstrip("\n") + "\n"


EXERCISES: dict[str, Exercise] = {
    exercise.id: exercise
    for path in sorted(lessons_folder().glob("[0-9][0-9]_*.py"))
    for exercise in read(path.read_text(encoding="utf-8"))
}
"""Every exercise of every lesson, by its permanent id."""
