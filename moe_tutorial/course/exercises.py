"""Read the exercises from the lessons, and examine answers.

A lesson's cell with the tag "exercise" holds the solution between nbgrader's markers. The next code cell gives the
exercise's id: ``my_mixture = check("03.my_mixture", my_mixture)``.
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
    """The result of examining an answer.

    The verdict is "right", "wrong", "open" (not written yet), "stopped" (by Jupyter's Stop button or nbgrader's
    timeout), "own" (the answer is the course's own function) or "failed" (the answer's cell raised an error).
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
        """The cell as a learner gets it, with nbgrader's placeholder instead of the solution."""
        return stub(self.cell)

    @property
    def solution(self) -> str:
        """The cell with the solution, without nbgrader's markers."""
        return solved(self.cell)

    @property
    def hints(self) -> tuple[str, str, str]:
        """Three hints, each more specific than the one before."""
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
        """Run source text with the names of :func:`namespace`, and return the function ``name`` that it defines."""
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # error messages quote it
        names = namespace()
        exec(compile(source, file, "exec"), names)
        return names[self.name]

    def examine(self, answer: Any) -> Result:
        """Examine an answer. An error in it becomes part of the result; an endless loop in it can be interrupted."""
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
    """A cell with nbgrader's placeholder instead of each solution."""
    return SOLUTION.sub(r"\1# YOUR CODE HERE\n\1raise NotImplementedError()\n", _ended(cell)).rstrip("\n")


def solved(cell: str) -> str:
    """A cell with its solution, without nbgrader's markers."""
    return SOLUTION.sub(r"\2", _ended(cell)).rstrip("\n")


def checked(cell: str) -> tuple[str, str] | None:
    """The function name and the exercise id that a cell passes to ``check``, or None."""
    found = CHECKED.search(cell)
    return (found[1], found[2]) if found else None


def read(text: str) -> list[Exercise]:
    """The exercises in a lesson's source (Jupytext percent).

    Raises ValueError if a cell with the tag has no solution markers or is not followed by its check.
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
    """The names that an exercise may use besides Python's built-ins."""
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
