import pytest

from moe_tutorial.study import ClaimFailed, below, claim, in_every_seed, in_the_median
from moe_tutorial.study.claims import Claim, read_claims
from moe_tutorial.study.estimates import estimate


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


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"holds": below(0.1), "quantity": "error (points)", "refutes": "It is large"},
            "measured 0.020 [-0.005, 0.045] | ○ control (the mechanism is off) 0.600 [0.352, 0.848] | 3 seeds | "
            "quantity: error (points) | rule: mean < 0.1 | ✗ refutes: It is large",
        ),
        (
            {"measured": [0.01, 0.02, 9.0], "holds": in_the_median(below(0.1)), "control": [0.5, 0.6, 70.0]},
            "measured 0.020 | ○ control (the mechanism is off) 0.600 | 3 seeds | rule: median < 0.1",
        ),
        (
            {"timed": True},
            "measured here 0.020 [-0.005, 0.045] | ○ control (the mechanism is off) 0.600 [0.352, 0.848] | 3 runs",
        ),
    ],
    ids=["mean", "median", "times"],
)
def test_a_claim_prints_one_line_with_its_figures_control_and_rule(capsys, changes, line):
    good(**changes)
    assert capsys.readouterr().out == f"✓ claim 99.1 holds: It is small | {line}\n"


@pytest.mark.parametrize("changes", [{"measured": [0.5, 0.5, 0.5]}, {"control": [0.01, 0.01, 0.01]}])
def test_a_claim_about_times_that_does_not_hold_here_says_so_and_stops_nothing(capsys, changes):
    good(timed=True, refutes="It is large", **changes)
    line = capsys.readouterr().out
    assert line.startswith("– claim 99.1 not on this machine: It is small | measured here ")
    assert "○ control (the mechanism is off)" in line
    assert "refutes" not in line


def test_a_claim_that_does_not_hold_stops_the_lesson_and_prints_nothing(capsys):
    with pytest.raises(ClaimFailed, match=r"^✗ claim 99.1 fails: It is small \| measured 0\.500"):
        good(measured=[0.5, 0.5, 0.5])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("changes", [{"control": [0.01, 0.01, 0.01]}, {"holds": lambda values: True}])
def test_a_control_that_holds_too_stops_the_lesson(changes):
    with pytest.raises(ClaimFailed, match="the control holds as well"):
        good(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": [0.1, float("nan")]}, "measured is .*finite"),
        ({"measured": []}, "measured has shape"),
        ({"n_seeds": 7}, "n_seeds is 7, but measured has 3"),
        ({"holds": True}, "a control needs a rule"),
        ({"statement": "It is | small"}, r"statement is 'It is \| small'; a line's fields take neither"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        good(**changes)


def output(judged):
    """A claim as an output that a notebook stores."""
    data, metadata = judged._repr_mimebundle_()
    return {"output_type": "display_data", "data": data, "metadata": metadata}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"control": None, "control_is": "", "measured": 0.01},
        {"refutes": "It is large: f(x) = |x| | y"},
        {"timed": True, "holds": in_every_seed(below(0.001)), "quantity": "time (ms)"},
        {"statement": "rule: 3 seeds ✗", "control_is": "measured (here) 0.5", "holds": below(0.1)},
    ],
)
def test_a_claim_is_read_back_from_its_data_beside_other_outputs(monkeypatch, changes):
    shown = []
    monkeypatch.setattr("moe_tutorial.study.claims.display", shown.append)
    good(**changes)
    text = {"output_type": "stream", "name": "stdout", "text": f"{shown[0]}\n"}
    other = {"output_type": "display_data", "data": {"text/plain": "1"}, "metadata": {}}
    assert read_claims([text, output(shown[0]), other]) == shown


def test_a_line_that_is_not_what_the_data_say_is_refused():
    stored = output(Claim("99.1", "It is small", estimate([0.1, 0.2]), holds=True, n_seeds=2))
    stored["data"]["text/plain"] = stored["data"]["text/plain"].replace("0.150", "0.050")
    with pytest.raises(ValueError, match=r"claim 99.1: the stored line is '.*0\.050.*', but its data say .*0\.150"):
        read_claims([stored])


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [("accuracy gained (points)", "points"), ("time (of one token) (ms)", "ms"), ("dead experts", ""), ("f(x)", "")],
)
def test_the_unit_stands_at_the_end_of_the_quantity(quantity, unit):
    assert Claim("99.1", "It is small", estimate(0.5), holds=True, quantity=quantity).unit == unit
