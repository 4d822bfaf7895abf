import math

import numpy as np
import pytest

from moe_tutorial.study import above, below, between, exactly, in_every_seed, in_the_median

FEW = np.array([0.0, 0.0, 3.0])  # mean 1, median 0


@pytest.mark.parametrize(
    ("rule", "says", "text", "thresholds"),
    [
        (above(0.9), True, "mean > 0.9", [0.9]),
        (above(1), False, "mean > 1", [1]),
        (below(1), False, "mean < 1", [1]),
        (below(1.1), True, "mean < 1.1", [1.1]),
        (below(1 - 1e-6), False, "mean < 0.999999", [1 - 1e-6]),
        (between(-0.5, 1.5), True, "mean between -0.5 and 1.5", [-0.5, 1.5]),
        (between(1, 2), False, "mean between 1 and 2", [1, 2]),
        (exactly(0), False, "every seed = 0", [0]),
        (in_every_seed(above(-1e-12)), True, "every seed > -1e-12", [-1e-12]),
        (in_every_seed(below(3)), False, "every seed < 3", [3]),
        (in_the_median(below(0.5)), True, "median < 0.5", [0.5]),
    ],
)
def test_a_rule_judges_names_itself_and_knows_its_threshold(rule, says, text, thresholds):
    assert rule(FEW) is says
    assert str(rule) == text
    assert rule.thresholds == thresholds


def test_exactly_is_every_seed():
    assert exactly(2)(np.array([2.0, 2.0]))
    assert not exactly(2)(np.array([1.0, 3.0]))


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (math.nan, 1)])
def test_between_wants_its_ends_in_order(ends):
    with pytest.raises(ValueError, match="low must be smaller than high, got"):
        between(*ends)
