"""Guess and reveal: what their widgets get, what is kept where, and what a measurement that does not fit is told."""

import re

import pytest

from moe_tutorial.course import guess, guesses, reveal
from moe_tutorial.course.progress import storage
from moe_tutorial.course.progress.file import FILE, progress


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """It is no workspace, and nothing was asked in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guesses, "_asked", {})
    return tmp_path


def sixty():
    return guess("05.sixty", "In how many of the sixty?", slider=(0, 60, 1, "of 60"))


def test_a_widget_gets_the_question_and_what_can_be_answered():
    assert sixty().answers == {"low": 0, "high": 60, "step": 1, "unit": "of 60"}
    asked = guess("02.best", "Who is best?", choices=["dice", "oracle"])
    assert (asked.answers, asked.stored, asked.place) == ({"choices": ["dice", "oracle"]}, None, "kernel")
    assert repr(asked) == "Guess first: Who is best? (dice · oracle)"


def test_a_measurement_gets_the_form_of_its_guess():
    sixty()
    guess("10.cost", "How many points?", slider=(0, 5, 0.5, "points"))
    guess("02.best", "Who is best?", choices=["dice", "oracle"])
    assert repr(reveal("05.sixty", 60)) == "Answer: 60 of 60."
    assert reveal("10.cost", 0.123456).measured == 0.12
    assert repr(reveal("02.best", "oracle", says="It knows.")) == "Answer: oracle. It knows."


def test_without_a_workspace_the_kernel_keeps_it_and_nothing_is_written(folder):
    sixty().stored = {"said": 20}
    assert sixty().stored == {"said": 20}
    assert reveal("05.sixty", 60).stored == {"said": 20}
    assert list(folder.iterdir()) == []


def test_a_workspace_keeps_it_for_the_next_kernel(workspace, monkeypatch):
    sixty().stored = {"said": 20}
    assert progress().read() == {"guess": {"05.sixty": {"said": 20}}}
    monkeypatch.setattr(storage, "_in_kernel", {})
    asked = sixty()
    assert (asked.stored, asked.place) == ({"said": 20}, "workspace")
    reveal("05.sixty", 60).stored = {"said": 20, "is": 60, "how": "far"}
    assert progress().read()["guess"]["05.sixty"]["how"] == "far"
    (workspace / FILE).write_text("{}\n")  # as a reset of the lesson leaves it
    assert sixty().stored is None


def test_a_build_of_the_site_reads_and_writes_no_workspace(workspace, monkeypatch):
    (workspace / FILE).write_text('{"guess": {"05.sixty": {"said": 20}}}')
    monkeypatch.setenv("MOE_SITE", "1")
    asked = sixty()
    assert (asked.stored, asked.place) == (None, "browser")
    assert reveal("05.sixty", 60).stored is None
    asked.stored = {"said": 3}
    assert sixty().stored is None
    assert (workspace / FILE).read_text() == '{"guess": {"05.sixty": {"said": 20}}}'


def test_a_workspace_that_cannot_be_written_is_said(workspace, monkeypatch):
    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("moe_tutorial.course.progress.file.Progress.put", full)
    asked = sixty()
    asked.stored = {"said": 20}
    assert asked.place == "page"


def test_its_plain_html_has_the_question_and_no_measurement_but_for_readers_without_javascript():
    html = guess("03.order", "Is `k < 2`?", choices=["yes & no", "no"])._repr_mimebundle_()[0]["text/html"]
    assert "Is <code>k &lt; 2</code>?" in html
    assert "<li>yes &amp; no</li>" in html
    says = "`k < 2` is so. See [why](https://example.org/a_b).\n\nSo it is."
    html = reveal("03.order", "no", says=says)._repr_mimebundle_()[0]["text/html"]
    assert re.search("<noscript>.*</noscript>", html)[0] == (
        "<noscript><div>Answer: <b>no</b>.<p><code>k &lt; 2</code> is so. "
        'See <a href="https://example.org/a_b">why</a>.</p><p>So it is.</p></div></noscript>'
    )
    assert not re.search("<b>no</b>|So it is", re.sub("<noscript>.*</noscript>", "", html))


def test_a_measurement_that_does_not_fit_its_guess_says_what_does():
    with pytest.raises(ValueError, match=r"no guess '05.sixty' in this notebook; asked were: none yet: run the cell"):
        reveal("05.sixty", 60)
    guess("03.order", "How much?", choices=["not at all", "a little"])
    said = "measured for 03.order is 'much'; allowed is one of 'not at all', 'a little'"
    with pytest.raises(ValueError, match=said):
        reveal("03.order", "much")
