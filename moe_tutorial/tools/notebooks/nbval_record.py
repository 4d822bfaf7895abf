"""A pytest plugin for nbval that caches a lesson with all its outputs if every cell passes.

The site is built from this cache, so a lesson runs once for both. nbval uses only text outputs. Here, nbclient gets the
same kernel messages, and assembles pictures and widgets as in a notebook that it runs itself.
"""

from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.client import CellExecutionComplete
from nbformat import NotebookNode
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

from moe_tutorial.tools.jupyter.kernels import own_sockets
from moe_tutorial.tools.notebooks import executed


class Recorder:
    """Assembles an executed notebook from the kernel messages that nbval receives."""

    def __init__(self, notebook: NotebookNode, kernel: RunningKernel, code: str) -> None:
        self.code, self.passed = code, 0
        self.cells = sum(cell.cell_type == "code" for cell in notebook.cells)
        self._kernel, self._index, self._request = kernel, None, None
        self._client = NotebookClient(deepcopy(notebook), record_timing=False)
        self._client.kc = kernel.kc  # Output widgets send messages to the kernel
        self._get_message, kernel.get_message = kernel.get_message, self.get_message

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """Get a message for nbval, and record it if it came on the iopub channel."""
        message = self._get_message(stream, timeout=timeout)
        if stream == "iopub" and self._index is not None:
            self._hear(message)
        return message

    def begin(self, index: int) -> None:
        """Start recording the notebook's cell ``index``, which runs next."""
        self._index, self._request = index, None
        self._client.clear_before_next_output = False
        self._client.nb.cells[index].outputs = []

    def _hear(self, message: dict[str, Any]) -> None:
        kind, cell = message["msg_type"], self._client.nb.cells[self._index]
        request = message["parent_header"].get("msg_id")
        if kind == "execute_input":
            self._request = request
        if request is not None and request == self._request:
            with suppress(CellExecutionComplete):
                self._client.process_message(message, cell, self._index)
        elif kind.startswith("comm"):  # a widget that changes while no cell runs
            self._client.handle_comm_msg(cell.outputs, message, self._index)

    def notebook(self) -> NotebookNode:
        """The executed notebook. Call this after the last cell."""
        self._kernel.await_idle(self._kernel.kc.kernel_info(), timeout=60)  # earlier messages have arrived then
        self._client.set_widgets_metadata()
        code_cells = [cell for cell in self._client.nb.cells if cell.cell_type == "code"]
        for number, cell in enumerate(code_cells, 1):  # nbval runs cells without history, which leaves them uncounted
            cell.execution_count = number
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = number
        return self._client.nb


RECORDER = pytest.StashKey[Recorder]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Start a lesson's kernel in the environment of the site's build, and record its cells."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    root, lesson = item.config.rootpath, item.parent
    manager = patch("nbval.kernel.KernelManager", partial(KernelManager, **own_sockets()))
    with patch.dict("os.environ", executed.environment(root), clear=True), manager:
        result = yield
    if lesson.path.parent == root / "notebooks":
        if RECORDER not in lesson.stash:
            lesson.stash[RECORDER] = Recorder(lesson.nb, lesson.kernel, executed.code_digest(root))
        lesson.stash[RECORDER].begin(next(i for i, cell in enumerate(lesson.nb.cells) if cell is item.cell))
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Count the cells that passed: their text equals the stored text, and their figures agree."""
    report = yield
    if isinstance(item, IPyNbCell) and RECORDER in item.parent.stash:
        item.parent.stash[RECORDER].passed += call.when == "call" and report.passed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Cache the lesson after its last cell, if all cells passed."""
    if isinstance(item, IPyNbCell) and RECORDER in item.parent.stash:
        recorder = item.parent.stash[RECORDER]
        if recorder.passed == recorder.cells:
            file = executed.folder(item.config.rootpath) / item.path.name
            executed.store(recorder.notebook(), file, recorder.code)
    return (yield)
