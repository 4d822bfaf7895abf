"""Kernels that lessons run in: without ports, and heard even while something is said to them."""

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
    """A kernel manager's settings for a kernel without ports: one that is found free may be another program's by the
    time when the kernel wants it, and then the kernel dies. Windows has no other way."""
    if os.name == "nt":
        return {}
    return {"transport": "ipc", "ip": str(Path(tempfile.gettempdir(), f"kernel-{uuid4().hex}"))}


class ShellChannel(AsyncZMQSocketChannel):
    """A channel that hears a reply that comes in while it sends.

    ZeroMQ signals once that something has come in, and sending takes the signal away. nbclient sends the contents of
    an Output widget while it waits for the cell's reply: it would go on waiting for a reply that is there.
    """

    def send(self, msg: dict) -> None:
        super().send(msg)
        self.socket.get(zmq.EVENTS)  # asks what has come in, and wakes whoever waits for it


class Client(AsyncKernelClient):
    """A kernel's client with such a channel."""

    shell_channel_class = Type(ShellChannel)


def settings() -> Config:
    """What ``NotebookClient(config=...)`` takes: a kernel without ports, and a client that hears its replies."""
    return Config({"KernelManager": own_sockets() | {"client_factory": Client}})
