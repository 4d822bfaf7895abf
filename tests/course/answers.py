"""Answers that tests hand in, besides the edited solutions of the checks.

They stand in ``other_answers/``, a file for each lesson: right ones in other styles than the solution's, below
``@right``, and wrong ones in other styles than the edits, below ``@wrong`` with words that the message must say.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

WRONG: list[tuple[str, Callable, str]] = []
RIGHT: list[tuple[str, Callable]] = []


def wrong(id: str, says: str) -> Callable:
    """A wrong answer to this exercise; the message about it must contain these words, which name its mistake."""

    def register(answer: Callable) -> Callable:
        WRONG.append((id, answer, says))
        return answer

    return register


def right(id: str) -> Callable:
    """A right answer to this exercise, in another style than the course's."""

    def register(answer: Callable) -> Callable:
        RIGHT.append((id, answer))
        return answer

    return register


for path in sorted((Path(__file__).parent / "other_answers").glob("lesson_*.py")):
    spec = importlib.util.spec_from_file_location(f"other_{path.stem}", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
