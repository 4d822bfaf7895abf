"""``quiz("03")``: the questions near the end of a lesson, from ``quizzes/03.json``.

A question has a permanent ``id``, a ``kind``, its text ``ask``, and ``why``, which explains the right answer. Each kind
has further fields:

- *choose*: ``choices``, the text of each choice with the reply to it; the right choice's reply is ``""``.
- *number*: ``answer``, ``tolerance`` and ``unit``; ``traps``, pairs of a wrong number and the reply to it; and
  ``otherwise``, the reply to any other wrong number.
- *order*: ``items`` in their right order, each but the last with the reason why it precedes the next.
- *match*: ``pairs``, each of a left side, its right side, and the reply to a wrong right side.

The answers go to the page in base64, which hinders peeking, not cheating.
"""

import json
from base64 import b64encode
from importlib.resources import files
from typing import Any

import traitlets as t

from moe_tutorial.course.guesses import NO_SCRIPT
from moe_tutorial.course.progress.storage import StoredAnswer, prose
from moe_tutorial.show.web import bundle

FOLDER = files(__package__)


class Quiz(StoredAnswer):
    """The widget behind `quiz`."""

    _esm = bundle("web/ask/quiz.js")
    questions = t.List().tag(sync=True)  # each as returned by `question`, with its label

    def __repr__(self) -> str:
        return f"Quiz {self.id}: {' · '.join(each['ask'] for each in self.questions)}"

    def page(self) -> str:
        """The questions and the possible answers as HTML, without the right answers."""
        parts = []
        for each in self.questions:
            items = "".join(f"<li>{prose(text)}</li>" for text in each.get("left") or each.get("texts", []))
            below = f"<ul>{items}</ul>" if items else ""
            if "left" in each:
                below += f"<p>To each belongs one of: {prose('; '.join(each['texts']))}.</p>"
            parts.append(
                f'<section class="moe-ask"><p class="moe-label">{each["label"]}</p>'
                f'<p class="moe-question">{prose(each["ask"])}</p>{below}</section>'
            )
        return "".join(parts) + NO_SCRIPT


def quiz(id: str) -> Quiz:
    """Ask three to five questions on a lesson, such as ``quiz("03")``. Each answer gets a reply at once."""
    asked = load(id)
    questions = [question(each) | {"label": f"Question {n} of {len(asked)}"} for n, each in enumerate(asked, 1)]
    return Quiz("quiz", id, questions=questions)


def load(id: str) -> list[dict[str, Any]]:
    """A lesson's questions as they stand in its file."""
    return json.loads(FOLDER.joinpath(f"{id}.json").read_text(encoding="utf-8"))


def question(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a question that the page shows, and ``sealed``, its answer in base64."""
    shown = {name: given[name] for name in ("id", "kind", "ask")}
    match given["kind"]:
        case "choose":
            shown |= {"texts": list(given["choices"])}
            sealed = {"right": [not said for said in given["choices"].values()].index(True)}
            sealed |= {"said": list(given["choices"].values())}
        case "number":
            shown |= {"unit": given["unit"]}
            sealed = {name: given[name] for name in ("answer", "tolerance", "traps", "otherwise")}
        case "order":
            items = list(given["items"])
            shown |= {"texts": sorted(items)}
            sealed = {"right": items, "said": list(given["items"].values())}
        case "match":
            left, right, said = zip(*given["pairs"], strict=True)
            shown |= {"left": list(left), "texts": sorted(set(right))}
            sealed = {"right": list(right), "said": list(said)}
    text = json.dumps(sealed | {"why": given["why"]})
    return shown | {"sealed": b64encode(text.encode()).decode()}
