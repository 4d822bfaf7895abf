"""How it is taught: what a lesson's cells call."""

from importlib import import_module
from typing import Any

TAUGHT = {
    "check": "checking",
    "solution": "checking",
    "guess": "guesses",
    "quiz": "questions",
    "reveal": "guesses",
    "score_card": "score",
    "scoreboard": "standings",
}
"""What a lesson imports from here -> the module it is in, which is loaded when somebody asks for it."""


class CourseError(Exception):
    """A command cannot go on; the message says why."""


def __getattr__(name: str) -> Any:
    if name not in TAUGHT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{TAUGHT[name]}"), name)
