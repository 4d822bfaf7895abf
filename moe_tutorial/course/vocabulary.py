"""Helpers to write checks.

A check is a function that calls the learner's answer through an :class:`Ask` and compares the results with those of the
solution. A failure in a comparison states the property, the input, the expected result and the actual one. A check does
not know the mistakes that learners make: when an answer fails, it also runs on each edited solution (``mistakes``).
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from moe_tutorial.course.running import NotWritten, NotYet, reseed, sentence
from moe_tutorial.study import Seeds

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@dataclass(frozen=True)
class Check:
    """The check of an exercise: its function, and what :func:`checks` was given."""

    examine: Callable[["Ask"], None]
    hints: tuple[str, str, str]
    mistakes: Mapping[str, str | Callable]
    swaps: Sequence[tuple[str, str]]
    changes: bool

    def failure(self, ask: "Ask") -> NotYet | None:
        """Run the check; return why the answer is not right, or None."""
        try:
            self.examine(ask)
        except NotYet as error:
            failure = error
        except Exception as error:
            failure = NotYet(f"What it returns cannot be examined: {error}")
        else:
            return None
        failure.call = ask.calls
        return failure


CHECKS: dict[str, Check] = {}
"""Exercise id -> its check."""


def checks(
    id: str,
    *,
    hints: tuple[str, str, str],
    mistakes: Mapping[str, str | Callable],
    swaps: Sequence[tuple[str, str]] = (),
    changes: bool = False,
) -> Callable:
    """Register the function below as the check of an exercise.

    Args:
        hints: three, each saying more than the one before.
        mistakes: a sentence for the learner -> an edit of the solution that makes this mistake, ``"old => new"``. Every
            place where the old text stands is replaced; ``"return ... => new"`` replaces the last return statement.
            What no edit can express is a function. An answer that fails as an edited solution does is told its
            sentence. The first edits that change a single line are the puzzle's wrong lines.
        swaps: neighbouring lines of the solution, without indentation, that may also stand in the other order.
        changes: the answer changes its input in place, as a training step does.
    """

    def register(examine: Callable[["Ask"], None]) -> Callable[["Ask"], None]:
        CHECKS[id] = Check(examine, hints, mistakes, swaps, changes)
        return examine

    return register


class Ask:
    """Calls an answer for a check, and compares its results with those of the solution.

    Args:
        answer: the learner's function.
        own: the solution.
        changes: the answer may change its input in place.
    """

    def __init__(self, answer: Callable, own: Callable, changes: bool = False) -> None:
        self.answer, self.own, self.changes = answer, own, changes
        self.file = getattr(getattr(inspect.unwrap(answer), "__code__", None), "co_filename", "")
        self.names = list(inspect.signature(own).parameters)
        self.calls = 0
        self.course_types: Any = None  # an expected result, if the answer's has other types

    def __call__(self, given: Mapping[str, Any], where: str = "") -> Any:
        """Call the answer with the values of ``given`` in their order, and return its result.

        ``where`` says in messages what is special about this input.

        Raises:
            NotYet: the answer raised, returned None, changed its input, or returned something else in a second call.
        """
        again = copy.deepcopy(given)
        found = self._call(given, where)
        if not same(self._call(again, where), found):
            raise NotYet("If asked again, it gives another answer. Does it draw random numbers? A new network does.")
        return found

    def once(self, *given: Any) -> Any:
        """Call the answer once, from a random seed of its own, and return its result: for an answer that may draw."""
        return self._call(dict(zip(self.names, given, strict=True)), "")

    def _call(self, given: Mapping[str, Any], where: str) -> Any:
        self.calls += 1
        reseed(self.calls)
        shown, before = on(given, where), copy.deepcopy(given)
        try:
            found = self.answer(*given.values())
        except KeyboardInterrupt:
            raise  # the Stop button ends the check, too
        except BaseException as error:
            if isinstance(error, NotImplementedError) and not error.args:
                raise NotWritten("It is not written yet.") from None
            shown = f"\n{sentence(error, self.file)}{shown}"
            raise NotYet("", f"{type(error).__name__}: {error}", shown) from None
        if found is None:
            raise NotYet("It returns None. Does it end with `return`, and what you computed behind it?")
        if changed := [name for name in given if not self.changes and not same(before[name], given[name])]:
            raise NotYet(f"It changes the caller's {changed[0]}. Work on a copy of it.")
        return found

    def right(self, *given: Any) -> Any:
        """The solution's result. It does not change its input."""
        reseed(self.calls)
        return self.own(*copy.deepcopy(given))

    def gives(self, given: Mapping[str, Any], says: str, names: Sequence[str] = (), where: str = "") -> None:
        """Require that the answer returns what the solution returns.

        Args:
            given: the arguments by name, small enough to be read.
            says: the property, as the end of a sentence that begins "It should return".
            names: the names of the results, if the solution returns several.
            where: what is special about this input.

        Raises:
            NotYet: as in :meth:`__call__`, or the result differs.
        """
        expected = self.right(*given.values())
        found = self(given, where)
        self.compare(found, expected, f"It should return {says}.", names, on(given, where))

    def follows(self, given: Mapping[str, Any], moved: Mapping[str, Any], move: Callable, says: str) -> None:
        """Require an invariance or equivariance: a changed input changes the result in a known way.

        Args:
            given, moved: the input and the changed input.
            move: result for ``given`` -> expected result for ``moved``.
            says: the property, as a sentence.

        Raises:
            NotYet: as in :meth:`__call__`, or the result for ``moved`` differs.
        """
        found = self(given)
        expected = move(found if self.course_types is None else like(found, self.course_types))
        self.compare(self(moved), expected, says, (), on(moved, ""))

    def experiment(
        self, run: Callable[[Callable], Any], says: str, names: Sequence[str] = (), atol: float = CLOSE["atol"]
    ) -> None:
        """Require that an experiment with the answer gives what it gives with the solution.

        Args:
            run: a function that is called with the answer or the solution, calls it, and returns what it measured. It
                may change its inputs, and draw random numbers.
            says: what it should give, as a sentence.
            names: the names of what is measured.
            atol: by how much each number may differ.

        Raises:
            NotYet: as in :meth:`once`, or the experiment gives something else.
        """
        reseed(self.calls)
        expected, types = run(self.own), self.course_types
        self.compare(run(self.once), expected, says, names, "", atol)
        self.course_types = types  # the types of what is measured are not those of the answer's result

    def judges(self, cases: Mapping[str, Mapping[str, Any]]) -> None:
        """Require the solution's verdict, True or False, on each case: what is special about it -> the input.

        Raises:
            NotYet: as in :meth:`__call__`, or the answer is not a single bool, or a verdict is wrong.
        """
        found = {}
        for where, given in cases.items():
            said = self(given, where)
            if isinstance(said, Tensor | np.ndarray) and numbers(said).numel() > 1:
                raise NotYet(
                    "It says yes or no several times. One verdict is asked for, as by .all(), .any() or a mean."
                )
            if differs := _unlike(said, True):
                raise NotYet(f"The answer {differs}")
            found[where] = bool(said)
        for where, given in cases.items():
            if found[where] != bool(self.right(*given.values())):
                says = f"It returns {found[where]} where {where}; the right answer is {not found[where]}."
                raise NotYet(says, list(found.values()))

    def compare(
        self, found: Any, expected: Any, says: str, names: Sequence[str], shown: str, atol: float = CLOSE["atol"]
    ) -> None:
        """Raise NotYet if ``found`` is not the expected result, and note whether its types are others."""
        right = list(expected) if isinstance(expected, tuple) else [expected]
        parts = list(found) if len(right) > 1 and isinstance(found, tuple | list) else [found]
        names = names or [""] * len(right)
        if len(parts) != len(right):
            what = ", ".join(names) if names[0] else "as a tuple"
            raise NotYet(f"It returns {kind(found)}. It should return {len(right)} things: {what}.", parts)
        if all(close(part, one, atol) for part, one in zip(parts, right, strict=True)):
            if list(map(_type, parts)) != list(map(_type, right)):
                self.course_types = expected
            return
        for name, part, one in zip(names, parts, right, strict=True):
            if differs := _unlike(part, one):
                says = f"{name or 'The answer'} {differs}"
                break
        wanted, came = (
            ", ".join(f"{name} {text(one)}".lstrip() for name, one in zip(names, each, strict=True))
            for each in (right, parts)
        )
        raise NotYet(says, parts, f"{shown}\nexpected {wanted}\ngot      {came}", atol)


