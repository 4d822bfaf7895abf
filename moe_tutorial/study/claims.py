"""A claim: one sentence, the number that carries it, and the control that could have refuted it.

The same rule judges both. It must say yes to what was measured and no to the control, which is the same measurement
with the mechanism taken away. A rule that says yes to everything is caught here, in the lesson, by the control.

A claim is written as one line: mark, id, verdict, statement, then fields separated by ``|``::

    ✓ claim 02.1 holds: Experts win | measured 0.120 [0.110, 0.140] | ○ control (dice) 0.000 [-0.010, 0.010] | 10 seeds
    – claim 09.4 not on this machine: It is faster | measured here 1.020 [0.970, 1.070] | 4 runs

The site, nbval and the course's own count read these lines.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moe_tutorial.study import rules
from moe_tutorial.study.estimates import FIGURE, Figure, Numbers, estimate
from moe_tutorial.study.rules import Rule

LINE = re.compile(
    r"^(?P<mark>[✓✗–]) claim (?P<id>\S+) \w[\w ]*: (?P<statement>[^\n]*?)"
    rf" \| measured (?P<timed>here )?(?P<measured>{FIGURE})"
    rf"(?: \| ○ control(?: \((?P<control_is>[^|\n]*)\))? (?P<control>{FIGURE}))?"
    r"(?: \| (?P<n_seeds>\d+) (?:seeds?|runs))?"
    r"(?: \| quantity: (?P<quantity>[^|\n]*))?"
    rf"(?: \| rule: (?P<rule>{rules.TEXT}))?"
    r"(?: \| ✗ refutes: (?P<refutes>[^\n]*))?$",
    re.MULTILINE,
)


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

    @property
    def line(self) -> str:
        """The claim as it is printed."""
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

    @classmethod
    def read(cls, line: str) -> "Claim | None":
        """Parse a claim's line; None for any other line."""
        found = LINE.match(line)
        if not found:
            return None
        part = found.groupdict(default="")
        return cls(
            id=part["id"],
            statement=part["statement"],
            measured=Figure.read(part["measured"]),
            holds=part["mark"] == "✓",
            control=Figure.read(part["control"]) if part["control"] else None,
            control_is=part["control_is"],
            n_seeds=int(part["n_seeds"] or 1),
            quantity=part["quantity"],
            rule=Rule.read(part["rule"]) if part["rule"] else None,
            refutes=part["refutes"],
            timed=bool(part["timed"]),
        )


def read_claims(text: str) -> list[Claim]:
    """Every claim in a text, in order."""
    return [claim for line in text.splitlines() if (claim := Claim.read(line))]


def print_claim(claim: Claim) -> None:
    """Print a claim's line."""
    print(claim.line)


_show: Callable[[Claim], None] = print_claim


def show_claims_with(show: Callable[[Claim], None]) -> None:
    """From now on, pass each claim to ``show``, also one that does not hold, instead of printing it or raising.

    ``moe_tutorial.show`` does this in JupyterLab, so that a learner's experiment does not stop the lesson.
    """
    global _show
    _show = show


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
    """Print the claim with its figures on one line, or raise if it does not hold.

    In JupyterLab a box shows the claim instead, and nothing raises if it does not hold.

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
        ClaimFailed: the rule says no to what was measured, or yes to the control, the figures are not times, and no
            other function shows claims (see `show_claims_with`).
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

    yes = bool(holds(values)) if callable(holds) else bool(holds)
    too = other is not None and bool(holds(other))  # the control holds as well
    judged = Claim(
        id,
        statement,
        estimate(values),
        holds=yes and not too,
        control=None if other is None else estimate(other),
        control_is=control_is,
        n_seeds=n_seeds,
        quantity=quantity,
        rule=holds if isinstance(holds, Rule) else None,
        refutes=refutes if yes and not too else "",
        timed=timed,
        control_passes=too,
    )
    if _show is print_claim and not judged.holds and not timed:
        raise ClaimFailed(f"{judged.line} | {judged.reason}")
    _show(judged)


def _checked(id: str, name: str, numbers: Numbers) -> np.ndarray:
    values = np.atleast_1d(np.asarray(numbers, dtype=float))
    if values.ndim != 1 or not len(values):
        raise ValueError(f"claim {id}: {name} has shape {values.shape}; allowed is one number, or one for each seed")
    if not np.isfinite(values).all():
        raise ValueError(f"claim {id}: {name} is {values.tolist()}; a claim rests on finite numbers")
    return values
