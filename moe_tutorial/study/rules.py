"""The rules that judge a claim's numbers. Each stores its threshold, so that a picture can draw it.

``above(0.9)`` tests the mean over the seeds, ``in_every_seed(above(0.9))`` each seed's number, and
``in_the_median(above(0.9))`` the median.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

ASKED = {"mean": np.mean, "median": np.median, "every seed": np.asarray}
"""What a rule tests -> the function that computes it from one number for each seed, (n_seeds,)."""


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
