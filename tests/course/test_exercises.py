"""Every exercise: the solution passes, the stub is not written yet, wrong answers are told what is wrong with them.

That each edited solution is told its own sentence only says that the check tells them apart; that a check is right is
shown by the right and wrong answers in other styles.
"""

import ast

import numpy as np
import pytest
import torch
from answers import RIGHT, WRONG

from moe_tutorial.course.exercises import EXERCISES, SHORT
from moe_tutorial.course.running import NotYet, nothing_changes
from moe_tutorial.course.vocabulary import Ask, alike


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
    assert "# YOUR CODE HERE raise NotImplementedError()" in " ".join(exercise.stub.split())
    assert "SOLUTION" not in exercise.stub + exercise.solution
    assert len(exercise.hints) == 3
    assert len(set(exercise.hints)) == 3


@pytest.mark.parametrize(("id", "answer", "says"), named(WRONG))
def test_a_wrong_answer_is_told_its_own_mistake(id, answer, says):
    result = EXERCISES[id].examine(answer)
    assert result.verdict == "wrong"
    assert says in result.message


@pytest.mark.parametrize("id", EXERCISES)
def test_each_edited_solution_is_told_its_own_sentence(id):
    told = {says: EXERCISES[id].examine(mistaken) for says, mistaken in EXERCISES[id].mistaken.items()}
    assert {says: result.message for says, result in told.items() if not result.message.startswith(says)} == {}
    assert {result.verdict for result in told.values()} == {"wrong"}


class Everywhere(Ask):
    """Goes on after an input on which the answer fails, and notes each failure by the number of its input."""

    def __init__(self, *given):
        super().__init__(*given)
        self.input, self.failures = 0, {}

    def gives(self, *given, **named):
        self.input += 1
        self.calls = 100 * self.input  # alike for all answers, wherever one of them stops
        try:
            super().gives(*given, **named)
        except NotYet as failure:
            failure.call, self.failures[self.input] = self.input, failure


@pytest.mark.parametrize("id", EXERCISES)
def test_on_no_input_an_edited_solution_is_told_the_sentence_of_another(id):
    """Of another whose first failure it is, as only that one speaks."""
    exercise, found = EXERCISES[id], {}
    for says, mistaken in exercise.mistaken.items():
        ask = Everywhere(mistaken, exercise.own, exercise._check.changes)
        with nothing_changes():
            exercise._check.failure(ask)
        found[says] = ask.failures
    first = {says: failures[min(failures)] for says, failures in found.items() if failures}
    for says, failures in found.items():
        for failure in failures.values():
            told = next((other for other, one in first.items() if alike(one, failure)), says)
            assert told == says, f"on input {failure.call} it fails as {told!r} does"


@pytest.mark.parametrize("id", EXERCISES)
def test_a_puzzle_has_enough_wrong_lines(id):
    exercise = EXERCISES[id]
    _, lines, _ = exercise.parts
    assert len(exercise.puzzle) == (2 if len(lines) > SHORT else 3)
    assert not set(exercise.puzzle) & {text for text, _ in lines}


@pytest.mark.parametrize(("id", "answer"), named(RIGHT))
def test_other_styles_pass_and_what_is_handed_on_can_be_called(id, answer):
    calls = []

    def noted(*given):
        calls.append(given)
        return answer(*given)

    result = EXERCISES[id].examine(noted)
    assert result.message == "right"
    with nothing_changes():
        result.handed_on(*calls[-1])


NO_NUMBERS = "01.train_small", "09.upcycle", "09.verdict", "13.verdict"
"""Exercises whose answer holds networks or is a word."""


def changed(id, change):
    """The solution of an exercise with each result changed."""

    def answer(*given):
        found = EXERCISES[id].own(*given)
        parts = tuple(change(torch.as_tensor(part)) for part in (found if isinstance(found, tuple) else (found,)))
        return parts if isinstance(found, tuple) else parts[0]

    return answer


def unlike(value):
    """Numbers for True and False, and the other way round."""
    return value.float() if value.dtype == torch.bool else value.bool()


@pytest.mark.parametrize("change", [lambda value: value[None], unlike], ids=["shape", "kind"])
@pytest.mark.parametrize("id", [id for id in EXERCISES if id not in NO_NUMBERS])
def test_an_answer_of_another_shape_or_kind_is_refused(id, change):
    """A later cell would stop at it, where nobody looks for the mistake in the exercise any more."""
    result = EXERCISES[id].examine(changed(id, change))
    assert result.verdict == "wrong"
    assert any(says in result.message for says in ("has shape", "is of dtype", "is asked for", "several times"))


@pytest.mark.parametrize("id", [id for id in EXERCISES if id not in NO_NUMBERS])
def test_double_is_right_where_float_is(id):
    assert (
        EXERCISES[id].examine(changed(id, lambda value: value.double() if value.is_floating_point() else value)).passed
    )


SHARES = torch.tensor([0.5, 0.1, 0.4])
P, DL_DG = np.array([0.5, 0.3, 0.2]), np.array([3.0, 0.0, -1.0])


@pytest.mark.parametrize(
    ("id", "change", "given"),
    [
        ("05.my_share", torch.Tensor.tolist, (torch.tensor([[1], [0], [1]]), 4)),
        ("05.my_share", torch.Tensor.numpy, (torch.tensor([[1], [0], [1]]), 4)),
        ("05.my_cv2", torch.Tensor.item, (SHARES,)),
        ("05.my_cv2", torch.Tensor.double, (SHARES,)),
        ("04.gate_gradient", torch.Tensor.tolist, (P, DL_DG)),
        ("04.gate_gradient", torch.Tensor.float, (P, DL_DG)),
    ],
)
def test_a_right_answer_is_handed_on_with_the_courses_types(id, change, given):
    found = EXERCISES[id].examine(changed(id, change)).handed_on(*given)
    expected = EXERCISES[id].own(*given)
    assert (type(found), found.dtype, found.shape) == (type(expected), expected.dtype, expected.shape)
    assert np.allclose(found, expected)


@pytest.mark.parametrize("id", EXERCISES)
def test_each_exercise_has_right_answers_in_three_styles(id):
    assert len([one for one, *_ in RIGHT if one == id]) >= 3
