"""Every exercise: the solution passes, the stub is not written yet, wrong answers are told what is wrong with them."""

import ast

import pytest
import torch
from answers import RIGHT, WRONG, gather

from moe_tutorial.course.checks.vocabulary import Ask
from moe_tutorial.course.exercises import EXERCISES

gather()


def named(rows):
    return [pytest.param(*row, id=f"{row[0]}-{row[1].__name__}") for row in rows]


@pytest.mark.parametrize("id", EXERCISES)
def test_the_solution_passes_and_the_stub_is_not_written_yet(id):
    exercise = EXERCISES[id]
    result = exercise.examine(exercise.written(exercise.solution))
    assert (result.verdict, result.message, result.printed) == ("right", "right", "")
    result = exercise.examine(exercise.written(exercise.stub))
    assert (result.passed, result.verdict) == (False, "open")


@pytest.mark.parametrize("id", EXERCISES)
def test_an_exercise_is_one_function_with_its_words(id):
    exercise = EXERCISES[id]
    (function,) = ast.parse(exercise.solution).body
    (unwritten,) = ast.parse(exercise.stub).body
    assert function.name == unwritten.name == exercise.name
    assert ast.get_docstring(function) == ast.get_docstring(unwritten)
    assert "# YOUR CODE HERE\n    raise NotImplementedError()" in exercise.stub
    assert "SOLUTION" not in exercise.stub + exercise.solution
    assert len(exercise.hints) == 3
    assert len(set(exercise.hints)) == 3


@pytest.mark.parametrize(("id", "answer", "says"), named(WRONG))
def test_a_wrong_answer_is_told_its_own_mistake(id, answer, says):
    result = EXERCISES[id].examine(answer)
    assert result.verdict == "wrong"
    assert says in result.message


@pytest.mark.parametrize("id", EXERCISES)
def test_a_wrong_answer_makes_each_mistake_that_a_check_knows(id, monkeypatch):
    known, gives = [], Ask.gives

    def noting(self, given, expected, says, mistakes=None, where=""):
        known.extend(mistakes or {})
        gives(self, given, expected, says, mistakes, where)

    monkeypatch.setattr(Ask, "gives", noting)
    exercise = EXERCISES[id]
    exercise.examine(exercise.written(exercise.solution))
    told = "".join(exercise.examine(answer).message for one, answer, _ in WRONG if one == id)
    assert [mistake for mistake in known if mistake not in told] == []


@pytest.mark.parametrize(("id", "answer"), named(RIGHT))
def test_other_styles_pass(id, answer):
    assert EXERCISES[id].examine(answer).message == "right"


NETWORKS = "01.train_small", "09.upcycle"
"""Exercises whose answer holds networks."""


def unlike(value):
    """What equals a value but for its shape or dtype."""
    tensor = torch.as_tensor(value)
    shape_and_kind = [tensor[None], tensor.float() if tensor.dtype == torch.bool else tensor.bool()]
    if tensor.dim() == 0:  # a number may be of any width
        return shape_and_kind
    return [*shape_and_kind, tensor.float() if tensor.dtype == torch.float64 else tensor.double()]


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("id", [id for id in EXERCISES if id not in NETWORKS])
def test_an_answer_of_another_shape_or_dtype_is_refused(id, way):
    """A later cell would stop at it, where nobody looks for the mistake in the exercise any more."""
    solution = EXERCISES[id].written(EXERCISES[id].solution)

    def changed(*given):
        found = solution(*given)
        parts = found if isinstance(found, tuple) else (found,)
        parts = tuple(unlike(part)[way % len(unlike(part))] for part in parts)
        return parts if isinstance(found, tuple) else parts[0]

    result = EXERCISES[id].examine(changed)
    assert result.verdict == "wrong"
    assert any(says in result.message for says in ("has shape", "is of dtype", "is asked for", "several times"))


@pytest.mark.parametrize("id", EXERCISES)
def test_each_exercise_has_wrong_answers_and_other_styles(id):
    assert len([one for one, *_ in WRONG if one == id]) >= 3
    assert len([one for one, *_ in RIGHT if one == id]) >= 2
