"""Lessons 09 to 12 became 09 to 14: what was answered before is under its present id."""

import json

from moe_tutorial.course.lesson import Lesson
from moe_tutorial.course.progress.file import Progress
from moe_tutorial.course.progress.renumbered import ANSWERS, CLAIMS, LESSONS, answers_moved
from moe_tutorial.course.quizzes import questions


def quiz(of, *right, wrong=()):
    return {"of": of, "tries": dict.fromkeys([*right, *wrong], 1), "right": list(right)}


BEFORE = {
    "exercise": {"03.top_k": {"solved": True}},
    "guess": {"03.order": {"said": "a little"}, "09.sixteen": {"said": 3}, "10.hard": {"said": 5}},
    "quiz": {
        "03": quiz(5, "shift"),
        "09": quiz(5, "active", "two", "room", wrong=["memory"]),
        "10": quiz(5, "leaf", wrong=["gap"]),
    },
}
AFTER = {
    "exercise": {"03.top_k": {"solved": True}},
    "guess": {"03.order": {"said": "a little"}, "10.sixteen": {"said": 3}, "12.hard": {"said": 5}},
    "quiz": {
        "03": quiz(5, "shift"),
        "09": quiz(5, "active"),
        "10": quiz(3, "two", wrong=["memory"]),
        "11": quiz(3, "room"),
        "12": quiz(5, "leaf", wrong=["gap"]),
    },
}


def test_the_table_is_what_the_lessons_have(root):
    lessons = [Lesson.read(root / f"notebooks/{name}.py") for new in LESSONS.values() for name in new]
    guesses = {id for lesson in lessons for id in lesson.asked["guess"]}
    assert guesses >= set(ANSWERS["guess"].values())
    asked = {id: {each["id"] for each in questions.load(id)} for id in questions.known()}
    for old, places in ANSWERS["quiz"].items():
        for question, new in places.items():
            assert question in asked[new]
            assert question not in asked[old], "what is in its new place would move again"
    assert {id: len(asked[id]) for id in ANSWERS["of"]} == ANSWERS["of"]
    claims = {id for lesson in lessons for cell in lesson.cells for id in cell.ids("claim")}
    for lesson, moved in CLAIMS.items():
        there = {id for id in claims if id.startswith(f"{lesson}.")}
        assert there == {f"{lesson}.{number}" for number in range(1, len(moved) + 1)}


def test_what_was_answered_moves_once():
    assert answers_moved(BEFORE) == AFTER
    assert answers_moved(AFTER) == AFTER
    assert answers_moved({}) == {}


def test_a_workspace_keeps_what_was_answered_before_and_what_is_answered_now(tmp_path):
    file = Progress(tmp_path / "progress.json")
    file.write(BEFORE)
    assert file.read() == AFTER
    file.put("quiz", "10", quiz(3, "two", "reads"))
    assert json.loads(file.file.read_text()) == AFTER | {"quiz": AFTER["quiz"] | {"10": quiz(3, "two", "reads")}}
