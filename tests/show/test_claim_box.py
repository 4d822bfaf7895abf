import os
import subprocess
import sys

import pytest

from moe_tutorial.show.claim_box import box, present, ticks
from moe_tutorial.study.claim_lines import Claim

LINE = (
    "✓ claim 04.3 holds: Silence <b> | measured 0.100 [0.050, 0.150] | ○ control (two picked) 1.734 [1.600, 1.868] "
    "| 10 seeds | ✗ refutes: It only rescales"
)


def test_a_box_says_all_that_the_line_says_with_mark_and_word():
    html = box(Claim.read(LINE))
    for part in (
        "✓",
        "Claim 04.3 holds",
        "10 seeds",
        "Silence &lt;b&gt;",
        "0.100",
        "0.050 to 0.150",
        "○ control: two picked",
    ):
        assert part in html
    assert "<s>It only rescales</s>" in html
    assert "<b>" not in html.split("<h3>")[1].split("</h3>")[0]


def test_a_time_that_is_another_machines_is_no_failure():
    html = box(Claim.read("– claim 09.4 not on this machine: It is fast | measured here 1.02 [0.97, 1.07] | 4 runs"))
    assert "Claim 09.4 not on this machine" in html
    assert "4 runs, timed on the machine that ran this page" in html
    assert 'class="moe-claim elsewhere"' in html
    assert "✗" not in html


def test_a_claim_without_control_or_interval_has_no_chart():
    html = box(Claim.read("✓ claim 02.1 holds: It is so | measured 1.000"))
    assert "moe-claim-chart" not in html
    assert "one measurement" in html


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.734), (-0.067, 0.203), (0.4999, 0.5001), (0.0, 5e-16), (3.0, 3.0)])
def test_ticks_enclose_the_figures_and_are_few(low, high):
    marks = ticks(low, high)
    assert marks[0] <= low
    assert high <= marks[-1]
    assert 2 <= len(marks) <= 7
    assert len(set(marks)) == len(marks)


def test_in_a_notebook_the_text_of_a_claim_stays_its_line(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    present(LINE)
    assert shown[0]["text/plain"] == LINE
    assert "Claim 04.3 holds" in shown[0]["text/html"]


@pytest.mark.parametrize(("session", "boxed"), [("lesson.ipynb", True), (None, False)])
def test_only_jupyterlab_gets_boxes(session, boxed):
    environment = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    if session:
        environment["JPY_SESSION_NAME"] = session
    code = "import moe_tutorial.show; from moe_tutorial.study import claims; print(claims.present is not print)"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(boxed)
