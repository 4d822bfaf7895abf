"""What JupyterLab stores of widgets, so that a notebook opened the next day shows them."""

import json
import re
from pathlib import Path
from typing import Any

VIEW, STATE = (f"application/vnd.jupyter.widget-{kind}+json" for kind in ("view", "state"))
OTHER = re.compile(r"IPY_MODEL_([\w-]+)")  # a reference to another widget


def keep_widgets(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Store the state of each widget that an output shows, and of no other. Jupyter calls this before it saves a file.

    JupyterLab stores only those that have a kernel, so the state of the others is taken from the file. An output whose
    widget is in neither is stored as text, because JupyterLab would show an error in its place.
    """
    if model.get("type") != "notebook" or "widgets" not in model["content"]["metadata"]:
        return  # it stores no widgets
    content = model["content"]
    known = states(stored(Path(contents_manager.root_dir, path))) | states(content)
    kept: dict[str, Any] = {}
    outputs = [output.get("data", {}) for cell in content["cells"] for output in cell.get("outputs", [])]
    for data in outputs:
        if VIEW not in data:
            continue
        if data[VIEW]["model_id"] in known:
            keep(data[VIEW]["model_id"], known, kept)
        else:
            del data[VIEW]
    content["metadata"]["widgets"] = {STATE: {"version_major": 2, "version_minor": 0, "state": kept}}


def stored(file: Path) -> dict[str, Any]:
    """The notebook in a file; an empty one if there is none that can be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def states(notebook: dict[str, Any]) -> dict[str, Any]:
    """The stored states of a notebook's widgets, by id."""
    return notebook.get("metadata", {}).get("widgets", {}).get(STATE, {}).get("state", {})


def keep(id: str, known: dict[str, Any], kept: dict[str, Any]) -> None:
    """Put a widget's state into ``kept``, with those of the widgets that it refers to."""
    if id in known and id not in kept:
        kept[id] = known[id]
        for other in OTHER.findall(json.dumps(known[id])):
            keep(other, known, kept)
