"""The stored curve of lesson 07: it is of the experiment that stands here, and made again at night."""

import pytest

from moe_tutorial.study.systems import slow_bias

AGAIN = "make it again: python -m moe_tutorial.study.systems.slow_bias"


@pytest.mark.nightly
def test_the_stored_curves_begin_as_the_code_does():
    first = {rate: slow_bias.curve(rate, steps=300) for rate in (0.001, 0, 0.01)}
    for rate in (0.001, 0):
        stored = slow_bias.stored()[str(rate)]
        assert stored["step"] == list(range(300, 6001, 300)), AGAIN
        assert first[rate]["right"][0] == pytest.approx(stored["right"][0], abs=1), AGAIN
        assert first[rate]["dead"][0] == pytest.approx(stored["dead"][0], abs=0.3), AGAIN
        assert first[0.01]["dead"][0] < stored["dead"][0] - 2  # another rate would be noticed


@pytest.mark.nightly
@pytest.mark.parametrize("rate", [0.001, 0])
def test_the_stored_curves_end_as_the_code_does(rate):
    stored, found = slow_bias.stored()[str(rate)], slow_bias.curve(rate)
    for name, within in {"right": 2.5, "dead": 0.75}.items():  # what processors differ by after so many steps
        assert sum(found[name][-5:]) / 5 == pytest.approx(sum(stored[name][-5:]) / 5, abs=within), AGAIN
