"""The exercises of all lessons, and how an answer is examined."""

import importlib
import linecache
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any

from moe_tutorial.course.failed_cells import CellFailed
from moe_tutorial.course.lesson import SOLUTION, Lesson, Task, lesson_files, solved
from moe_tutorial.course.running import NotWritten, NotYet, Printed, nothing_changes, shielded

SHORT = 2
"""Of a solution with at most this many lines, the puzzle asks for the last one only."""


@dataclass(frozen=True)
class Result:
    """The result of examining an answer.

    The verdict is "right", "wrong", "open" (not written yet), "stopped" (by Jupyter's Stop button or nbgrader's
    timeout), "own" (the answer is the course's own function) or "failed" (the answer's cell raised an error).
    """

    verdict: str
    message: str
    printed: str = ""
    handed_on: Callable | None = None  # a right answer, with results of the course's types
    mistake: str = ""  # what is said of the known mistake that a wrong answer makes

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.verdict == "right"


class Exercise(Task):
    """A lesson's exercise with its check, which examines answers."""

    @property
    def hints(self) -> tuple[str, str, str]:
        """Three hints, each more specific than the one before."""
        return self._check.hints

    @property
    def puzzle(self) -> dict[str, str]:
        """Wrong lines for the puzzle on the site -> what is wrong with each.

        They are the first edits that change one line, or, of a short solution, its last line.
        """
        _, lines, _ = self.parts
        found = {}
        for says, edit in self._check.mistakes.items():
            if isinstance(edit, str):
                _, others, _ = replace(self, cell=edited(self.cell, edit)).parts
                places = [place for place, pair in enumerate(zip(lines, others, strict=False)) if pair[0] != pair[1]]
                is_one = len(places) == 1 and len(lines) == len(others)
                if is_one and (len(lines) > SHORT or places == [len(lines) - 1]):
                    found.setdefault(others[places[0]][0], says)
        return dict(list(found.items())[: 2 if len(lines) > SHORT else 3])

    @property
    def swaps(self) -> list[tuple[str, str]]:
        """Neighbouring lines of the solution that may also stand in the other order."""
        return list(self._check.swaps)

    @cached_property
    def own(self) -> Callable:
        """The course's own function, always the same object."""
        return self.written(self.solution, f"<the course's {self.id}>")

    @cached_property
    def _check(self) -> Any:
        from moe_tutorial.course.vocabulary import CHECKS

        file = f"from_{self.id[0]}0.lesson_{self.id[:2]}"  # lessons 00 to 09, then 10 to 19
        importlib.import_module(f"moe_tutorial.course.checks.{file}")
        if self.id not in CHECKS:
            raise LookupError(f"exercise {self.id} has no check in course/checks/{file.replace('.', '/')}.py")
        return CHECKS[self.id]

    @cached_property
    def mistaken(self) -> dict[str, Callable]:
        """What is said of each known mistake -> a function that makes it."""
        return {
            says: self.written(solved(edited(self.cell, edit)), f"<{self.id}: {edit}>")
            if isinstance(edit, str)
            else edit
            for says, edit in self._check.mistakes.items()
        }

    def written(self, source: str, file: str = "<answer>") -> Callable:
        """Run source text with the names of :func:`namespace`, and return the function ``name`` that it defines."""
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # error messages quote it
        names = namespace()
        exec(compile(source, file, "exec"), names)
        return names[self.name]

    def examine(self, answer: Any) -> Result:
        """Examine an answer. An error in it becomes part of the result; an endless loop in it can be interrupted."""
        from moe_tutorial.course.vocabulary import Ask, like

        if isinstance(answer, CellFailed):
            return Result("failed", answer.message)
        if answer is self.own:
            return Result("own", f"This is the course's own {self.name}. Run your cell first, and then this one again.")
        if not callable(answer):
            return Result("wrong", f"{self.name} is of type {type(answer).__name__}, not a function.")
        printed, ask = Printed(), Ask(answer, self.own, self._check.changes)
        try:
            with nothing_changes(), shielded(printed):
                failure = self._check.failure(ask)
            if failure is None:
                handed_on = answer
                if ask.course_types is not None:
                    handed_on = wraps(answer)(lambda *given, **named: like(answer(*given, **named), ask.course_types))
                return Result("right", "right", str(printed), handed_on)
            if isinstance(failure, NotWritten):
                return Result("open", str(failure), str(printed))
            mistake = self._known(failure)
            return Result("wrong", mistake + failure.shown if mistake else str(failure), str(printed), mistake=mistake)
        except KeyboardInterrupt:
            return Result("stopped", "It was stopped while it ran. Is there a loop that does not end?", str(printed))

    @cached_property
    def _failures(self) -> dict[str, NotYet | None]:
        """What is said of each known mistake -> how it fails in the check. Computed when the first answer fails."""
        from moe_tutorial.course.vocabulary import Ask

        asks = {says: Ask(mistaken, self.own, self._check.changes) for says, mistaken in self.mistaken.items()}
        with nothing_changes(), shielded(Printed()):
            return {says: self._check.failure(ask) for says, ask in asks.items()}

    def _known(self, failure: NotYet) -> str:
        """What is said of the first known mistake that fails in the same way, or ""."""
        from moe_tutorial.course.vocabulary import alike

        return next((says for says, other in self._failures.items() if alike(other, failure)), "")


def edited(cell: str, edit: str) -> str:
    """A cell with its solution edited: ``"old => new"`` in every place, or ``"return ... => new"``, the last return.

    Raises ValueError if the old text is not in the solution.
    """
    old, new = edit.split(" => ")
    found = SOLUTION.search(cell + "\n")
    before = textwrap.dedent(found[2])
    if old == "return ...":
        old = before[before.rindex("return ") :].rstrip("\n")
        new = f"return {new}"
    if old not in before:
        raise ValueError(f"{old!r} is not in the solution:\n{before}")
    return cell.replace(found[2], textwrap.indent(before.replace(old, new), found[1]))


def namespace() -> dict[str, Any]:
    """The names that an exercise may use besides Python's built-ins."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn

    from moe_tutorial import layers, study

    names = {"torch": torch, "math": math, "np": np, "F": F, "nn": nn, "__name__": "__main__"}
    return names | {name: getattr(each, name) for each in (layers, study) for name in each.__all__}


EXERCISES: dict[str, Exercise] = {
    task.id: Exercise(**vars(task)) for file in lesson_files() for task in Lesson.read(file).tasks
}
"""Every exercise of every lesson, by its permanent id."""
