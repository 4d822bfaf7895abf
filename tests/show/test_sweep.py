"""The sweep's Python side: what is computed when, and how much a page holds."""

import pytest

from moe_tutorial.show.widgets.sweep import MAX_STORED, sweep


@pytest.fixture(autouse=True)
def _no_site(monkeypatch):
    monkeypatch.delenv("MOE_SITE", raising=False)


def recorder():
    calls = []

    def fn(a, b):
        calls.append((a, b))
        if a == 3:
            raise ZeroDivisionError("a is 3")
        return f"<b>{a * b}</b>"

    return fn, calls


def test_at_first_only_the_first_values_are_computed():
    fn, calls = recorder()
    widget = sweep(fn, a=[1, 2], b=("Factor", [10, 20]))
    assert calls == [(1, 10)]
    assert widget.stored == {"0,0": "<b>10</b>"}
    assert widget.controls == [{"label": "a", "values": ["1", "2"]}, {"label": "Factor", "values": ["10", "20"]}]
    assert sweep(lambda t: "", t=[0.1 + 0.2, 1e-3]).controls[0]["values"] == ["0.3", "0.001"]


def test_a_move_calls_the_function_once_and_the_answer_names_its_place():
    fn, calls = recorder()
    widget = sweep(fn, a=[1, 2], b=[10, 20])
    for place in ([1, 1], [0, 0], [1, 1]):
        widget.wanted = place
    assert calls == [(1, 10), (2, 20)]
    assert widget.answer == {"at": "1,1", "html": "<b>40</b>"}


def test_an_error_is_an_answer_and_the_next_move_works():
    fn, _ = recorder()
    widget = sweep(fn, a=[1, 3, 2], b=[10])
    widget.wanted = [1, 0]
    assert widget.answer == {"at": "1,0", "error": "ZeroDivisionError: a is 3"}
    widget.wanted = [2, 0]
    assert widget.answer["html"] == "<b>20</b>"


def test_the_site_build_stores_every_combination(monkeypatch):
    monkeypatch.setenv("MOE_SITE", "1")
    fn, calls = recorder()
    widget = sweep(fn, a=[1, 2], b=[10, 20, 30])
    assert len(calls) == len(widget.stored) == 6
    assert widget.stored["1,2"] == "<b>60</b>"
    with pytest.raises(ZeroDivisionError):
        sweep(fn, a=[1, 3], b=[10])
    with pytest.raises(ValueError, match=f"at most {MAX_STORED}"):
        sweep(fn, a=range(21), b=range(20))
