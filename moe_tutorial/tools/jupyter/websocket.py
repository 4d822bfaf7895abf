"""A kernel's websocket with less latency, for widgets that the kernel draws."""

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Sends each message at once (TCP_NODELAY). Otherwise, one waits until the page has acknowledged the previous."""

    def connect(self) -> Any:
        self.websocket_handler.set_nodelay(True)
        return super().connect()
