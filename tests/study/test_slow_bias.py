"""The stored curve of lesson 07: it is of the experiment that stands here, and made again at night."""

import pytest
import torch

from moe_tutorial.study.systems import slow_bias

AGAIN = "make it again: python -m moe_tutorial.study.systems.slow_bias"


@pytest.fixture(autouse=True)
def own_seeds(monkeypatch):
    monkeypatch.delenv("MOE_SEED", raising=False)
    torch.set_num_threads(1)


def test_the_stored_curve_begins_as_the_code_does():
    stored, found = slow_bias.stored(), slow_bias.curve(steps=300)
    assert stored["step"] == list(range(300, 6001, 300)), AGAIN
    assert found["right"][0] == pytest.approx(stored["right"][0], abs=2), AGAIN
    assert found["dead"][0] == pytest.approx(stored["dead"][0], abs=0.5), AGAIN
    assert slow_bias.curve(steps=300, rate=0.01)["dead"][0] < stored["dead"][0] - 2  # another rate would be noticed


@pytest.mark.nightly
def test_the_stored_curve_ends_as_the_code_does():
    stored, found = slow_bias.stored(), slow_bias.curve()
    for name, within in {"right": 2.5, "dead": 0.75}.items():  # what processors differ by after so many steps
        assert sum(found[name][-5:]) / 5 == pytest.approx(sum(stored[name][-5:]) / 5, abs=within), AGAIN
