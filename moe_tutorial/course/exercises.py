"""The exercises of all lessons, and how an answer is examined."""

import importlib
import linecache
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moe_tutorial.course.failed_cells import CellFailed
from moe_tutorial.course.lesson import Lesson, Task, lesson_files
from moe_tutorial.course.running import NotWritten, NotYet, Printed, nothing_changes, shielded


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


class Exercise(Task):
    """A lesson's exercise with its check, which examines answers."""

    @property
    def hints(self) -> tuple[str, str, str]:
        """Three hints, each more specific than the one before."""
        return self._check.hints

    @property
    def puzzle(self) -> dict[str, str]:
        """Wrong lines for the puzzle on the site -> what is wrong with each."""
        return dict(self._check.puzzle)

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
