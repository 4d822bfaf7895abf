"""Helpers to write checks.

A check is a function that calls the learner's answer through an :class:`Ask` and compares the results. A failure in a
comparison states the property, the input, the expected result and the actual one.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from moe_tutorial.course.running import NotWritten, NotYet, reseed, sentence
from moe_tutorial.study import Seeds

Answers = Mapping[str, Any]
"""Name -> expected result; an answer returns several results as a tuple in this order."""
Mistakes = Mapping[str, Callable]
"""A sentence for the learner that says what is wrong -> a function that makes this mistake."""

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@dataclass(frozen=True)
class Check:
    """The check of an exercise, its hints, whether the answer may change its input, and its puzzle's wrong lines."""

    examine: Callable[["Ask"], None]
    hints: tuple[str, str, str]
    changes: bool
    puzzle: Mapping[str, str]
    swaps: Sequence[tuple[str, str]]


CHECKS: dict[str, Check] = {}
"""Exercise id -> its check."""


def checks(
    id: str,
    *,
    hints: tuple[str, str, str],
    puzzle: Mapping[str, str],
    swaps: Sequence[tuple[str, str]] = (),
    changes: bool = False,
) -> Callable:
    """Register the function below as the check of an exercise.

    Args:
        hints: three, each saying more than the one before.
        puzzle: wrong lines for the puzzle on the site -> what is wrong with each: two for a solution of three lines or
            more; of a shorter one, three that could stand in place of its last line.
        swaps: neighbouring lines of the solution, without indentation, that may also stand in the other order.
        changes: the answer changes its input in place, as a training step does.
    """

    def register(examine: Callable[["Ask"], None]) -> Callable[["Ask"], None]:
        CHECKS[id] = Check(examine, hints, changes, puzzle, swaps)
        return examine

    return register


class Ask:
    """Calls the learner's answer for a check, and compares its results."""

    def __init__(self, answer: Callable, changes: bool = False) -> None:
        self.answer, self.changes = answer, changes
        self.file = getattr(getattr(inspect.unwrap(answer), "__code__", None), "co_filename", "")
        self.calls = 0

    def __call__(self, given: Mapping[str, Any], where: str = "", mistakes: Mistakes | None = None) -> Any:
        """Call the answer with the values of ``given`` in their order, and return its result.

        ``where`` says in messages what is special about this input. An error that one of the known ``mistakes`` raises,
        too, is explained by its sentence.

        Raises:
            NotYet: the answer raised, returned None, changed its input, or returned something else in a second call.
        """
        before, again = copy.deepcopy((given, given))
        found = self._call(given, where, mistakes or {})
        if changed := [name for name in given if not self.changes and not same(before[name], given[name])]:
            raise NotYet(f"It changes what it is given: {changed[0]} is another one afterwards. Work on a copy of it.")
        if not same(self._call(again, where, {}), found):
            raise NotYet("If asked again, it gives another answer. Does it draw random numbers, as a new network does?")
        return found

    def once(self, given: Mapping[str, Any]) -> Any:
        """Call the answer once, from a random seed of its own, and return its result: for an answer that may draw."""
        return self._call(given, "", {})

    def _call(self, given: Mapping[str, Any], where: str, mistakes: Mistakes) -> Any:
        reseed(self.calls)
        self.calls += 1
        shown = on(given, where)
        try:
            found = self.answer(*given.values())
        except KeyboardInterrupt:
            raise  # the Stop button ends the check, too
        except BaseException as error:
            if isinstance(error, NotImplementedError) and not error.args:
                raise NotWritten("It is not written yet.") from None
            why = (f"{mistake}\n" for mistake, make in mistakes.items() if _raised(make, given) == str(error))
            raise NotYet(next(why, "") + sentence(error, self.file) + shown) from None
        if found is None:
            raise NotYet("It returns None. Does it end with `return`, and what you computed behind it?")
        return found

    def gives(
        self, given: Mapping[str, Any], expected: Answers, says: str, mistakes: Mistakes | None = None, where: str = ""
    ) -> None:
        """Require that the answer returns the expected result.

        Args:
            given: the arguments by name, small enough to be read.
            expected: the expected results by name.
            says: the property, as the end of a sentence that begins "It should return".
            mistakes: known mistakes; a wrong result that one of them gives is explained by its sentence.
            where: what is special about this input.

        Raises:
            NotYet: as in :meth:`__call__`, or the result differs.
        """
        mistakes = mistakes or {}
        compare(self(given, where, mistakes), expected, f"It should return {says}.", given, mistakes, where)

    def follows(self, given: Mapping[str, Any], moved: Mapping[str, Any], move: Callable, says: str) -> None:
        """Require an invariance or equivariance: a changed input changes the result in a known way.

        Args:
            given, moved: the input and the changed input.
            move: result for ``given`` -> expected result for ``moved``.
            says: the property, as a sentence.

        Raises:
            NotYet: as in :meth:`__call__`, or the result for ``moved`` differs.
        """
        compare(self(moved), named(move(self(given))), says, moved, {}, "")


