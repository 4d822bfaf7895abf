"""A mean over seeds with its confidence interval: compute, print, parse and compare it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Numbers = float | Sequence[float] | np.ndarray

NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?"
FIGURE = rf"{NUMBER}(?: \[{NUMBER}, {NUMBER}\])?"


@dataclass(frozen=True)
class Figure:
    """Mean over the seeds and its 95 % confidence interval (Student's t); for one number the three are equal.

    ``text`` is how they are printed: ``0.120 [0.110, 0.140]``, or ``0.120`` without an interval.
    """

    mean: float
    low: float
    high: float
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval: several seeds, and not the same number in all of them."""
        return self.text.endswith("]")

    @property
    def rounded(self) -> tuple[str, str]:
        """The mean, and the interval as ``0.11 to 0.14``, which is empty for one number.

        They have as many decimals as the first digit of the interval's half width: further ones say nothing. A number
        without an interval has three digits, and a count all of its own.
        """
        half = (self.high - self.low) / 2
        if half < 5e-4 or half >= 1e5:  # printed in full, or in scientific notation
            mean, _, ends = self.text.partition(" [")
            if not ends:
                mean = f"{self.mean:.3g}" if 1 <= abs(self.mean) < 999 else mean.removesuffix(".000")
            return mean, ends.rstrip("]").replace(", ", " to ")
        decimals = min(3, max(0, -math.floor(math.log10(half))))  # the text has no more
        mean, low, high = (f"{round(n, decimals) + 0:.{decimals}f}" for n in (self.mean, self.low, self.high))
        return mean, f"{low} to {high}"

    @classmethod
    def read(cls, text: str) -> "Figure":
        """Parse what ``str`` returned."""
        numbers = [float(number) for number in re.findall(NUMBER, text)]
        return cls(*(numbers if len(numbers) == 3 else numbers * 3), text)

    def agrees(self, other: "Figure") -> bool:
        """Whether means and interval ends differ by at most the width of this interval, plus 1 % of the mean and 0.001.

        CPUs differ in the last digits of a sum, and training amplifies that to the third digit of a mean.
        """
        slack = self.high - self.low + 0.01 * abs(self.mean) + 0.001  # one unit of the last printed digit
        pairs = ((self.low, other.low), (self.mean, other.mean), (self.high, other.high))
        return all(abs(here - there) <= slack for here, there in pairs)


def figure_text(number: float) -> str:
    """The number with three decimals, or in scientific notation if it is very small or large. Only 0 prints as 0."""
    if number == 0:
        return "0"
    return f"{number:.3f}" if 5e-4 <= abs(number) < 1e5 else f"{number:.0e}"


def estimate(numbers: Numbers) -> Figure:
    """Mean and 95 % confidence interval of one number per seed, shape (n_seeds,)."""
    values = np.atleast_1d(np.asarray(numbers, dtype=float))
    mean = float(values.mean())
    if len(values) == 1 or np.ptp(values) == 0:
        return Figure(mean, mean, mean, figure_text(mean))
    low, high = map(float, stats.t.interval(0.95, len(values) - 1, loc=mean, scale=stats.sem(values)))
    if 5e-4 <= max(abs(low), abs(high)) < 1e5:  # a number far smaller than its interval is rounding error
        texts = [f"{round(number, 3) + 0:.3f}" for number in (mean, low, high)]
    else:
        texts = [figure_text(number) for number in (mean, low, high)]
    return Figure(mean, low, high, "{} [{}, {}]".format(*texts))
