"""The rules that judge a claim's numbers: each knows its threshold, so that a picture can draw it.

``above(0.9)`` asks the mean over the seeds; ``in_every_seed(above(0.9))`` asks each seed's own number, and
``in_the_median(above(0.9))`` the median.
"""

import math
import re
from dataclasses import dataclass, replace

import numpy as np

ASKED = {"mean": np.mean, "median": np.median, "every seed": np.asarray}
"""What a rule looks at -> the function that takes it from one number for each seed, (n_seeds,)."""

TEXT = re.compile(
    rf"(?P<asks>{'|'.join(ASKED)}) (?:> (?P<above>\S+)|< (?P<below>\S+)|= (?P<exactly>\S+)|"
    r"between (?P<low>\S+) and (?P<high>\S+))"
)


@dataclass(frozen=True)
class Rule:
    """Yes where what it ``asks`` for lies between ``low`` and ``high``, and is neither; or at both, if they are one."""

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
        """Where yes turns into no: one number, or two for ``between``."""
        return [end for end in sorted({self.low, self.high}) if math.isfinite(end)]

    def __str__(self) -> str:
        if self.low == self.high:
            words = f"= {self.low:g}"
        elif self.high == math.inf:
            words = f"> {self.low:g}"
        elif self.low == -math.inf:
            words = f"< {self.high:g}"
        else:
            words = f"between {self.low:g} and {self.high:g}"
        return f"{self.asks} {words}"

    @classmethod
    def read(cls, text: str) -> "Rule":
        """Read ``mean > 0.9``, as ``str`` writes it. Raises ValueError for another text."""
        found = TEXT.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no rule; one reads like 'mean > 0.9' or 'every seed between 0 and 1'")
        part = found.groupdict()
        low = part["above"] or part["exactly"] or part["low"] or -math.inf
        high = part["below"] or part["exactly"] or part["high"] or math.inf
        return cls(float(low), float(high), part["asks"])


def above(threshold: float) -> Rule:
    """The mean is larger."""
    return Rule(low=float(threshold))


def below(threshold: float) -> Rule:
    """The mean is smaller."""
    return Rule(high=float(threshold))


def between(low: float, high: float) -> Rule:
    """The mean lies between the two, and is neither. Raises ValueError unless low < high."""
    if not low < high:
        raise ValueError(f"low must be smaller than high, got {low} and {high}")
    return Rule(float(low), float(high))


def exactly(number: float) -> Rule:
    """Every seed has this number: for what is counted, and not estimated."""
    return Rule(float(number), float(number), "every seed")


def in_every_seed(rule: Rule) -> Rule:
    """The same threshold, for each seed's own number."""
    return replace(rule, asks="every seed")


def in_the_median(rule: Rule) -> Rule:
    """The same threshold, for the median over the seeds: for times, of which a few are always far too long."""
    return replace(rule, asks="median")
