"""Run notebooks in kernels without TCP ports, by a client that misses no reply while it sends."""

import os
import re
import tempfile
from pathlib import Path
from uuid import uuid4

import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets import Type
from traitlets.config import Config

from moe_tutorial.course import CourseError

CELL_TIMEOUT = 600
COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")


class LessonError(CourseError):
    """A lesson failed; the message says where and why."""


def own_sockets() -> dict[str, str]:
    """Kernel manager settings for a kernel on Unix domain sockets instead of TCP ports; empty on Windows.

    Finding a free port is a race: another program may take the port before the kernel binds it, and the kernel dies.
    """
    if os.name == "nt":
        return {}
    return {"transport": "ipc", "ip": str(Path(tempfile.gettempdir(), f"kernel-{uuid4().hex}"))}


class ShellChannel(AsyncZMQSocketChannel):
    """A channel that does not miss a reply that arrives while it sends.

    ZeroMQ signals an incoming message only once (edge-triggered), and sending clears the signal. nbclient sends the
    contents of an Output widget while it waits for the cell's reply, and would wait on for a reply that has arrived.
    """

    def send(self, msg: dict) -> None:
        super().send(msg)
        self.socket.get(zmq.EVENTS)  # checks for messages that arrived, and wakes their receivers


class Client(AsyncKernelClient):
    """A kernel client with a :class:`ShellChannel`."""

    shell_channel_class = Type(ShellChannel)


def settings() -> Config:
    """The ``config`` of a ``NotebookClient``: :func:`own_sockets` and :class:`Client`."""
    return Config({"KernelManager": own_sockets() | {"client_factory": Client}})


def execute(notebook: NotebookNode, path: Path, environment: dict[str, str] | None = None) -> NotebookNode:
    """Run a notebook in a fresh kernel, on one thread, and return it with its outputs.

    Args:
        notebook: the notebook; its cells are changed in place.
        path: its file, in whose folder the kernel starts.
        environment: the kernel's environment variables, by default those of this process.

    Raises:
        LessonError: a cell failed, took too long, or ended its kernel.
    """
    begun = [0]
    client = NotebookClient(
        notebook,
        on_cell_start=lambda cell, cell_index: begun.append(cell_index),
        timeout=CELL_TIMEOUT,
        record_timing=False,  # times in the metadata would differ at each run
        resources={"metadata": {"path": str(path.parent)}},
        config=settings(),
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # a local kernel's warning about its sockets is noise
    )
    one_thread = {"OMP_NUM_THREADS": "1"}  # small models are fastest and steadiest on one thread
    try:
        return client.execute(env=(environment or dict(os.environ)) | one_thread)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise LessonError(f"{path.name}, cell {begun[-1]}: {COLOUR_CODES.sub('', str(error)).strip()}") from None
