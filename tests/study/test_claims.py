import pytest

from moe_tutorial.study import ClaimFailed, below, claim, in_every_seed
from moe_tutorial.study.claims import Claim, print_claim, show_claims_with
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


def test_a_claim_prints_one_line_with_its_figures_control_and_rule(capsys):
    good(holds=below(0.1), quantity="error (points)", refutes="It is large")
    line = capsys.readouterr().out
    assert line == (
        "✓ claim 99.1 holds: It is small | measured 0.020 [-0.005, 0.045] | ○ control (the mechanism is off) "
        "0.600 [0.352, 0.848] | 3 seeds | quantity: error (points) | rule: mean < 0.1 | ✗ refutes: It is large\n"
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


def test_a_claim_that_does_not_hold_stops_the_lesson_and_prints_nothing(capsys):
    with pytest.raises(ClaimFailed, match=r"^✗ claim 99.1 fails: It is small \| measured 0\.500"):
        good(measured=[0.5, 0.5, 0.5])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("changes", [{"control": [0.01, 0.01, 0.01]}, {"holds": lambda values: True}])
def test_a_control_that_holds_too_stops_the_lesson(changes):
    with pytest.raises(ClaimFailed, match="the control holds as well"):
        good(**changes)


def test_with_a_learner_a_claim_that_fails_is_shown_with_its_reason(monkeypatch):
    shown = []
    monkeypatch.setattr("moe_tutorial.study.claims._show", shown.append)
    good(measured=[0.5, 0.5, 0.5])
    good(control=[0.01, 0.01, 0.01])
    good()
    assert [claim.verdict for claim in shown] == ["fails", "fails", "holds"]
    assert shown[0].reason == "the rule says no to what was measured"
    assert shown[1].reason.startswith("the control holds as well")


def test_a_verdict_already_reached():
    claim("99.2", "It was judged elsewhere", measured=1.0, holds=True, n_seeds=1)
    with pytest.raises(ClaimFailed):
        claim("99.2", "It was judged elsewhere", measured=1.0, holds=False, n_seeds=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": [0.1, float("nan")]}, "measured is .*finite"),
        ({"timed": True, "control": [float("inf")]}, "control is .*finite"),
        ({"measured": []}, "measured has shape"),
        ({"n_seeds": 7}, "n_seeds is 7, but measured has 3"),
        ({"holds": True}, "a control needs a rule"),
        ({"control_is": ""}, "control_is is empty"),
        ({"statement": "It is | small"}, r"statement is 'It is \| small'; a line's fields take neither"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        good(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"control": None, "control_is": "", "measured": 0.01},
        {"refutes": "It is large: f(x) = |x| | y"},
        {"timed": True, "holds": below(0.1), "quantity": "time (of one token) (ms)"},
        {"timed": True, "measured": [0.5, 0.6], "holds": in_every_seed(below(0.1)), "quantity": "time"},
        {"statement": "rule: 3 seeds", "control_is": "measured (here) 0.5"},
        {"statement": "It is (small): f(x) [0, 1] ✗", "quantity": "x"},
    ],
)
def test_the_line_of_a_claim_is_read_back(capsys, changes):
    good(**changes)
    line = capsys.readouterr().out.rstrip("\n")
    read = Claim.read(line)
    assert read.line == line
    wanted = {"id": "99.1", "statement": "It is small", "control_is": "the mechanism is off"} | changes
    for name in ("id", "statement", "control_is", "quantity", "timed"):
        assert getattr(read, name) == wanted.get(name, "" if name != "timed" else False), name
    assert read.rule == (wanted["holds"] if "holds" in changes else None)


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [("accuracy gained (points)", "points"), ("time (of one token) (ms)", "ms"), ("dead experts", ""), ("f(x)", "")],
)
def test_the_unit_stands_at_the_end_of_the_quantity(quantity, unit):
    assert Claim("99.1", "It is small", estimate(0.5), holds=True, quantity=quantity).unit == unit


def test_a_floor_above_may_show_claims_in_its_own_way(capsys):
    shown = []
    show_claims_with(shown.append)
    try:
        good(holds=below(0.1))
    finally:
        show_claims_with(print_claim)
    assert capsys.readouterr().out == ""
    assert shown[0].rule == below(0.1)
    assert shown[0].measured.mean == pytest.approx(0.02)  # the number itself, not its printed digits
    assert (shown[0].mark, shown[0].verdict) == ("✓", "holds")
