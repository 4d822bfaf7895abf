"""What JupyterLab does for the course: it stores the widgets that a notebook's outputs show, and sends at once."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyter_server.services.contents.filemanager import FileContentsManager
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from moe_tutorial.tools.jupyter import lab
from moe_tutorial.tools.jupyter.saving import STATE, VIEW, keep_widgets


def notebook(shown, states):
    """A notebook whose outputs show these widgets, and that stores these states."""
    outputs = [{"output_type": "display_data", "data": {VIEW: {"model_id": id}, "text/plain": id}} for id in shown]
    widgets = {STATE: {"version_major": 2, "version_minor": 0, "state": states}}
    cell = {"cell_type": "code", "source": "", "outputs": outputs}
    return {"cells": [{"cell_type": "markdown", "source": ""}, cell], "metadata": {"widgets": widgets}}


def state(value, **more):
    return {"state": {"value": value} | more}


@pytest.fixture
def save(tmp_path):
    """Saves a notebook over another, and returns the widgets that are stored and what its outputs show."""

    def save(new, old=None):
        if old is not None:
            (tmp_path / "a.ipynb").write_text(old if isinstance(old, str) else json.dumps(old))
        model = {"type": "notebook", "content": copy.deepcopy(new)}
        keep_widgets(model=model, path="a.ipynb", contents_manager=SimpleNamespace(root_dir=str(tmp_path)))
        outputs = model["content"]["cells"][1]["outputs"]
        return model["content"]["metadata"]["widgets"][STATE]["state"], [list(each["data"]) for each in outputs]

    return save


def test_the_state_of_a_widget_without_a_kernel_is_taken_from_the_file(save):
    old = notebook(["a", "b"], {"a": state(1), "b": state(2)})
    kept, shown = save(notebook(["a", "b", "b"], {"b": state(3)}), old)
    assert kept == {"a": state(1), "b": state(3)}
    assert shown == [[VIEW, "text/plain"]] * 3


def test_what_no_output_shows_is_dropped_and_what_a_shown_widget_refers_to_is_not(save):
    states = {"a": state(1, layout="IPY_MODEL_l-1", children=["IPY_MODEL_c"]), "l-1": state(2), "gone": state(3)}
    states["c"] = state(4, parent="IPY_MODEL_a")
    kept, _ = save(notebook(["a"], {}), notebook([], states))
    assert set(kept) == {"a", "l-1", "c"}


@pytest.mark.parametrize("old", [None, "{", notebook([], {}), {"cells": [], "metadata": {}}])
def test_a_widget_that_nobody_knows_is_stored_as_its_text(save, old):
    assert save(notebook(["a", "b"], {"a": state(1)}), old) == ({"a": state(1)}, [[VIEW, "text/plain"], ["text/plain"]])


def test_other_files_and_notebooks_that_store_no_widgets_stay_as_they_are(tmp_path):
    plain = notebook(["a"], {}) | {"metadata": {}}
    for model in ({"type": "file", "content": "text"}, {"type": "notebook", "content": plain}):
        given = copy.deepcopy(model)
        keep_widgets(model=model, path="a.ipynb", contents_manager=SimpleNamespace(root_dir=str(tmp_path)))
        assert model == given


@pytest.fixture
def config():
    """The course's configuration of JupyterLab, where `make lab` lets it look."""
    return json.loads(Path(lab.__file__).with_name("jupyter_server_config.json").read_text(encoding="utf-8"))


def test_jupyter_calls_it(tmp_path, config):
    assert FileContentsManager(root_dir=str(tmp_path), config=Config(config)).pre_save_hook is keep_widgets


def test_jupyter_is_told_to_send_each_message_at_once(config, monkeypatch):
    connection = import_item(config["ServerApp"]["kernel_websocket_connection_class"])
    told = []
    monkeypatch.setattr(ZMQChannelsWebsocketConnection, "connect", lambda self: "connected")
    monkeypatch.setattr(connection, "websocket_handler", SimpleNamespace(set_nodelay=told.append))
    assert connection.__new__(connection).connect() == "connected"
    assert told == [True]
