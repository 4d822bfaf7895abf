"""Whatever an answer does, it is told so in a sentence of its own, and everything around it is as it was."""

import builtins
import random
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch

from moe_tutorial.course.exercises import EXERCISES
from moe_tutorial.course.running import MAX_PRINTED

EXERCISE = EXERCISES["03.topk_then_softmax"]
RIGHT = "logits.topk(k).values.softmax(-1)"


def examine(body: str):
    """What is said of an answer with this body. The first line of its "cell" is the def."""
    source = f"def topk_then_softmax(logits, k):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    return EXERCISE.examine(EXERCISE.written(source))


def state() -> list:
    return [
        sys.stdout,
        sys.stderr,
        sys.stdin,
        builtins.input,
        random.getstate(),
        np.random.get_state()[1].tolist(),
        np.geterr(),
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        sys.getrecursionlimit(),
        warnings.filters[:],
    ]


@pytest.fixture(autouse=True)
def nothing_changes():
    before = state()
    yield
    assert state() == before


def test_a_right_answer_may_take_its_time():
    """On a busy machine every answer is slow. This one is called 14 times."""
    assert examine(f"import time\ntime.sleep(0.2)\nreturn {RIGHT}").message == "right"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("input('your name? ')", "input()"),
        ("exit()", "ends Python"),
        ("return topk_then_softmax(logits, k)", "calls itself again and again"),
        (
            "weights = 1 / 0\nreturn weights",
            "ZeroDivisionError: division by zero\nIn line 2 of your cell: weights = 1 / 0",
        ),
        (f"return {RIGHT} * float('nan')", "is not a number at some place"),
        (f"return str({RIGHT})", "is a str; a tensor of shape (4, 2) is asked for"),
        (f"{RIGHT}", "It returns None"),
        ("logits.sub_(1)\nreturn logits.topk(k).values.softmax(-1)", "changes the caller's logits"),
        (f"return {RIGHT} * torch.rand(1)", "asked again"),
        (f"import random\nreturn {RIGHT} * random.random()", "asked again"),
        ("return type('Odd', (), {'__repr__': lambda self: 1 / 0})()", "is a Odd"),
    ],
)
def test_each_disturbance_has_its_own_sentence(body, says):
    result = examine(body)
    assert result.verdict == "wrong"
    assert says in result.message


def test_a_wrong_answer_says_the_property_the_input_what_was_expected_and_what_came():
    message = examine(f"return {RIGHT} + 1").message
    property, logits, k, expected, got = message.splitlines()
    assert property == "It should return for each token, a softmax over its 2 largest logits, best first."
    assert logits.startswith("logits = [[")
    assert k == "k = 2"
    assert expected.startswith("expected [[")
    assert got.startswith("got      [[")


@pytest.mark.parametrize(
    "body",
    [
        "torch.manual_seed(7); np.random.seed(7); import random; random.seed(7)",
        "torch.set_default_dtype(torch.float64); import sys; sys.setrecursionlimit(5000)",
        "torch.set_grad_enabled(False); torch.set_num_threads(3); np.seterr(all='ignore')",
        "torch.use_deterministic_algorithms(True, warn_only=True)",
        "import warnings; warnings.warn('careful')",
        "import sys; print('aside', file=sys.stderr)",
        "sys = __import__('sys'); sys.stdin.read()",
    ],
)
def test_what_an_answer_sets_is_set_back(body):
    assert examine(f"{body}\nreturn {RIGHT}").passed  # the fixture looks


def test_a_megabyte_of_print_is_cut(capsys):
    result = examine(f"print('x' * 1_000_000)\nreturn {RIGHT}")
    assert result.passed
    assert result.printed.startswith("x" * MAX_PRINTED + "\n... and ")
    assert result.printed.endswith(" characters more")
    assert len(result.printed) < MAX_PRINTED + 50
    assert capsys.readouterr() == ("", "")
    assert examine("print('here')\nreturn 1 / 0").printed == "here\n"


def test_what_is_no_function_is_told_so():
    assert EXERCISE.examine("logits.softmax(-1)").message == "topk_then_softmax is of type str, not a function."
    assert EXERCISE.examine(None).message == "topk_then_softmax is of type NoneType, not a function."
    assert EXERCISE.examine(EXERCISE.own).verdict == "own"
