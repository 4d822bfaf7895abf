"""Move a lesson's widgets and pictures into files that its page loads when they come near the screen; draw its claims.

The site needs no widget manager: ``static/lazy.js`` runs a widget's code on its state. Both are classic scripts,
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
from typing import Any

from bs4 import BeautifulSoup
from nbformat import NotebookNode
from PIL import Image

from moe_tutorial.course.guesses import ID
from moe_tutorial.show.widgets.claim_box import anchor, box
from moe_tutorial.study.claims import read_claims
from moe_tutorial.tools.site.content import plotly

VIEW = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
FOLDER = "late"  # in the pages' _static
PNG = "data:image/png;base64,"
IN_PAGE = 4_000  # base64 characters; a shorter picture is not worth a request
OWN = ("layout", "tabbable", "tooltip")  # traits that every widget has and no page reads


def publish(notebook: NotebookNode, target: Path) -> NotebookNode:
    """A copy of the notebook with claims as rows, and widgets and pictures moved into files in ``target``."""
    page = copy.deepcopy(notebook)
    target.mkdir(parents=True, exist_ok=True)
    states = page.metadata.pop("widgets", {}).get(STATES, {}).get("state", {})
    join_results(page, states)
    for cell in page.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if VIEW in data:
                still = "".join(data.get("text/html", "")) or notice("".join(data.get("text/plain", "")))
                html = place(states[data[VIEW]["model_id"]], still, target)
            elif plotly.MIME in data:
                html = plotly.box(data[plotly.MIME])
            elif claims := read_claims([output]):
                html = box(claims[0], address=f"#{anchor(claims[0])}")
            elif "text/html" in data:
                html = move_pictures("".join(data["text/html"]), target)
            else:
                continue
            output["data"] = NotebookNode({"text/html": html})
    return page


def join_results(page: NotebookNode, states: dict[str, Any]) -> None:
    """Move what ``reveal`` shows into the card of its guess, unless it answers another guess as well."""
    asked = {}
    for cell in page.cells:
        for output in cell.get("outputs", []):
            if VIEW not in output.get("data", {}):
                continue
            state = states[output["data"][VIEW]["model_id"]]["state"]
            if state.get("kind") != "guess":
                continue
            if "measured" not in state:
                asked[state["id"]] = state, output["data"]
            elif not {tag for tag in cell.metadata.get("tags", []) if ID.fullmatch(tag)} - {state["id"]}:
                joined, data = asked[state["id"]]
                joined |= {name: state[name] for name in ("measured", "says")}
                for still in re.findall("<noscript>.*</noscript>", "".join(output["data"]["text/html"]), re.DOTALL):
                    html = "".join(data["text/html"]).replace("</section>", f"{still}</section>")
                    data["text/html"] = html.replace('class="moe-ask"', 'class="moe-ask moe-joined"')  # for veil.js
                cell.outputs.remove(output)


def notice(words: str) -> str:
    """HTML of ``words``, with a notice for readers without JavaScript."""
    off = "<p>What moves here is drawn by JavaScript, which is off.</p>"
    return f'<p class="moe-note">{escape(words)}</p><noscript>{off}</noscript>'


def place(model: dict, still: str, target: Path) -> str:
    """Write a widget's files, and return the HTML of its placeholder, which shows ``still`` until the widget loads."""
    state = {name: value for name, value in model["state"].items() if not name.startswith("_") and name not in OWN}
    buffers = [[buffer["path"], buffer["data"]] for buffer in model.get("buffers", [])]
    code, css = model["state"]["_esm"], model["state"]["_css"]
    kind = named(target, "moeWidgets", f"(() => {{\n{code.replace('export default ', 'return ')}\n}})()")
    held = named(target, "moeStates", json.dumps({"state": state, "buffers": buffers}))
    style = digest(css) + ".css"
    (target / style).write_text(css, encoding="utf-8")
    asked = state.get("options") or state.get("settings") or {}
    link = " data-link" if asked.get("link") else ""
    return f'<div class="moe-late" data-code="{kind}" data-state="{held}" data-style="{style}"{link}>{still}</div>'


def named(target: Path, table: str, value: str) -> str:
    """Write a script that sets ``window.<table>[name]`` to a JavaScript value. Returns the script's name."""
    name = digest(value)
    text = f"(window.{table} ??= {{}})[{json.dumps(name)}] = {value};\n"
    (target / f"{name}.js").write_text(text, encoding="utf-8")
    return name


def move_pictures(html: str, target: Path) -> str:
    """Move the pictures of an output into files that are loaded lazily, except for small ones. Returns the new HTML."""
    output = BeautifulSoup(html, "html.parser")
    for image in output.select(f'img[src^="{PNG}"]'):
        code = image["src"].removeprefix(PNG)
        if len(code) >= IN_PAGE:
            file, image["width"], image["height"] = write_picture(code, target)
            image["src"] = f"_static/{FOLDER}/{file}"
            image["loading"] = "lazy"
    return str(output)


def write_picture(code: str, target: Path) -> tuple[str, int, int]:
    """Write a PNG, given in base64, as a WebP file. Returns the file's name, and the picture's width and height."""
    content = base64.b64decode(code)
    file = target / f"{hashlib.sha256(content).hexdigest()[:16]}.webp"
    with Image.open(io.BytesIO(content)) as picture:
        if not file.exists():
            picture.save(file, lossless=True)  # a third of the PNG's size
        return file.name, picture.width, picture.height


def digest(text: str) -> str:
    """A digest of a text, used as a file name."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