def named(found: Any) -> Answers:
    """Name -> result: the names of a tuple's elements are their indices, that of a single result is empty."""
    return {str(i): one for i, one in enumerate(found)} if isinstance(found, tuple) else {"": found}


def compare(found: Any, expected: Answers, says: str, given: Mapping[str, Any], mistakes: Mistakes, where: str) -> None:
    """Raise NotYet with an explanation if ``found`` is not the expected result."""
    right = list(expected.values())
    parts = list(found) if len(right) > 1 and isinstance(found, tuple | list) else [found]
    if _all_close(parts, right):
        return
    if len(parts) != len(right):
        raise NotYet(f"It returns {kind(found)}. It should return {len(right)} things: {', '.join(expected)}.")
    why = ""
    if not _all_close(parts, right, any_dtype=True):
        made = (mistake for mistake, make in mistakes.items() if _all_close(parts, _made(make, given), any_dtype=True))
        why = next(made, "")
    for (name, one), part in zip(expected.items(), parts, strict=True):
        if (differs := _unlike(part, one)) and not why:
            why = f"{name or 'The answer'} {differs}"
    names = [f"{name} " if len(right) > 1 else "" for name in expected]
    wanted, came = (", ".join(map("{}{}".format, names, map(text, each))) for each in (right, parts))
    raise NotYet(f"{why or says}{on(given, where)}\nexpected {wanted}\ngot      {came}")


def on(given: Mapping[str, Any], where: str) -> str:
    """The lines of a message that show the input, below its first sentence."""
    special = f"\nThis happens where {where}:" if where else ""
    return special + "".join(f"\n{name} = {text(value)}" for name, value in given.items())


def _made(make: Callable, given: Mapping[str, Any]) -> list:
    """The results of a mistake on this input; an empty list if it raises."""
    try:
        made = make(*copy.deepcopy(tuple(given.values())))
    except Exception:
        return []
    return list(made) if isinstance(made, tuple) else [made]


def _raised(make: Callable, given: Mapping[str, Any]) -> str | None:
    """The message of the error that a mistake raises on this input, or None."""
    try:
        make(*copy.deepcopy(tuple(given.values())))
    except Exception as error:
        return str(error)
    return None


def _all_close(parts: Sequence, others: Sequence, any_dtype: bool = False) -> bool:
    return len(parts) == len(others) and all(map(partial(close, any_dtype=any_dtype), parts, others))


def close(found: Any, expected: Any, any_dtype: bool = False) -> bool:
    """Whether two values have matching kind, shape and dtype, and are equal up to rounding."""
    if _unlike(found, expected, any_dtype):
        return False
    if isinstance(expected, str | type(None)):
        return found == expected
    found, expected = numbers(found), numbers(expected)
    return torch.allclose(found.double(), expected.double(), **CLOSE)


def numbers(value: Any) -> Tensor:
    """A tensor, an array or a number as a tensor outside the autograd graph."""
    return value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)


def _unlike(found: Any, expected: Any, any_dtype: bool = False) -> str:
    """How kind, shape or dtype differ, as the end of a sentence; empty if they match.

    A tensor matches an expected array, and a number matches a tensor or an array of shape () and vice versa. Numbers
    match whatever their dtypes are, but a bool matches only a bool.
    """
    if isinstance(expected, str):
        return "" if isinstance(found, str) else f"is {kind(found)}; a text is asked for."
    countable = isinstance(found, bool | int | float | np.generic)
    if isinstance(found, str) or not (countable or isinstance(found, Tensor | np.ndarray)):
        return f"is {kind(found)}; {kind(expected)} is asked for."
    if isinstance(expected, Tensor) and isinstance(found, np.ndarray):
        return f"is {kind(found)}; a tensor is asked for, as torch makes them."
    tensor, wanted = numbers(found), numbers(expected)
    if tensor.shape != wanted.shape:
        return f"has shape {tuple(tensor.shape)}; it should be {tuple(wanted.shape)}."
    if tensor.is_complex() or (tensor.is_floating_point() and tensor.isnan().any() and not wanted.isnan().any()):
        return f"is not a number at some place: {text(tensor)}."
    if any_dtype:
        return ""
    if isinstance(expected, Tensor | np.ndarray) and not countable:
        same_dtype = tensor.dtype == wanted.dtype
        return "" if same_dtype else f"is of dtype {tensor.dtype}; {wanted.dtype} is expected."
    both_or_neither = (tensor.dtype == torch.bool) == (wanted.dtype == torch.bool)
    return "" if both_or_neither else f"is {text(found)}; {kind(expected)} is asked for."


