"""Quizzes: every lesson's questions are whole, and their answers do not stand in the page for all to see."""

import json
from base64 import b64decode
from collections import Counter
from pathlib import Path

import pytest

from moe_tutorial.course import quiz, score_card
from moe_tutorial.course.quizzes import questions

KINDS = {"choose", "number", "order", "match"}
QUIZZES = sorted(file.stem for file in Path(questions.__file__).parent.glob("*.json"))


def sealed(question):
    return json.loads(b64decode(question["sealed"]))


@pytest.mark.parametrize("id", QUIZZES)
def test_a_quiz_has_three_to_five_questions_of_several_kinds_each_with_its_own_id(id):
    asked = questions.load(id)
    assert 3 <= len(asked) <= 5
    assert len({each["id"] for each in asked}) == len(asked)
    assert len({each["kind"] for each in asked} & KINDS) >= 2
    for each in asked:
        assert "?" in each["ask"]
        assert len(each["why"]) > 20


@pytest.mark.parametrize("id", QUIZZES)
def test_every_wrong_answer_has_an_explanation_of_its_own(id):
    for each in questions.load(id):
        match each["kind"]:
            case "choose":
                said = list(each["choices"].values())
                assert said.count("") == 1, each["id"]
                assert len(said) >= 3
                said.remove("")
            case "number":
                said = [*dict(each["traps"]).values(), each["otherwise"]]
                assert each["traps"], each["id"]
                for trap, _ in each["traps"]:
                    assert abs(trap - each["answer"]) > 2 * each["tolerance"], (each["id"], trap)
            case "order":
                *said, last = each["items"].values()
                assert last == ""
                assert sorted(each["items"]) != list(each["items"]), f"{each['id']} is offered in its right order"
            case "match":
                said = [said for _, _, said in each["pairs"]]
                assert len({right for _, right, _ in each["pairs"]}) >= 2
        assert all(len(words) > 20 for words in said), (each["id"], said)
        assert len(set(said)) == len(said), each["id"]


def test_the_right_answers_are_not_all_in_one_place():
    places = Counter(
        list(each["choices"].values()).index("") for id in QUIZZES for each in questions.load(id) if "choices" in each
    )
    assert max(places.values()) <= 0.6 * sum(places.values()), places


@pytest.mark.parametrize("id", QUIZZES)
def test_what_tells_the_answer_is_sealed(id):
    for given, shown in zip(questions.load(id), quiz(id).questions, strict=True):
        open_ = {name: value for name, value in shown.items() if name != "sealed"}
        assert set(open_) <= {"id", "kind", "label", "ask", "texts", "left", "unit"}
        assert given["why"] not in json.dumps(open_)
        assert sealed(shown)["why"] == given["why"]
    assert given["why"] not in quiz(id)._repr_mimebundle_()[0]["text/html"]


def test_a_score_card_has_the_answers_of_the_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert score_card().stored == {}
    answers = {"guess": {"03.order": {"said": "a little"}}, "exercise": {}}
    (tmp_path / "progress.json").write_text(json.dumps(answers))
    card = score_card()
    assert card.stored == answers
    quiz("03").stored = {"of": 4, "right": [], "tries": {}}
    assert card.stored == answers | {"quiz": {"03": {"of": 4, "right": [], "tries": {}}}}


def test_without_a_workspace_a_score_card_follows_what_the_kernel_keeps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = score_card()
    for right in ([], ["one"]):
        quiz("03").stored = {"of": 4, "right": right, "tries": {}}
        assert card.stored["quiz"]["03"]["right"] == right
