"""A claim: one sentence, the number that carries it, and the control that could have refuted it.

The same rule judges both. It must say yes to what was measured and no to the control, which is the same measurement
with the mechanism taken away. A rule that says yes to everything is caught here, in the lesson, by the control.

A claim is written as one line: mark, id, verdict, statement, then fields separated by ``|``::

    ✓ claim 02.1 holds: Experts win | measured 0.120 [0.110, 0.140] | ○ control (dice) 0.000 [-0.010, 0.010] | 10 seeds
    – claim 09.4 not on this machine: It is faster | measured here 1.020 [0.970, 1.070] | 4 runs

In a notebook the line is an output whose metadata hold the claim as data, in JSON. The site, nbval and the course's own
count read these.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from IPython.display import display

from moe_tutorial.study.environment import interactive
from moe_tutorial.study.estimates import Figure, Numbers, estimate
from moe_tutorial.study.rules import Rule


class ClaimFailed(AssertionError):
    """The rule says no to what was measured, or yes to the control, so that the measurement shows nothing."""


@dataclass(frozen=True)
class Claim:
    """A claim that was judged. ``holds``: the rule says yes to what was measured, and no to the control.

    ``timed``: the figures are times, which differ between machines. ``n_seeds`` then counts the runs, and a claim that
    does not hold is not false, but "not on this machine". ``rule`` is None if another function or a bool judged.
    """

    id: str
    statement: str
    measured: Figure
    holds: bool
    control: Figure | None = None
    control_is: str = ""
    n_seeds: int = 1
    quantity: str = ""
    rule: Rule | None = None
    refutes: str = ""
    timed: bool = False
    control_passes: bool = False

    @property
    def mark(self) -> str:
        """The symbol at the beginning of the line."""
        return "✓" if self.holds else "–" if self.timed else "✗"

    @property
    def verdict(self) -> str:
        """The mark in words."""
        return {"✓": "holds", "–": "not on this machine", "✗": "fails"}[self.mark]

    @property
    def unit(self) -> str:
        """What stands in brackets at the end of ``quantity``: ``points`` in ``accuracy gained (points)``."""
        found = re.search(r" \(([^()]*)\)$", self.quantity)
        return found[1] if found else ""

    @property
    def reason(self) -> str:
        """Why a claim does not hold."""
        if self.control_passes:
            return "the control holds as well, so the measurement does not show this"
        return "the rule says no to what was measured"

    def __str__(self) -> str:
        """The claim as it is printed, on one line."""
        parts = [
            f"{self.mark} claim {self.id} {self.verdict}: {self.statement}",
            f"measured {'here ' if self.timed else ''}{self.measured}",
        ]
        if self.control is not None:
            parts.append(f"○ control ({self.control_is}) {self.control}")
        if self.n_seeds > 1:
            parts.append(f"{self.n_seeds} {'runs' if self.timed else 'seeds'}")
        if self.quantity:
            parts.append(f"quantity: {self.quantity}")
        if self.rule is not None:
            parts.append(f"rule: {self.rule}")
        if self.refutes:
            parts.append(f"✗ refutes: {self.refutes}")
        return " | ".join(parts)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, str]]:
        """What a notebook stores: the line, and the claim as data in the metadata."""
        return {"text/plain": str(self)}, {"claim": json.dumps(asdict(self), ensure_ascii=False)}

    @classmethod
    def read(cls, text: str) -> "Claim":
        """The claim from its data in JSON."""
        data = json.loads(text)
        for name, kind in {"measured": Figure, "control": Figure, "rule": Rule}.items():
            data[name] = data[name] and kind(**data[name])
        return cls(**data)


def read_claims(outputs: Iterable[Mapping]) -> list[Claim]:
    """The claims among a notebook's outputs, in order.

    Raises:
        ValueError: the text beside a claim's data is not its line.
    """
    found = []
    for output in outputs:
        if data := output.get("metadata", {}).get("claim"):
            found.append(Claim.read(data))
            if (text := "".join(output["data"]["text/plain"])) != str(found[-1]):
                raise ValueError(f"claim {found[-1].id}: the stored line is {text!r}, but its data say {found[-1]}")
    return found


def claim(
    id: str,
    statement: str,
    measured: Numbers,
    holds: Rule | Callable[[np.ndarray], bool] | bool,
    n_seeds: int | None = None,
    *,
    control: Numbers | None = None,
    control_is: str = "",
    quantity: str = "",
    refutes: str = "",
    timed: bool = False,
) -> None:
    """Display the claim with its figures on one line, or raise if it does not hold.

    In JupyterLab a row shows the claim, and nothing raises if it does not hold, so that a learner's experiment does not
    stop the lesson.

    Args:
        id: lesson and number, such as ``"04.2"``.
        statement: the sentence that is claimed.
        measured: the number that supports it: one, or one for each seed (n_seeds,).
        holds: the rule, called with ``measured`` as an array (n_seeds,): one of ``study.rules``, such as
            ``above(0.9)``, which the line names and the box draws, or a function of your own. A bool is a verdict
            already reached; it takes no control, because only a rule can judge two measurements alike.
        n_seeds: number of seeds behind ``measured``; its length if None.
        control: the same measurement with the mechanism taken away. The rule must say no to it.
        control_is: what the control is, in words.
        quantity: what was measured, with its unit in brackets, such as ``"accuracy gained (points)"``.
        refutes: the popular version of the statement that this measurement shows to be false.
        timed: the figures are times or ratios of times, one for each run of the measurement. They depend on the
            machine, so the claim never raises ``ClaimFailed``: if the rule says no to what was measured, or yes to the
            control, the line says "not on this machine". It also says "measured here", and tests do not compare its
            verdict.

    Raises:
        ClaimFailed: the rule says no to what was measured, or yes to the control, the figures are not times, and this
            is not JupyterLab.
        ValueError: a number is not finite, ``measured`` has neither 1 nor ``n_seeds`` numbers, a control has no rule
            or no ``control_is``, or a text contains ``|`` or a line break.
    """
    values = _checked(id, "measured", measured)
    if n_seeds is None:
        n_seeds = len(values)
    if n_seeds < 1 or len(values) not in (1, n_seeds):
        raise ValueError(f"claim {id}: n_seeds is {n_seeds}, but measured has {len(values)} numbers")
    for name, text in {"statement": statement, "control_is": control_is, "quantity": quantity}.items():
        if "|" in text or "\n" in text:
            raise ValueError(f"claim {id}: {name} is {text!r}; a line's fields take neither | nor a line break")
    other = None
    if control is not None:
        if not callable(holds):
            raise ValueError(f"claim {id}: holds is {holds!r}; a control needs a rule (a function) that judges both")
        if not control_is:
            raise ValueError(f"claim {id}: control_is is empty; say in words what the control is")
        other = _checked(id, "control", control)

    median = isinstance(holds, Rule) and holds.asks == "median"  # then the line shows it, in place of the mean
    yes = bool(holds(values)) if callable(holds) else bool(holds)
    too = other is not None and bool(holds(other))  # the control holds as well
    judged = Claim(
        id,
        statement,
        estimate(np.median(values) if median else values),
        holds=yes and not too,
        control=None if other is None else estimate(np.median(other) if median else other),
        control_is=control_is,
        n_seeds=n_seeds,
        quantity=quantity,
        rule=holds if isinstance(holds, Rule) else None,
        refutes=refutes if yes and not too else "",
        timed=timed,
        control_passes=too,
    )
    if not judged.holds and not timed and not interactive():
        raise ClaimFailed(f"{judged} | {judged.reason}")
    display(judged)


def _checked(id: str, name: str, numbers: Numbers) -> np.ndarray:
    values = np.atleast_1d(np.asarray(numbers, dtype=float))
    if values.ndim != 1 or not len(values):
        raise ValueError(f"claim {id}: {name} has shape {values.shape}; allowed is one number, or one for each seed")
    if not np.isfinite(values).all():
        raise ValueError(f"claim {id}: {name} is {values.tolist()}; a claim rests on finite numbers")
    return values
