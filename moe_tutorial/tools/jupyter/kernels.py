"""Settings for the kernels that run lessons: no TCP ports, and no replies missed while sending."""

import os
import tempfile
from pathlib import Path
from uuid import uuid4

import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type
from traitlets.config import Config


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
