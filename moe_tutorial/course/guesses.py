"""Guesses: ``guess`` asks directly above a measurement, and ``reveal`` shows the guess beside the measurement."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import traitlets as t

from moe_tutorial.course.progress.storage import StoredAnswer, prose
from moe_tutorial.show.web import bundle

ID = re.compile(r"\d\d\.[a-z0-9_]+")  # of a guess
NO_SCRIPT = "<noscript><div>It takes JavaScript to answer, which is off here.</div></noscript>"

_asked: dict[str, "Guess"] = {}  # guesses shown in this kernel, for `reveal`


class Guess(StoredAnswer):
    """The widget behind `guess`."""

    _esm = bundle("web/ask/guess.js")
    label = t.Unicode("Guess first").tag(sync=True)
    question = t.Unicode().tag(sync=True)
    answers = t.Dict().tag(sync=True)  # {"choices": [...]}, or {"low", "high", "step", "unit"}

    def __repr__(self) -> str:
        return f"{self.label}: {self.question} ({' · '.join(self._offered())})"

    def _offered(self) -> list[str]:
        """The possible answers, in words."""
        given = self.answers
        if "low" in given:
            return [f"{with_unit(given['low'], '')} to {with_unit(given['high'], given['unit'])}"]
        return given["choices"]

    def page(self) -> str:
        """The question and the possible answers as HTML."""
        items = "".join(f"<li>{prose(text)}</li>" for text in self._offered())
        return (
            f'<section class="moe-ask" id="guess-{self.id}"><p class="moe-label">{self.label}</p>'
            f'<p class="moe-question">{prose(self.question)}</p><ul>{items}</ul>{NO_SCRIPT}</section>'
        )


class Reveal(StoredAnswer):
    """The widget behind `reveal`."""

    _esm = bundle("web/ask/guess.js")
    label = t.Unicode("Your guess, answered").tag(sync=True)
    asked = t.Unicode().tag(sync=True)  # the question
    answers = t.Dict().tag(sync=True)  # of the guess
    measured = t.Any().tag(sync=True)  # what the lesson measured or computed: a number, or one of the choices
    says = t.Unicode().tag(sync=True)  # why, and what it means

    def __repr__(self) -> str:
        return f"Answer: {self._in_words()}. {self.says}".strip()

    def _in_words(self) -> str:
        return with_unit(self.measured, self.answers["unit"]) if "low" in self.answers else self.measured

    def page(self) -> str:
        """The answer as HTML, for readers without JavaScript. Others see it after they have guessed."""
        says = "".join(f"<p>{prose(text)}</p>" for text in self.says.split("\n\n"))
        measured = f"<noscript><div>Answer: <b>{prose(self._in_words())}</b>.{says}</div></noscript>"
        return f'<section class="moe-ask"><p class="moe-label">{self.label}</p>{measured}</section>'


def guess(
    id: str,
    question: str,
    *,
    choices: Sequence[str] | None = None,
    slider: tuple[float, float, float, str] | None = None,
) -> Guess:
    """Ask the learner to commit to an answer. A locked answer stays until the lesson is reset.

    Give either ``choices`` or ``slider``.

    Args:
        id: a permanent id: the lesson's number and a name, such as ``"05.sixty"``.
        question: one or two sentences; text between backticks is shown as code.
        choices: the answers to choose from.
        slider: the lowest and highest number, the step, and the unit, such as ``(0, 60, 1, "of 60")``.
    """
    answers = dict(zip(("low", "high", "step", "unit"), slider, strict=True)) if slider else {"choices": list(choices)}
    _asked[id] = Guess("guess", id, question=question, answers=answers)
    return _asked[id]


def reveal(id: str, measured: Any, *, says: str = "") -> Reveal:
    """Show the guess beside the measured value, and then what answers it, once the guess is locked or the value shown.

    Args:
        id: of the guess, which stands above.
        measured: a number for a slider, or one of the choices.
        says: why it is so and what it means, made from measured values, so that a changed verdict changes it. An empty
            line ends a paragraph; text between backticks is shown as code, ``[words](https://...)`` as a link.

    Raises ValueError if this kernel has not shown the guess, or if the value is not one of its choices.
    """
    if id not in _asked:
        known = ", ".join(sorted(_asked)) or "none yet: run the cell with guess(...) first"
        raise ValueError(f"there is no guess {id!r} in this notebook; asked were: {known}")
    answers = _asked[id].answers
    if "low" in answers:
        measured = round(float(measured), _decimals(answers["step"]) + 1)
    elif measured not in answers["choices"]:
        allowed = ", ".join(map(repr, answers["choices"]))
        raise ValueError(f"measured for {id} is {measured!r}; allowed is one of {allowed}")
    return Reveal("guess", id, asked=_asked[id].question, answers=answers, measured=measured, says=says)


def with_unit(value: float, unit: str) -> str:
    """A number with its unit, formatted as in ``show/web/ask/answers.js``."""
    number = f"{Decimal(str(value)):,.10f}".rstrip("0").rstrip(".")
    return f"{number} {unit}".strip()


def _decimals(step: float) -> int:
    return max(0, -int(Decimal(str(step)).as_tuple().exponent))
