"""Mark the functions whose cell failed, so that a check does not examine a definition from an earlier run."""

import re
from collections.abc import Collection
from types import TracebackType
from typing import Any

DEFINES = re.compile(r"^def (\w+)", re.MULTILINE)  # not ast: the cell may have a syntax error


class CellFailed:
    """Replaces the function that a failed cell should have defined; ``message`` says why it failed, and where."""

    def __init__(self, error: BaseException, cell: str, line: int) -> None:
        text = getattr(error, "msg", None) or str(error)
        self.message = f"It raises {type(error).__name__}" + (f": {text}" if text else "")
        lines = cell.splitlines()
        if 0 < line <= len(lines):
            self.message += f"\nIn line {line} of your cell: {lines[line - 1].strip()}"


def mark_failed_cells(shell: Any, names: Collection[str]) -> None:
    """Register an IPython callback that marks functions whose cell failed.

    If a cell fails before it defines a function with one of these names, a :class:`CellFailed` takes its place.
    """

    def mark(result: Any) -> None:
        error = result.error_before_exec or result.error_in_exec
        if error is None:
            return
        inside = _in_cell(error.__traceback__, shell.user_global_ns)
        line = inside.tb_lineno if inside else getattr(error, "lineno", None) or 0
        for name in set(DEFINES.findall(result.info.raw_cell)).intersection(names):
            code = getattr(shell.user_ns.get(name), "__code__", None)
            if not (inside and code and code.co_filename == inside.tb_frame.f_code.co_filename):
                shell.user_ns[name] = CellFailed(error, result.info.raw_cell, line)

    shell.events.register("post_run_cell", mark)


def _in_cell(traceback: TracebackType | None, names: dict) -> TracebackType | None:
    """The first traceback entry in the notebook's own code, or None if the error came before that code ran."""
    while traceback and traceback.tb_frame.f_globals is not names:
        traceback = traceback.tb_next
    return traceback
