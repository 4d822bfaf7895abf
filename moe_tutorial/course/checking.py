"""``check`` examines a learner's answer and shows the verdict; ``solution`` shows one way to solve an exercise."""

import inspect
import os
from collections.abc import Callable
from html import escape

from moe_tutorial.course.exercises import EXERCISES, Exercise, Result
from moe_tutorial.course.failed_cells import mark_failed_cells
from moe_tutorial.course.progress.storage import answered, prose, store
from moe_tutorial.course.running import running_shell
from moe_tutorial.show import look
from moe_tutorial.show.web import read
from moe_tutorial.study.environment import interactive

HEADS = {
    "right": "✓ {}: right",
    "wrong": "✗ {}: not yet",
    "open": "○ {}: not written yet",
    "stopped": "○ {}: stopped",
    "own": "○ {}: run your cell first",
    "failed": "○ {}: your cell did not run",
}
_told: dict[str, set[str]] = {}  # exercise -> the known mistakes of which this kernel has told
GOES_ON = "The course's own goes on from here, so you can read on and come back."

if shell := running_shell():
    mark_failed_cells(shell, {exercise.name for exercise in EXERCISES.values()})


class AnswerFailed(AssertionError):
    """Raised under nbgrader if an answer is not right."""


def check(id: str, answer: Callable) -> Callable:
    """Examine an answer and show the verdict. Returns the answer if it is right, or else the course's own function.

    A right answer whose results have other types, such as float64 or a list, is returned in a wrapper that converts
    them.

    Raises:
        AnswerFailed: the answer is not right, and nbgrader runs the notebook.
        LookupError: no exercise has this id.
    """
    exercise = _exercise(id)
    result = exercise.examine(answer)
    hint = ""
    if result.verdict in ("right", "wrong", "stopped"):
        tries = recorded(id, result, source_of(answer) if result.passed else "")
        hint = next_hint(exercise, tries) if tries else ""
    show(id, result, hint)
    if result.passed:
        return result.handed_on
    if os.environ.get("NBGRADER_EXECUTION"):
        raise AnswerFailed(f"{id}: {result.message}")
    return exercise.own


def solution(id: str) -> None:
    """Show one way to solve an exercise.

    Raises LookupError if no exercise has this id.
    """
    source = _exercise(id).solution
    if interactive():
        from IPython.display import Code, display

        display(Code(source, language="python"))
    else:
        print(source)


def _exercise(id: str) -> Exercise:
    if id not in EXERCISES:
        raise LookupError(f"there is no exercise {id!r}; there are {', '.join(EXERCISES)}")
    return EXERCISES[id]


def source_of(answer: Callable) -> str:
    """The source of an answer, or "" if it has none."""
    try:
        return inspect.getsource(answer)
    except (OSError, TypeError):
        return ""


def recorded(id: str, result: Result, source: str) -> int:
    """Record an attempt, with the source of a right answer. Returns the number of wrong attempts, or 0 for no hint.

    A known mistake is told in a sentence of its own: the first time, it does not count, and needs no hint.
    """
    now = answered().get("exercise", {}).get(id, {"attempts": 0, "solved": False})
    told = _told.setdefault(id, set())
    counts = not result.passed and result.mistake in {"", *told}
    told.add(result.mistake)
    now = now | {"attempts": now["attempts"] + counts, "solved": result.passed or now["solved"]}
    if source:
        now["source"] = source
    store("exercise", id, now)
    return now["attempts"] if counts else 0


def next_hint(exercise: Exercise, tries: int) -> str:
    """The hint to show after this many wrong attempts; after the last hint, how to see the solution."""
    if tries <= len(exercise.hints):
        return f"Hint {tries} of {len(exercise.hints)}: {exercise.hints[tries - 1]}"
    return f'One way to do it: from moe_tutorial.course import solution; solution("{exercise.id}")'


def show(id: str, result: Result, hint: str) -> None:
    """Show the result: as a panel in JupyterLab, as text elsewhere."""
    head = HEADS[result.verdict].format(f"exercise {id}")
    says = "" if result.verdict in ("right", "open") else result.message
    printed = f"It printed:\n{result.printed}" if result.printed else ""
    goes_on = "" if result.passed else GOES_ON
    text = "\n".join(filter(None, [head, says, printed, hint, goes_on]))
    if not interactive():
        print(text)
        return
    from IPython.display import display

    first, _, rest = says.partition("\n")
    parts = [
        f"<{tag}>{escape(words) if tag == 'pre' else prose(words)}</{tag.split()[0]}>"
        for tag, words in (
            ('p class="verdict"', head),
            ("p", first),
            ("pre", rest),
            ("pre", printed),
            ('p class="hint"', hint),
            ('p class="on"', goes_on),
        )
        if words
    ]
    css = look.css() + read("web/widgets/check.css")
    html = f'<style>{css}</style><section class="moe-check {result.verdict}" role="status">{"".join(parts)}</section>'
    display({"text/plain": text, "text/html": html}, raw=True)
