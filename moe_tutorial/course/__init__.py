"""What a lesson's cells call: exercises and their checks, what was written, guesses, quizzes, suspects, and scores."""

from importlib import import_module
from typing import Any

TAUGHT = {
    "check": "checking",
    "solution": "checking",
    "detective": "quizzes.detective",
    "guess": "guesses",
    "my_moe": "progress.my_moe",
    "quiz": "quizzes.questions",
    "reveal": "guesses",
    "score_card": "progress.score",
    "scoreboard": "scoreboard_chart",
}
"""Name that a lesson imports from here -> the submodule that defines it, which is loaded on first use."""


class CourseError(Exception):
    """A command cannot go on; the message says why."""


def __getattr__(name: str) -> Any:
    if name not in TAUGHT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{TAUGHT[name]}"), name)
