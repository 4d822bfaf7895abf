"""A quicker way from the kernel to the page, for widgets that a kernel draws."""

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Sends each message at once: a picture would otherwise wait for the page's receipt of the one before it."""

    def connect(self) -> Any:
        self.websocket_handler.set_nodelay(True)
        return super().connect()
