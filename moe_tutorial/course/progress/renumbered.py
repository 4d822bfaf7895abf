"""Where the pages, claims, guesses and quizzes of lessons 09 to 12 of version 0.1 are now, in lessons 09 to 14.

Ids have been permanent since. No old id of a guess or a question is also a new one, so an answer that has already
moved stays where it is.
"""

import json
from pathlib import Path
from typing import Any

LESSONS = {
    "09_where_it_pays": ["09_modern_moe", "10_edge", "11_scale"],
    "10_fff_trees": ["12_fff_trees"],
    "11_fff_vs_moe": ["13_fff_vs_moe"],
    "12_capstone": ["14_capstone"],
}
CLAIMS = {  # lesson -> the old ids of its claims, all of lesson 09; in other lessons, only the lesson's number changed
    "10": ["09.4", "09.5", "09.3", "09.19", "09.6", "09.9", "09.10", "09.7", "09.8"],
    "11": ["09.11", "09.12", "09.13", "09.14", "09.15", "09.16", "09.17", "09.18"],
}
# Shared with show/web/moved.js. "guess": old id -> new id; "quiz": old quiz -> question -> new quiz; "of": quiz -> its
# number of questions.
ANSWERS = json.loads((Path(__file__).parents[2] / "show/web/ask/moved.json").read_text(encoding="utf-8"))


def answers_moved(stored: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A learner's progress with each answer under its present id."""
    moved = dict(stored)
    if "guess" in stored:
        moved["guess"] = {ANSWERS["guess"].get(id, id): value for id, value in stored["guess"].items()}
    if "quiz" in stored:
        moved["quiz"] = {}
        for id, value in stored["quiz"].items():
            if not isinstance(value, dict):  # edited by hand
                moved["quiz"][id] = value
                continue
            for question, tries in value["tries"].items():
                place = ANSWERS["quiz"].get(id, {}).get(question, id)
                new = {"of": ANSWERS["of"].get(place, value["of"]), "tries": {}, "right": []}
                quiz = moved["quiz"].setdefault(place, new)
                quiz["tries"][question] = tries
                quiz["right"] += [question] if question in value["right"] else []
    return moved
