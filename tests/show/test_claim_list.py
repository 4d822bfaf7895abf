"""The claims of all lessons, read from what their notebooks store."""

import json

import pytest

from moe_tutorial.show.widgets.claim_list import show_claims, stored, summary
from moe_tutorial.study.claims import read_claims

LINES = """✓ claim 02.1 holds: So | measured 1.000
✓ claim 02.2 holds: More | measured 0.120 [0.110, 0.140] | ○ control (dice) 0 | 10 seeds | ✗ refutes: Less
✓ claim 02.3 holds: Most | measured 0.120 [0.110, 0.140] | 60 seeds
– claim 02.4 not on this machine: Fast | measured here 1.020 [0.970, 1.070] | 4 runs"""


@pytest.fixture
def lessons(tmp_path):
    """A lesson run by `make reference`, which stores streams, and one saved in JupyterLab, with what it showed."""
    streams = [{"output_type": "stream", "name": "stdout", "text": [f"before\n{LINES}\n", "after\n"]}]
    shown = [{"output_type": "display_data", "data": {"text/plain": ["✓ claim 03.1 holds: Shown | measured 1.000"]}}]
    for name, outputs in {"02_experts": streams, "03_router": shown, "04_training": []}.items():
        title = {"cell_type": "markdown", "source": [f"# On {name}\n", "\n", "25 minutes."]}
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
    html = summary(read_claims(LINES))
    for figure, words in (
        ("3 of 4", "claims hold here"),
        ("10 to 60", "random seeds behind each of the 2 experiments"),
        ("1", "refute a popular belief"),
        ("1", "depend on the machine, as times do"),
    ):
        assert f"<b>{figure}</b> <span>{words}</span>" in html


def test_a_notebook_shows_every_claim_below_its_lesson(lessons, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    show_claims(str(lessons))
    html = shown[0]["text/html"]
    assert html.count('<section class="moe-claim ') == 5
    assert '<h2><a href="03_router.ipynb">03 On 03_router</a></h2>' in html
    assert shown[0]["text/plain"].splitlines() == [*LINES.splitlines(), "✓ claim 03.1 holds: Shown | measured 1.000"]
