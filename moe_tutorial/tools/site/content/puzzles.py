"""An exercise as a puzzle for readers without a kernel: its lines to put in order, or its last line to choose."""

import base64
import json
from pathlib import Path
from random import Random
from typing import Any

from docutils import nodes

from moe_tutorial.course.exercises import EXERCISES, SHORT, Exercise
from moe_tutorial.show.web import bundle, style
from moe_tutorial.tools.site.content.lazy_assets import FOLDER, notice, place


def puzzle(exercise: Exercise) -> dict[str, Any]:
    """What the widget ``show/web/ask/puzzle.js`` shows. Its lines are shuffled, always in the same way."""
    head, lines, foot = exercise.parts
    is_short = len(lines) <= SHORT
    if is_short:
        head, lines = "\n".join([head, *(f"    {text}" for text, _ in lines[:-1])]), lines[-1:]
    texts = [*(text for text, _ in lines), *exercise.puzzle]
    Random(exercise.id).shuffle(texts)
    solution = {"lines": lines, "wrong": exercise.puzzle, "swaps": exercise.swaps}
    sealed = base64.b64encode(json.dumps(solution).encode()).decode()
    indent = ", indent by ⇥," * any(text.endswith(":") for text in texts)
    asks = "Choose the missing line" if is_short else f"Put the lines in order by ≡{indent} and leave out two by ×"
    return {"label": asks, "head": head, "foot": foot, "texts": texts, "sealed": sealed, "choose": is_short}


def widget(id: str, root: Path) -> nodes.raw:
    """The puzzle of an exercise as a widget that the page loads when it comes near."""
    state = {"kind": "exercise", "id": id, "place": "browser", "puzzle": puzzle(EXERCISES[id])}
    code = {"_esm": bundle("web/ask/puzzle.js"), "_css": style("web/ask/ask.css")}
    model = {"model_module": "anywidget", "state": state | code}
    html = place(model, notice("A puzzle: lines to put in order"), root / "_build/assets" / FOLDER)
    return nodes.raw("", html, format="html")
