"""A pytest plugin for nbval that compares the figures of claims and of the scoreboard with a tolerance.

nbval compares a cell's text with the stored text. Means over seeds differ between CPUs in their last digits, so
``tests/nbval.cfg`` removes the figures before that comparison, and this plugin compares them: the mean and both ends of
the interval may differ from the stored ones by the stored interval's width and a little more (``Figure.agrees``).
Figures and verdicts of claims about times depend on the machine and are not compared. Verdict, statement and seeds of
other claims stay in the text that nbval compares.
"""

import os
from collections.abc import Iterator

import pytest

from moe_tutorial.study.claims import Claim, read_claims
from moe_tutorial.study.scores import Row, read_rows
from moe_tutorial.tools.notebooks.executed import printed


def difference(stored: list[Claim], fresh: list[Claim]) -> str | None:
    """The first disagreement between stored and fresh figures, or None."""
    if [claim.id for claim in stored] != [claim.id for claim in fresh]:
        return f"stored claims {[c.id for c in stored]}, fresh claims {[c.id for c in fresh]}"
    for old, new in zip(stored, fresh, strict=True):
        if old.timed and new.timed:
            continue  # another machine, other times
        for name in ("measured", "control"):
            before, now = getattr(old, name), getattr(new, name)
            if (before is None) != (now is None) or (before and not before.agrees(now)):
                texts = [figure.text if figure else "none" for figure in (before, now)]
                return f"claim {old.id}, {name}: stored {texts[0]}, fresh {texts[1]}"
    return None


def other_scores(stored: list[Row], fresh: list[Row]) -> str | None:
    """The first scoreboard row whose accuracy disagrees with the stored one, or None. nbval compares its text."""
    for old, new in zip(stored, fresh, strict=False):
        if not old.accuracy.agrees(new.accuracy):
            return f"scoreboard {old.lesson}, {old.name}: stored {old.accuracy}, fresh {new.accuracy}"
    return None


def pytest_configure() -> None:
    """Run with the default seeds, as the stored outputs did."""
    os.environ.pop("MOE_SEED", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """After nbval's own comparison of a cell, compare the figures of its claims and scores."""
    result = yield
    if type(item).__name__ == "IPyNbCell" and item.test_outputs and item.options["check"]:
        both = item.cell.outputs, item.test_outputs
        wrong = difference(*map(read_claims, both)) or other_scores(*(read_rows(printed(each)) for each in both))
        if wrong:
            item.raise_cell_error(f"{wrong}. If the change is meant, store it: make reference")
    return result
