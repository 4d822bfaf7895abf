"""The claims of all lessons, read from what their notebooks store."""

import json

import pytest

from moe_tutorial.show.widgets.claim_list import stored, summary
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.estimates import Figure

SOME = Figure.read("0.120 [0.110, 0.140]")
CLAIMS = [
    Claim("02.1", "So", Figure.read("1.000"), holds=True),
    Claim("02.2", "More", SOME, True, control=Figure.read("0"), control_is="dice", n_seeds=10, refutes="Less"),
    Claim("02.3", "Most", SOME, holds=True, n_seeds=60),
    Claim("02.4", "Fast", Figure.read("1.020 [0.970, 1.070]"), holds=False, n_seeds=4, timed=True),
]
SHOWN = Claim("03.1", "Shown", Figure.read("1.000"), holds=True)


def displayed(claim):
    """A claim as a saved notebook has it."""
    data, metadata = claim._repr_mimebundle_()
    return {"output_type": "display_data", "data": {"text/plain": [data["text/plain"]]}, "metadata": metadata}


@pytest.fixture
def lessons(tmp_path):
    """A lesson that prints something between its claims, one that has only a claim, and one that claims nothing."""
    text = {"output_type": "stream", "name": "stdout", "text": ["before\n", "after\n"]}
    several = [displayed(CLAIMS[0]), text, *map(displayed, CLAIMS[1:])]
    for name, outputs in {"02_experts": several, "03_router": [displayed(SHOWN)], "04_training": [text]}.items():
        title = {"cell_type": "markdown", "source": [f"# {name[:2]} On {name}\n", "\n", "25 minutes."]}
        cells = [title, {"cell_type": "code", "source": [], "outputs": outputs}]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return tmp_path


def test_what_the_lessons_store_is_found_in_their_order(lessons):
    found = stored(lessons)
    assert [(lesson.title, lesson.address) for lesson in found] == [
        ("02 On 02_experts", "02_experts.ipynb"),
        ("03 On 03_router", "03_router.ipynb"),
    ]
    assert [claim.id for lesson in found for claim in lesson.claims] == ["02.1", "02.2", "02.3", "02.4", "03.1"]


def test_a_folder_without_claims_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no lesson in .* stores a claim"):
        stored(tmp_path)


def test_the_summary_counts_the_claims():
    html = summary(CLAIMS)
    for figure, words in (
        ("3 of 4", "claims hold here"),
        ("10 to 60", "random seeds behind each of the 2 experiments"),
        ("1", "refute a popular belief"),
        ("1", "depend on the machine, as times do"),
    ):
        assert f"<b>{figure}</b> <span>{words}</span>" in html
