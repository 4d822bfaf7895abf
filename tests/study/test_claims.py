import numpy as np
import pytest
from scipy import stats

from moe_tutorial.study import ClaimFailed, claim, estimate
from moe_tutorial.study.claim_lines import Claim


def small(values):
    return values.mean() < 0.1


def good(**changes):
    """A claim that holds, with some of its arguments changed."""
    arguments = {
        "id": "99.1",
        "statement": "It is small",
        "measured": [0.01, 0.02, 0.03],
        "holds": small,
        "control": [0.5, 0.6, 0.7],
        "control_is": "the mechanism is off",
    }
    claim(**arguments | changes)


def test_a_claim_prints_one_line_with_its_figures_and_control(capsys):
    good(refutes="It is large")
    line = capsys.readouterr().out
    assert line == (
        "✓ claim 99.1 holds: It is small | measured 0.020 [-0.005, 0.045] "
        "| ○ control (the mechanism is off) 0.600 [0.352, 0.848] | 3 seeds | ✗ refutes: It is large\n"
    )


def test_a_claim_about_times_says_that_they_were_measured_here(capsys):
    good(timed=True)
    line = capsys.readouterr().out
    assert "| measured here 0.020 [-0.005, 0.045] |" in line
    assert line.endswith("| 3 runs\n")


@pytest.mark.parametrize("changes", [{"measured": [0.5, 0.5, 0.5]}, {"control": [0.01, 0.01, 0.01]}])
def test_a_claim_about_times_that_does_not_hold_here_says_so_and_stops_nothing(capsys, changes):
    good(timed=True, refutes="It is large", **changes)
    line = capsys.readouterr().out
    assert line.startswith("– claim 99.1 not on this machine: It is small | measured here ")
    assert "○ control (the mechanism is off)" in line
    assert "refutes" not in line
    read = Claim.read(line)
    assert (read.timed, read.holds, read.verdict) == (True, False, "not on this machine")


def test_a_time_is_a_finite_number_too():
    with pytest.raises(ValueError, match="finite"):
        good(timed=True, measured=[float("nan")])


def test_a_claim_that_does_not_hold_stops_the_lesson_and_prints_nothing(capsys):
    with pytest.raises(ClaimFailed, match=r"^✗ claim 99.1 fails: It is small \| measured 0\.500"):
        good(measured=[0.5, 0.5, 0.5])
    assert capsys.readouterr().out == ""


def test_a_control_that_holds_too_stops_the_lesson():
    with pytest.raises(ClaimFailed, match="the control holds as well"):
        good(control=[0.01, 0.01, 0.01])


def test_a_rule_that_says_yes_to_everything_is_caught():
    with pytest.raises(ClaimFailed, match="the control holds as well"):
        good(holds=lambda values: True)


def test_a_verdict_already_reached():
    claim("99.2", "It was judged elsewhere", measured=1.0, holds=True, n_seeds=1)
    with pytest.raises(ClaimFailed):
        claim("99.2", "It was judged elsewhere", measured=1.0, holds=False, n_seeds=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": [0.1, float("nan")]}, "measured is .*finite"),
        ({"control": [float("inf")]}, "control is .*finite"),
        ({"measured": []}, "measured has shape"),
        ({"measured": np.zeros((2, 2))}, "measured has shape"),
        ({"n_seeds": 7}, "n_seeds is 7, but measured has 3"),
        ({"n_seeds": 0}, "n_seeds is 0"),
        ({"holds": True}, "a control needs a rule"),
        ({"control_is": ""}, "control_is is empty"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        good(**changes)


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(size=12)
    expected = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(estimate(values)[1:], expected)


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0"), (-0.0, "0"), (1.5, "1.500"), (0.0004, "4e-04"), (2e-16, "2e-16"), (3e7, "3e+07")]
)
def test_only_a_true_zero_prints_as_zero(number, text):
    assert str(estimate(number)) == text


def test_rounding_error_beside_its_interval_prints_as_zero():
    assert str(estimate([-0.1, 0.1, -6e-9])) == "0.000 [-0.248, 0.248]"
    assert str(estimate([1e-15, 3e-15])).startswith("2e-15 [")  # there is nothing larger beside it
