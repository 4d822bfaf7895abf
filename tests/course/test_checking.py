"""What `check` says, with which function a lesson goes on, and what is kept of the tries."""

import pytest

from moe_tutorial.course import check, checking, solution
from moe_tutorial.course.exercises import EXERCISES
from moe_tutorial.course.progress import storage
from moe_tutorial.course.progress.file import progress

ID = "03.topk_then_softmax"
EXERCISE = EXERCISES[ID]
GOES_ON = "The course's own goes on from here, so you can read on and come back.\n"


def answer(body: str):
    return EXERCISE.written(f"def topk_then_softmax(logits, k):\n    {body}\n")


OTHERS = ["return logits.topk(k).indices", "return logits.softmax(-1).topk(k).values", "return logits.topk(k).values"]
RIGHT, WRONG = answer("return logits.topk(k).values.softmax(-1)"), answer("return logits.topk(k).values")
UNKNOWN = answer("return logits")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(checking, "_told", {})


def test_a_right_answer_goes_on(capsys):
    assert check(ID, RIGHT) is RIGHT
    assert capsys.readouterr().out == f"✓ exercise {ID}: right\n"


def test_a_known_mistake_gets_its_sentence_then_one_hint_more_each_time_and_the_courses_goes_on(capsys):
    for hint in ("", *(f"Hint {number} of 3: {hint}\n" for number, hint in enumerate(EXERCISE.hints, 1))):
        assert check(ID, WRONG) is EXERCISE.own
        said = capsys.readouterr().out
        assert said.startswith(f"✗ exercise {ID}: not yet\nThose are the logits of the chosen, without a softmax.\n")
        assert said.endswith(f"{hint}{GOES_ON}")
        assert ("Hint" in said) == bool(hint)
    check(ID, WRONG)
    assert f'One way to do it: from moe_tutorial.course import solution; solution("{ID}")\n' in capsys.readouterr().out
    solution(ID)
    assert capsys.readouterr().out == EXERCISE.solution + "\n"


def test_another_known_mistake_gets_its_sentence_alone(capsys):
    says = {body: EXERCISE.examine(answer(body)).mistake for body in OTHERS}
    assert all(says.values())
    assert len(set(says.values())) == len(OTHERS)
    for body in ("return logits", *OTHERS, "return logits"):  # the first and the last are no known mistake
        check(ID, answer(body))
        said = capsys.readouterr().out
        assert says.get(body, "") in said
        assert ("Hint" in said) == (body not in OTHERS)
    assert "Hint 2 of 3" in said


def test_an_unwritten_answer_is_no_error_and_no_try(capsys):
    stub = EXERCISE.written(EXERCISE.stub)
    assert check(ID, stub) is EXERCISE.own
    assert capsys.readouterr().out == f"○ exercise {ID}: not written yet\n{GOES_ON}"
    check(ID, UNKNOWN)
    assert "Hint 1 of 3" in capsys.readouterr().out


def test_the_courses_own_is_not_examined(capsys):
    own = check(ID, UNKNOWN)
    capsys.readouterr()
    assert check(ID, own) is own
    said = capsys.readouterr().out
    assert said.startswith(
        f"○ exercise {ID}: run your cell first\nThis is the course's own topk_then_softmax. Run your"
    )
    assert storage.answered() == {"exercise": {ID: {"attempts": 1, "solved": False}}}


def test_tries_are_kept_in_the_workspace(workspace, capsys):
    check(ID, UNKNOWN)
    check(ID, answer("return logits.topk(k).values.softmax(-1)"))
    check(ID, UNKNOWN)
    source = "def topk_then_softmax(logits, k):\n    return logits.topk(k).values.softmax(-1)\n"
    assert progress().read()["exercise"] == {ID: {"attempts": 2, "solved": True, "source": source}}
    assert "Hint 2 of 3" in capsys.readouterr().out
    assert storage._in_kernel == {}


@pytest.mark.parametrize("body", ["return logits", "raise NotImplementedError()"])
def test_where_nbgrader_grades_a_wrong_answer_raises(body, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert check(ID, RIGHT) is RIGHT
    with pytest.raises(AssertionError, match=ID):
        check(ID, answer(body))


def test_what_it_printed_is_shown(capsys):
    check(ID, answer("print('my logits', k); return logits"))
    assert "It printed:\nmy logits 2\n" in capsys.readouterr().out


def test_in_jupyterlab_it_is_a_panel_with_the_same_text(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(checking, "interactive", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    check(ID, answer("return '<b>'"))
    ((text, html),) = [(data["text/plain"], data["text/html"]) for data in shown]
    assert "is a str" in text
    assert capsys.readouterr().out == ""
    assert '<section class="moe-check wrong" role="status">' in html
    assert "--moe-fails" in html
    assert "is a str" in html
    assert "Hint 1 of 3" in html
    assert "`" not in html


def test_an_unknown_exercise_names_those_that_there_are():
    with pytest.raises(LookupError, match=r"there is no exercise '03\.mixture'; there are .*03\.my_mixture"):
        check("03.mixture", RIGHT)
