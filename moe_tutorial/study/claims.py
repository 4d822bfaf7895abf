"""A claim: one sentence, the number that carries it, and the control that could have refuted it.

The same rule judges both. It must say yes to what was measured and no to the control, which is the same measurement
with the mechanism taken away. A rule that says yes to everything is caught here, in the lesson, by the control.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

Numbers = float | Sequence[float] | np.ndarray

present: Callable[[str], None] = print
"""How a claim that holds is shown: as its line. In JupyterLab the floor above puts a box in its place."""


class ClaimFailed(AssertionError):
    """What was measured does not hold, or the control holds too, so that the measurement shows nothing."""


class Estimate(NamedTuple):
    """Mean over the seeds and its 95 % confidence interval (Student's t); for one number the three are equal."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return figure_text(self.mean)
        if 5e-4 <= max(abs(self.low), abs(self.high)) < 1e5:  # a number far smaller than its interval is rounding error
            mean, low, high = (f"{round(number, 3) + 0:.3f}" for number in self)
        else:
            mean, low, high = map(figure_text, self)
        return f"{mean} [{low}, {high}]"


def figure_text(number: float) -> str:
    """Three decimals, or powers of ten where three decimals would hide the number. Only a true zero prints as 0."""
    if number == 0:
        return "0"
    return f"{number:.3f}" if 5e-4 <= abs(number) < 1e5 else f"{number:.0e}"


def estimate(numbers: Numbers) -> Estimate:
    """Mean and 95 % confidence interval of one number a seed, shape (n_seeds,)."""
    values = np.atleast_1d(np.asarray(numbers, dtype=float))
    mean = float(values.mean())
    if len(values) == 1 or np.ptp(values) == 0:
        return Estimate(mean, mean, mean)
    reach = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - reach, mean + reach)


def claim(
    id: str,
    statement: str,
    measured: Numbers,
    holds: Callable[[np.ndarray], bool] | bool,
    n_seeds: int | None = None,
    *,
    control: Numbers | None = None,
    control_is: str = "",
    refutes: str = "",
    timed: bool = False,
) -> None:
    """Print the claim with its figures on one line, or raise where it does not hold.

    Args:
        id: lesson and number, such as ``"04.2"``.
        statement: the sentence that is claimed.
        measured: the number that carries it: one, or one for each seed (n_seeds,).
        holds: the rule, given ``measured`` as an array (n_seeds,). A bool is a verdict already reached; it takes no
            control, because only a rule can judge two measurements alike.
        n_seeds: seeds behind the number. Left out: as many as ``measured`` has.
        control: the same measurement with the mechanism taken away. The rule must say no to it.
        control_is: what the control is, in words.
        refutes: the popular version of the statement that this measurement shows to be false.
        timed: the figures are times or ratios of times, one for each run of the measurement. They are this machine's,
            so the claim never raises ``ClaimFailed``: where the rule does not hold, or holds for the control as well,
            its line says "not on this machine". It says "measured here", and tests compare no verdict of it.

    Raises:
        ClaimFailed: the rule says no to what was measured, or yes to the control, and the figures are not times.
        ValueError: a number is not finite, or a control has no rule to judge it or no words to name it.
    """
    values = _checked(id, "measured", measured)
    if n_seeds is None:
        n_seeds = len(values)
    if n_seeds < 1 or len(values) not in (1, n_seeds):
        raise ValueError(f"claim {id}: n_seeds is {n_seeds}, but measured has {len(values)} numbers")
    other = None
    if control is not None:
        if not callable(holds):
            raise ValueError(f"claim {id}: holds is {holds!r}; a control needs a rule (a function) that judges both")
        if not control_is:
            raise ValueError(f"claim {id}: control_is is empty; say in words what the control is")
        other = _checked(id, "control", control)

    verdict = bool(holds(values)) if callable(holds) else bool(holds)
    too = other is not None and bool(holds(other))  # the control does it as well
    if timed:
        mark, word = ("✓", "holds") if verdict and not too else ("–", "not on this machine")
    else:
        mark, word = ("✓", "holds") if verdict else ("✗", "fails")
    parts = [f"{mark} claim {id} {word}: {statement}", f"measured {'here ' if timed else ''}{estimate(values)}"]
    if other is not None:
        parts.append(f"○ control ({control_is}) {estimate(other)}")
    if n_seeds > 1:
        parts.append(f"{n_seeds} {'runs' if timed else 'seeds'}")
    if refutes and mark != "–":
        parts.append(f"✗ refutes: {refutes}")
    line = " | ".join(parts)

    if not timed and not verdict:
        raise ClaimFailed(line)
    if not timed and too:
        raise ClaimFailed(f"{line} | the control holds as well, so the measurement does not show this")
    present(line)


def _checked(id: str, name: str, numbers: Numbers) -> np.ndarray:
    values = np.atleast_1d(np.asarray(numbers, dtype=float))
    if values.ndim != 1 or not len(values):
        raise ValueError(f"claim {id}: {name} has shape {values.shape}; allowed is one number, or one for each seed")
    if not np.isfinite(values).all():
        raise ValueError(f"claim {id}: {name} is {values.tolist()}; a claim rests on finite numbers")
    return values
