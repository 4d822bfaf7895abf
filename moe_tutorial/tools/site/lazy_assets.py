"""What a lesson's cells showed becomes files that its page loads when a reader is near: widgets and pictures.

A widget needs no widget manager on the site: ``static/widgets.js`` puts its code to work on its state. Both are classic
scripts, since a page that was opened from a folder may load neither modules nor data.
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
IN_PAGE = 4_000  # characters of a picture that is not worth a request
OWN = ("layout", "tabbable", "tooltip")  # traits that every widget has and no page reads


def publish(notebook: NotebookNode, target: Path) -> NotebookNode:
    """The notebook as its page shows it; the files go into the folder ``target``.

    Raises ValueError for a widget that is no anywidget: nothing here could draw it.
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
    """Where a widget will stand: its files, and what stands there until it comes, and without JavaScript.

    That is ``still``, the widget's own HTML; or else its ``words``, and a notice that it is a picture.
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
    """Write a script that puts a value into a table of the page's, under the script's own name; returns the name."""
    name = digest(value)
    text = f"(window.{table} ??= {{}})[{json.dumps(name)}] = {value};\n"
    (target / f"{name}.{ending}").write_text(text, encoding="utf-8")
    return name


def picture(found: re.Match, target: Path) -> str:
    """A picture in a page's HTML as a file, asked for when it comes near the screen."""
    if len(found["code"]) < IN_PAGE:
        return found[0]
    content = base64.b64decode(found["code"])
    name = f"{hashlib.sha256(content).hexdigest()[:16]}.webp"
    with Image.open(io.BytesIO(content)) as drawn:
        width, height = drawn.size  # the page keeps room in this shape
        if not (target / name).exists():
            drawn.save(target / name, lossless=True)  # every pixel as it was drawn, in a third of the bytes
    lazy = ' loading="lazy"' if found["name"] == "src" else ""
    return f'{found["name"]}="_static/{FOLDER}/{name}" width="{width}" height="{height}"{lazy}'


def digest(text: str) -> str:
    """A name for a text that changes with it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
