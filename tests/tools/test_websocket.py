import json
from pathlib import Path
from types import SimpleNamespace

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from traitlets.utils.importstring import import_item

from moe_tutorial.tools.jupyter import lab


def test_jupyterlab_is_told_to_send_each_message_at_once(monkeypatch):
    """The course's configuration lies where `make lab` lets JupyterLab look, and names a connection that does it."""
    config = json.loads(Path(lab.__file__).with_name("jupyter_server_config.json").read_text(encoding="utf-8"))
    connection = import_item(config["ServerApp"]["kernel_websocket_connection_class"])
    assert issubclass(connection, ZMQChannelsWebsocketConnection)

    told = []
    monkeypatch.setattr(ZMQChannelsWebsocketConnection, "connect", lambda self: "connected")
    handler = SimpleNamespace(set_nodelay=told.append)
    monkeypatch.setattr(connection, "websocket_handler", handler)
    assert connection.__new__(connection).connect() == "connected"
    assert told == [True]
