"""Move a lesson's widgets and pictures into files that its page loads when they come near the screen.

The site needs no widget manager: ``static/widgets.js`` runs a widget's code on its state. Both are classic scripts,
since browsers load neither modules nor JSON for a page that was opened from a folder (``file:``).
"""

import base64
import copy
import hashlib
import io
import json
import re
from html import escape
from pathlib import Path

from nbformat import NotebookNode
from PIL import Image

VIEW = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
FOLDER = "late"  # in the pages' _static
PICTURE = re.compile(r'(?P<name>src|srcset)="data:image/png;base64,(?P<code>[^"]+)"')
IN_PAGE = 4_000  # base64 characters; a shorter picture is not worth a request
OWN = ("layout", "tabbable", "tooltip")  # traits that every widget has and no page reads


def publish(notebook: NotebookNode, target: Path) -> NotebookNode:
    """A copy of the notebook with its widgets and pictures moved into files in the folder ``target``.

    Raises ValueError for a widget that is not an anywidget, since the site could not draw it.
    """
    page = copy.deepcopy(notebook)
    target.mkdir(parents=True, exist_ok=True)
    states = page.metadata.pop("widgets", {}).get(STATES, {}).get("state", {})
    for cell in page.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if VIEW in data:
                words = "".join(data.get("text/plain", ""))
                still = "".join(data.get("text/html", ""))
                html = place(states[data[VIEW]["model_id"]], words, target, still)
                output["data"] = NotebookNode({"text/html": html})
            elif "text/html" in data:
                data["text/html"] = PICTURE.sub(lambda found: picture(found, target), "".join(data["text/html"]))
    return page


def place(model: dict, words: str, target: Path, still: str = "") -> str:
    """Write a widget's files, and return the HTML of its placeholder.

    Until the widget loads, and without JavaScript, the placeholder shows ``still``, the widget's own HTML. If that is
    empty, it shows ``words``, and without JavaScript a notice.

    Raises ValueError if this is not an anywidget, or if its code does not have exactly one default export.
    """
    if model["model_module"] != "anywidget":
        raise ValueError(f"{model['model_name']} is of {model['model_module']}; on the site, allowed are anywidgets")
    state = {name: value for name, value in model["state"].items() if not name.startswith("_") and name not in OWN}
    buffers = [[buffer["path"], buffer["data"]] for buffer in model.get("buffers", [])]
    code, css = model["state"]["_esm"], model["state"]["_css"]
    if (found := code.count("export default ")) != 1:
        raise ValueError(f"{words}: a widget's code has one default export, this has {found}")
    kind = named(target, "js", "moeWidgets", f"(() => {{\n{code.replace('export default ', 'return ')}\n}})()")
    held = named(target, "js", "moeStates", json.dumps({"state": state, "buffers": buffers}))
    style = digest(css) + ".css"
    (target / style).write_text(css, encoding="utf-8")
    still = still or (
        f'<p class="moe-note">{escape(words)}</p>'
        "<noscript><p>What moves here is drawn by JavaScript, which is off.</p></noscript>"
    )
    link = " data-link" if state.get("options", {}).get("link") else ""
    return f'<div class="moe-late" data-code="{kind}" data-state="{held}" data-style="{style}"{link}>{still}</div>'


def named(target: Path, ending: str, table: str, value: str) -> str:
    """Write a script that sets ``window.<table>[name]`` to a JavaScript value. Returns the script's name."""
    name = digest(value)
    text = f"(window.{table} ??= {{}})[{json.dumps(name)}] = {value};\n"
    (target / f"{name}.{ending}").write_text(text, encoding="utf-8")
    return name


def picture(found: re.Match, target: Path) -> str:
    """Move an inline picture into a file that is loaded lazily, unless it is small. Returns the new attributes."""
    if len(found["code"]) < IN_PAGE:
        return found[0]
    content = base64.b64decode(found["code"])
    name = f"{hashlib.sha256(content).hexdigest()[:16]}.webp"
    with Image.open(io.BytesIO(content)) as drawn:
        width, height = drawn.size  # reserves its space on the page
        if not (target / name).exists():
            drawn.save(target / name, lossless=True)  # a third of the PNG's size
    lazy = ' loading="lazy"' if found["name"] == "src" else ""
    return f'{found["name"]}="_static/{FOLDER}/{name}" width="{width}" height="{height}"{lazy}'


def digest(text: str) -> str:
    """A digest of a text, used as a file name."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
