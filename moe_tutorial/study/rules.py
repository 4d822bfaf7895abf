"""The rules that judge a claim's numbers. Each stores its threshold, so that a picture can draw it.

``above(0.9)`` tests the mean over the seeds, ``in_every_seed(above(0.9))`` each seed's number, and
``in_the_median(above(0.9))`` the median.
"""

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from moe_tutorial.study.estimates import NUMBER

ASKED = {"mean": np.mean, "median": np.median, "every seed": np.asarray}
"""What a rule tests -> the function that computes it from one number for each seed, (n_seeds,)."""

TEXT = rf"(?:{'|'.join(ASKED)}) (?:[><=] {NUMBER}|between {NUMBER} and {NUMBER})"
"""The form of a rule as it is printed, such as ``mean > 0.9``."""


@dataclass(frozen=True)
class Rule:
    """Whether what it ``asks`` for lies strictly between ``low`` and ``high``, or equals both if they are equal."""

    low: float = -math.inf
    high: float = math.inf
    asks: str = "mean"

    def __call__(self, values: np.ndarray) -> bool:
        """Judge one number for each seed, shape (n_seeds,)."""
        asked = ASKED[self.asks](values)
        if self.low == self.high:
            return bool(np.all(asked == self.low))
        return bool(np.all((self.low < asked) & (asked < self.high)))

    @property
    def thresholds(self) -> list[float]:
        """The finite ends: one number, or two for ``between``."""
        return [end for end in sorted({self.low, self.high}) if math.isfinite(end)]

    def __str__(self) -> str:
        if self.low == self.high:
            words = f"= {self.low:.10g}"
        elif self.high == math.inf:
            words = f"> {self.low:.10g}"
        elif self.low == -math.inf:
            words = f"< {self.high:.10g}"
        else:
            words = f"between {self.low:.10g} and {self.high:.10g}"
        return f"{self.asks} {words}"

    @classmethod
    def read(cls, text: str) -> "Rule":
        """Parse what ``str`` returned. Raises ValueError for any other text."""
        if not re.fullmatch(TEXT, text):
            raise ValueError(f"{text!r} is no rule; one reads like 'mean > 0.9' or 'every seed between 0 and 1'")
        asks = next(name for name in ASKED if text.startswith(name))
        numbers = [float(number) for number in re.findall(NUMBER, text)]
        low = -math.inf if "<" in text else numbers[0]
        high = math.inf if ">" in text else numbers[-1]
        return cls(low, high, asks)


def above(threshold: float) -> Rule:
    """The mean is larger than ``threshold``."""
    return Rule(low=float(threshold))


def below(threshold: float) -> Rule:
    """The mean is smaller than ``threshold``."""
    return Rule(high=float(threshold))


def between(low: float, high: float) -> Rule:
    """The mean lies strictly between ``low`` and ``high``. Raises ValueError unless low < high."""
    if not low < high:
        raise ValueError(f"low must be smaller than high, got {low} and {high}")
    return Rule(float(low), float(high))


def exactly(number: float) -> Rule:
    """Every seed has exactly this number: for counts, which are not estimated."""
    return Rule(float(number), float(number), "every seed")


def in_every_seed(rule: Rule) -> Rule:
    """The same thresholds, for each seed's number."""
    return replace(rule, asks="every seed")


def in_the_median(rule: Rule) -> Rule:
    """The same thresholds, for the median over the seeds: for times, a few of which are always far too long."""
    return replace(rule, asks="median")
