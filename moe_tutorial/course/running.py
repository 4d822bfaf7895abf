"""Run a learner's answer so that whatever it does, the notebook goes on.

An answer runs in a thread of its own, watched step by step. One that does not end cannot be ended: Python has no way
that a bare ``except`` would not catch. So it is put to sleep, for good, at its next step; the thread costs no time, and
little memory. It never falls asleep inside a library, which may hold a lock there, on imports for example. This needs
no signals: it works in any thread, and on Windows.
"""

import builtins
import io
import linecache
import random
import sys
import sysconfig
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

SECONDS = 2.0
"""What an answer may take, all calls of one examination together."""
AT_WORK = 0.5
"""Of these it must have been at work so many. Where it was not, since the machine is busy or it sleeps, it gets"""
LONGER = 4.0
"""so many more. A call into a library ends then, too."""
PATIENCE = 1.0
"""Seconds beyond, for one call into C, which nobody can interrupt. Then the examination ends without it."""
ENDLESS = f"It was stopped after {SECONDS:.0f} seconds. Is there a loop that does not end?"
RECURSION = "It calls itself again and again, without an end. Which case should end it?"
LIBRARIES = (sysconfig.get_path("stdlib"), str(Path(__file__).parents[1]), "<frozen ")
"""Where the code lies that no learner wrote, and in folders named *-packages."""
KEPT = 1000
"""Characters of what an answer prints that are kept."""


class NotYet(Exception):
    """The answer is not right yet; the message says why, in sentences for the learner."""


class NotWritten(NotYet):
    """The answer is still the stub."""


class Stopped(BaseException):
    """Ends a call into a library."""


class AskedForInput(BaseException):
    """The answer called ``input``. No ``Exception``, so that an answer's own ``except Exception`` lets it pass."""


class Printed:
    """A stream that keeps the beginning of what is written to it, and counts the rest."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.kept, self.length = "", 0

    def __str__(self) -> str:
        more = self.length - len(self.kept)
        return self.kept + (f"\n... and {more:,} characters more" if more else "")

    def write(self, text: str) -> int:
        self.kept += text[: KEPT - len(self.kept)]
        self.length += len(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        return False


class Watch:
    """The limits of one examination. ``seconds`` is what is left."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.printed = Printed()
        self.stopped = threading.Event()
        self.why = ""
        self._deadline = float("inf")
        self._depth = self._begun = 0

    def call(self, function: Callable, *args: Any) -> Any:
        """``function(*args)``, watched."""
        begun = time.monotonic()
        self._depth, self._begun, self._deadline = 0, time.thread_time(), begun + self.seconds
        sys.settrace(self._trace)
        try:
            return function(*args)
        finally:
            sys.settrace(None)
            self._deadline = float("inf")
            self.seconds -= time.monotonic() - begun

    @property
    def overdue(self) -> bool:
        """Whether even a call into C has had its time."""
        return time.monotonic() > self._deadline + LONGER + PATIENCE

    def stop(self, why: str) -> None:
        """End the examination; what still runs falls asleep at its next step."""
        self.why = self.why or why
        self.stopped.set()

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Callable | None:
        late = time.monotonic() - self._deadline
        if event == "call":
            if in_library(frame):  # there, the calls are enough
                if late > LONGER or self.stopped.is_set():
                    self.stop(ENDLESS)
                    raise Stopped
                return None
            frame.f_trace_opcodes = True  # in Python 3.11, a loop in one line is the same line for ever
            self._depth += 1
            if self._depth > sys.getrecursionlimit() // 3:
                self.stop(RECURSION)
        elif event == "return":
            self._depth -= 1
        if late > LONGER or (late > 0 and time.thread_time() - self._begun > AT_WORK):
            self.stop(ENDLESS)
        if self.stopped.is_set():
            sys.settrace(None)  # nothing that runs elsewhere is slowed by a sleeper
            threading.Event().wait()
        return self._trace


def in_library(frame: FrameType) -> bool:
    """Whether this is code that no learner wrote."""
    file = frame.f_code.co_filename
    return file.startswith(LIBRARIES) or "-packages" in file


def run(watch: Watch, work: Callable[[], None]) -> None:
    """``work()`` in a thread of its own, where it calls the answer by ``watch.call``.

    Raises:
        NotYet: the answer did not end.
        Exception: what ``work`` raised.
    """
    done = threading.Event()
    errors: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    with nothing_changes(), shielded(watch.printed):
        threading.Thread(target=body, name="a learner's answer", daemon=True).start()
        try:
            while not done.wait(0.01) and not watch.stopped.is_set():
                if watch.overdue:
                    watch.stop("It was left behind, since one call in it takes longer than all that it has to do.")
        except BaseException:  # the learner pressed the stop button
            watch.stop("It was interrupted.")
            raise
    if watch.stopped.is_set():
        raise NotYet(watch.why)
    if errors:
        raise errors[0]


@contextmanager
def nothing_changes() -> Iterator[None]:
    """Afterwards, random numbers, torch's default dtype and Python's own limits are as they were.

    Grad mode is a thread's own, and an answer has its own thread.
    """
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    python, limit = random.getstate(), sys.getrecursionlimit()
    if torch:
        drawn, dtype = torch.get_rng_state(), torch.get_default_dtype()
    if numpy:
        numbers, errors = numpy.random.get_state(), numpy.geterr()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        sys.setrecursionlimit(limit)
        if torch:
            torch.set_rng_state(drawn)
            torch.set_default_dtype(dtype)
        if numpy:
            numpy.random.set_state(numbers)
            numpy.seterr(**errors)


@contextmanager
def shielded(printed: Printed) -> Iterator[None]:
    """Nothing is printed, nobody is asked, and no ``exit()`` reaches the kernel."""

    def ask(prompt: object = "") -> str:
        raise AskedForInput

    shell = _shell()
    own_input, builtins.input = builtins.input, ask
    own_stdin, sys.stdin = sys.stdin, io.StringIO()  # outside a notebook, exit() closes it
    if shell:
        shell.ask_exit = sys.exit  # in a notebook, exit() and quit() ask for the kernel's end by this
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield
    finally:
        builtins.input, sys.stdin = own_input, own_stdin
        if shell:
            del shell.ask_exit


def _shell() -> Any:
    """The notebook's IPython, if this is one."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def reseed(seed: int) -> None:
    """Set every global generator, so that an answer that draws from one shows it."""
    random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)


def sentence(error: BaseException, file: str) -> str:
    """What an answer raised, and in which line of the cell that ``file`` names."""
    if isinstance(error, AskedForInput):
        return "It calls input(), but nobody is there to type. What it needs comes in its arguments."
    if isinstance(error, SystemExit):
        return "It ends Python, by exit(), quit() or sys.exit(). Return the answer instead."
    if isinstance(error, RecursionError):
        return RECURSION
    text = f"It raises {type(error).__name__}" + (f": {_short(str(error))}" if str(error) else "")
    line = _line(error.__traceback__, file)
    return f"{text}\nIn line {line} of your cell: {linecache.getline(file, line).strip()}" if line else text


def _line(traceback: TracebackType | None, file: str) -> int:
    """The deepest line of this file on the way to an error; 0 where there is none."""
    line = 0
    while traceback:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _short(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[:limit]} ..."