def kind(value: Any) -> str:
    """The type and the shape of a value, in words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, bool | np.bool_):
        return "True or False"
    if isinstance(value, int | float | np.generic):
        return "a number"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)} things"
    return f"a {type(value).__name__}"


def text(value: Any) -> str:
    """A value in one line; of a large tensor or array only its shape."""
    if isinstance(value, Tensor | np.ndarray):
        tensor = numbers(value)
        if tensor.numel() > 60:
            return kind(value)
        return _listed(tensor.tolist())
    if isinstance(value, float):
        return f"{value:.4g}"
    try:
        shown = repr(value)
    except Exception:  # a learner's own class
        return kind(value)
    shown = " ".join(shown.split())
    return shown if len(shown) <= 200 else f"{shown[:200]} ..."


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_listed, value))}]"
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)  # + 0.0: -0 reads as 0


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal up to rounding. Objects of other types than those below count as equal."""
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Seeds):
        return same(one.parameters, other.parameters)
    if isinstance(one, nn.Module):
        return same(dict(one.state_dict()), dict(other.state_dict()))
    if isinstance(one, Tensor | np.ndarray):
        one, other = numbers(one), numbers(other)
        return one.shape == other.shape and torch.allclose(one.double(), other.double(), equal_nan=True)
    if isinstance(one, bool | int | float | str):
        return one == other or one != one
    return True


def draw(seed: int, *shape: int) -> Tensor:
    """Random distinct numbers with one decimal, as a tensor of this shape; the seed determines them."""
    count = int(np.prod(shape))
    places = torch.randperm(4 * count, generator=torch.Generator().manual_seed(seed))[:count]
    return ((places - 2 * count) / 10).reshape(shape)


class Affine(nn.Module):
    """An expert that is easy to follow: ``factor * x + offset`` on the first ``d_out`` numbers of a token."""

    def __init__(self, factor: float, offset: float, d_out: int) -> None:
        super().__init__()
        self.factor, self.offset, self.d_out = nn.Parameter(torch.tensor(factor)), offset, d_out
        self.rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += x.shape[:-1].numel()  # a single token (d,) counts as one row
        return self.factor * x[..., : self.d_out] + self.offset

    def __repr__(self) -> str:
        plus = f" {'+' if self.offset > 0 else '-'} {abs(self.offset):g}" if self.offset else ""
        return f"x -> {self.factor.item():g} * x[:, :{self.d_out}]{plus}"


def affine_experts(n_experts: int, d_out: int) -> list[Affine]:
    """Experts that are easy to tell apart: 1 x + 1, 10 x - 2, 100 x + 3, ..."""
    return [Affine(10.0**i, (i + 1) * (-1) ** i, d_out) for i in range(n_experts)]


def reaches(answer: Tensor, learned: Tensor, missing: str) -> None:
    """Raise NotYet with the sentence ``missing`` if no gradient flows from the answer to ``learned``."""
    if not answer.requires_grad:
        raise NotYet(missing)
    (gradient,) = torch.autograd.grad(answer.sum(), learned, allow_unused=True, retain_graph=True)
    if gradient is None or not gradient.any():
        raise NotYet(missing)


def verdicts(ask: Ask, cases: Mapping[str, tuple[Mapping[str, Any], bool]]) -> dict[str, bool]:
    """The answer's verdict on each case, by name.

    Args:
        cases: name -> (input, right verdict).

    Raises:
        NotYet: as in :meth:`Ask.__call__`, or the answer is not a single bool.
    """
    found = {}
    for name, (given, right) in cases.items():
        said = ask(given)
        if isinstance(said, Tensor | np.ndarray) and numbers(said).numel() > 1:
            raise NotYet("It says yes or no several times. One verdict is asked for, as by .all(), .any() or a mean.")
        if differs := _unlike(said, right):
            raise NotYet(f"The answer {differs}")
        found[name] = bool(said)
    return found