def on(given: Mapping[str, Any], where: str) -> str:
    """The lines of a message that show the input, below its first sentence."""
    special = f"\nThis happens where {where}:" if where else ""
    return special + "".join(f"\n{name} = {text(value)}" for name, value in given.items())


def alike(failure: NotYet | None, other: NotYet) -> bool:
    """Whether two answers failed at the same call with the same finding."""
    if failure is None or failure.call != other.call:
        return False
    one, two = failure.found, other.found
    if isinstance(one, str) or isinstance(two, str):
        return one == two
    return len(one) == len(two) and all(close(*pair, other.atol) for pair in zip(one, two, strict=True))


def close(found: Any, expected: Any, atol: float = CLOSE["atol"]) -> bool:
    """Whether two values have matching kind and shape, and are equal up to rounding."""
    if _unlike(found, expected):
        return False
    if numbers(expected) is None:
        return found == expected
    found, expected = numbers(found).double(), numbers(expected).double()
    return torch.allclose(found, expected, rtol=CLOSE["rtol"], atol=atol, equal_nan=True)


def numbers(value: Any) -> Tensor | None:
    """A number, or a tensor, an array or a list of numbers, as a tensor outside the autograd graph; None for others."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, bool | int | float | np.generic | np.ndarray | list):
        try:
            return torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):  # a list of other things, or rows of different lengths
            return None
    return None


def like(found: Any, expected: Any) -> Any:
    """A result that was :func:`close` to the expected one, as an array or a tensor of the same dtype."""
    if isinstance(expected, tuple):
        return tuple(map(like, found, expected))
    if isinstance(expected, np.ndarray):
        return np.asarray(numbers(found), dtype=expected.dtype)
    return torch.as_tensor(found, dtype=expected.dtype) if isinstance(expected, Tensor) else found


def _type(value: Any) -> Any:
    return value.dtype if isinstance(value, Tensor | np.ndarray) else type(value)


def _unlike(found: Any, expected: Any) -> str:
    """How kind or shape differ, as the end of a sentence; empty if they match.

    Numbers match whatever their type and width, as a number, in a tensor, an array or a list of the same shape; only
    True and False match nothing but themselves.
    """
    tensor, wanted = numbers(found), numbers(expected)
    if tensor is None or wanted is None:
        return "" if type(found) is type(expected) else f"is {kind(found)}; {kind(expected)} is asked for."
    if tensor.shape != wanted.shape:
        return f"has shape {tuple(tensor.shape)}; it should be {tuple(wanted.shape)}."
    if tensor.is_complex() or (tensor.is_floating_point() and tensor.isnan().any() and not wanted.isnan().any()):
        return f"is not a number at some place: {text(tensor)}."
    if (tensor.dtype == torch.bool) != (wanted.dtype == torch.bool):
        if not isinstance(found, Tensor | np.ndarray):
            return f"is {text(found)}; {kind(expected)} is asked for."
        return f"is of dtype {tensor.dtype}; {wanted.dtype} is expected."
    return ""


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
        return f"x -> {self.factor.item():g} * x[..., :{self.d_out}]{plus}"


def affine_experts(n_experts: int, d_out: int) -> list[Affine]:
    """Experts that are easy to tell apart: 1 x + 1, 10 x - 2, 100 x + 3, ..."""
    return [Affine(10.0**i, (i + 1) * (-1) ** i, d_out) for i in range(n_experts)]


def reaches(answer: Tensor, learned: Tensor, missing: str) -> None:
    """Raise NotYet with the sentence ``missing`` if no gradient flows from the answer to ``learned``."""
    if not isinstance(answer, Tensor) or not answer.requires_grad:
        raise NotYet(missing)
    (gradient,) = torch.autograd.grad(answer.sum(), learned, allow_unused=True, retain_graph=True)
    if gradient is None or not gradient.any():
        raise NotYet(missing)
