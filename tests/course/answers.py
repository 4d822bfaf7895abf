"""Answers that tests hand in: wrong ones, with words that the message must say, and right ones in other styles.

They stand in ``wrong_answers/``, a file for each lesson: plain functions, each below ``@wrong`` or ``@right``.
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


def gather() -> None:
    """Fill both lists."""
    for path in sorted((Path(__file__).parent / "wrong_answers").glob("lesson_*.py")):
        spec = importlib.util.spec_from_file_location(f"wrong_{path.stem}", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
