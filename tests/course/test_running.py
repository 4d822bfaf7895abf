"""Whatever an answer does, it is told so in a sentence of its own, and everything around it is as it was."""

import builtins
import random
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch

from moe_tutorial.course.exercises import EXERCISES
from moe_tutorial.course.running import KEPT

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
        sys.getrecursionlimit(),
        sys.gettrace(),
    ]


@pytest.fixture(autouse=True)
def nothing_changes():
    before = state()
    yield
    assert state() == before


ENDLESS = [
    "while True: pass",
    """
    while True:
        try:
            1 / 0
        except:
            pass
    """,
    """
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
    """,
    "for i in iter(int, 1): logits = logits + 0",
    "return sum(1 for _ in iter(int, 1))",
    """
    while True:
        print("another round")
    """,
]


@pytest.mark.parametrize("body", ENDLESS)
def test_what_does_not_end_is_stopped(body):
    begun = time.monotonic()
    assert "stopped after 2 seconds. Is there a loop" in examine(body).message
    assert 1.9 < time.monotonic() - begun < 8
    assert examine(f"return {RIGHT}").passed
    used = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - used < 0.1, "something still runs"


def test_a_long_call_that_python_cannot_interrupt_is_left_behind():
    begun = time.monotonic()
    assert "It was left behind, since one call" in examine("import time; time.sleep(20)").message
    assert time.monotonic() - begun < 12


def test_a_library_is_not_put_to_sleep_where_it_holds_a_lock():
    """Imports do, for example: whoever slept there would hold up every import in this notebook."""
    names = {"lock": threading.Lock()}
    code = "def step(): pass\ndef work():\n    with lock:\n        while True: step()\n"
    exec(compile(code, "/any/site-packages/library.py", "exec"), names)
    assert "stopped after 2 seconds" in EXERCISE.examine(lambda logits, k: names["work"]()).message
    assert names["lock"].acquire(timeout=2)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("input('your name? ')", "input()"),
        ("exit()", "ends Python"),
        ("quit()", "ends Python"),
        ("import sys; sys.exit(3)", "ends Python"),
        ("return topk_then_softmax(logits, k)", "calls itself again and again"),
        ("try: return topk_then_softmax(logits, k)\nexcept RecursionError: return logits", "calls itself again and"),
        (
            "weights = 1 / 0\nreturn weights",
            "ZeroDivisionError: division by zero\nIn line 2 of your cell: weights = 1 / 0",
        ),
        (
            "def inner():\n    return [][0]\nreturn inner()",
            "IndexError: list index out of range\nIn line 3 of your cell",
        ),
        ("return logits @ logits", "In line 2 of your cell: return logits @ logits"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("return torch.ones(2, dtype=torch.long).softmax(-1)", "NotImplementedError: "),
        (f"return {RIGHT} * float('nan')", "is not a number at some place"),
        (f"return str({RIGHT})", "is a str; a tensor of shape (2, 2) is asked for"),
        (f"return {RIGHT}.tolist()", "is a list of 2 things; a tensor"),
        ("return 1.0", "has shape (); it should be (2, 2)"),
        (f"return {RIGHT}.unsqueeze(0)", "has shape (1, 2, 2); it should be (2, 2)"),
        (f"{RIGHT}", "It returns None"),
        ("logits.sub_(1)\nreturn logits.topk(k).values.softmax(-1)", "changes what it is given"),
        (f"return {RIGHT} * torch.rand(1)", "asked again"),
        (f"return {RIGHT} * np.random.rand()", "asked again"),
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
        "torch.set_grad_enabled(False); np.seterr(all='ignore')",
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
    assert result.printed.startswith("x" * KEPT + "\n... and ")
    assert result.printed.endswith(" characters more")
    assert len(result.printed) < KEPT + 50
    assert capsys.readouterr() == ("", "")
    assert examine("print('here')\nreturn 1 / 0").printed == "here\n"


def test_it_works_in_any_thread():
    said = []
    for body in (f"return {RIGHT}", "while True: pass"):
        thread = threading.Thread(target=lambda body=body: said.append(examine(body)))
        thread.start()
        thread.join()
    assert [result.passed for result in said] == [True, False]
    assert "stopped after 2 seconds" in said[1].message


def test_what_is_no_function_is_told_so():
    assert EXERCISE.examine("logits.softmax(-1)").message == "topk_then_softmax is of type str, not a function."
    assert EXERCISE.examine(None).message == "topk_then_softmax is of type NoneType, not a function."
    assert EXERCISE.examine(EXERCISE.own).verdict == "own"


def test_a_stop_of_the_kernel_stops_the_answer_too():
    """The stop button sends a signal to the main thread, where ``check`` waits."""
    code = """
        import _thread, signal, threading, time
        from moe_tutorial.course.running import Watch, run
        def endless():
            while True:
                pass
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a kernel; in the background a shell ignores it
        watch = Watch(seconds=30)  # on a busy machine the signal comes before the clock all the same
        threading.Timer(0.5, _thread.interrupt_main).start()
        try:
            run(watch, lambda: watch.call(endless))
        except KeyboardInterrupt:
            time.sleep(0.2)
            used = time.process_time()
            time.sleep(0.3)
            print("interrupted", time.process_time() - used < 0.1)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted True\n", done.stderr
