"""Run a learner's answer in isolation: its errors and ``exit()`` stop nothing else, and global settings are restored.

There is no time limit, since a machine may be slow. Jupyter's Stop button and nbgrader's timeout end an answer that
runs forever: both raise KeyboardInterrupt in it.
"""

import builtins
import io
import linecache
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any

MAX_PRINTED = 1000
"""Maximum number of characters of an answer's printed output that a learner sees."""


class NotYet(Exception):
    """The answer is not right yet; the message says why, in sentences for the learner.

    Args:
        says: the sentence that a known mistake's own may replace.
        found: what was observed: a list of results, or a text. An answer with a known mistake is recognised by it.
        shown: the lines below the sentence, such as the input and an error of the answer.
        atol: by how much the numbers in ``found`` may differ from a known mistake's.
    """

    def __init__(self, says: str, found: Any = None, shown: str = "", atol: float = 1e-5) -> None:
        super().__init__((says + shown).lstrip("\n"))
        self.found, self.shown, self.atol = says if found is None else found, shown, atol
        self.call = 0  # the number of the call at which it was noticed


class NotWritten(NotYet):
    """The answer is still the stub."""


class AskedForInput(BaseException):
    """The answer called ``input``. A BaseException, so that ``except Exception`` in the answer does not catch it."""


class Printed:
    """A stream that stores the beginning of what is written to it, and counts the rest."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.beginning, self.length = "", 0

    def __str__(self) -> str:
        more = self.length - len(self.beginning)
        return self.beginning + (f"\n... and {more:,} characters more" if more else "")

    def write(self, text: str) -> int:
        self.beginning += text[: MAX_PRINTED - len(self.beginning)]
        self.length += len(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def isatty(self) -> bool:
        return False


@contextmanager
def nothing_changes() -> Iterator[None]:
    """Restore the random states and settings of Python, NumPy and PyTorch on exit; ignore warnings until then."""
    import numpy
    import torch

    python, numbers, limit = random.getstate(), numpy.random.get_state(), sys.getrecursionlimit()
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    deterministic = torch.get_deterministic_debug_mode()
    gradients = torch.set_grad_enabled(torch.is_grad_enabled())
    try:
        with warnings.catch_warnings(), numpy.errstate(), torch.random.fork_rng(devices=[]), gradients:
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(numbers)
        sys.setrecursionlimit(limit)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(deterministic)


@contextmanager
def shielded(printed: Printed) -> Iterator[None]:
    """Redirect output to ``printed``, make ``input()`` raise AskedForInput, and keep ``exit()`` from the kernel."""

    def ask(prompt: object = "") -> str:
        raise AskedForInput

    shell = running_shell()
    own_input, builtins.input = builtins.input, ask
    own_stdin, sys.stdin = sys.stdin, io.StringIO()  # outside a notebook, exit() closes it
    if shell:
        shell.ask_exit = sys.exit  # in a notebook, exit() and quit() call this to end the kernel
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield
    finally:
        builtins.input, sys.stdin = own_input, own_stdin
        if shell:
            del shell.ask_exit


def running_shell() -> Any:
    """The current IPython shell, or None outside IPython."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def reseed(seed: int) -> None:
    """Seed every global random generator. Calls with different seeds expose an answer that draws from one."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def sentence(error: BaseException, file: str) -> str:
    """Describe the error that an answer raised, and quote its line in the cell ``file``."""
    if isinstance(error, AskedForInput):
        return "It calls input(), but nobody is there to type. What it needs comes in its arguments."
    if isinstance(error, SystemExit):
        return "It ends Python, by exit(), quit() or sys.exit(). Return the answer instead."
    if isinstance(error, RecursionError):
        return "It calls itself again and again, without an end. Which case should end it?"
    text = f"It raises {type(error).__name__}" + (f": {_short(str(error))}" if str(error) else "")
    line = _line(error.__traceback__, file)
    return f"{text}\nIn line {line} of your cell: {linecache.getline(file, line).strip()}" if line else text


def _line(traceback: TracebackType | None, file: str) -> int:
    """The line number of the innermost traceback entry in this file, or 0 if there is none."""
    line = 0
    while traceback:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _short(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[:limit]} ..."
