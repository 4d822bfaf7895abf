import os
import re
import subprocess
import sys

import pytest

from moe_tutorial.show.claim_box import Axis, box, display_box
from moe_tutorial.study.claims import Claim

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
    marks = Axis([low, high]).ticks
    assert marks[0] <= low
    assert high <= marks[-1]
    assert 2 <= len(marks) <= 7
    assert len(set(marks)) == len(marks)


def test_a_rule_is_said_and_its_threshold_is_drawn():
    line = LINE.replace("| 10 seeds |", "| 10 seeds | quantity: gradient <g> (of the loss) | rule: mean < 0.5 |")
    html = box(Claim.read(line))
    assert "gradient &lt;g&gt;, of the loss" in html
    assert html.count('class="threshold"') == 3  # through what was measured, the control, and the rule's own row
    assert "holds where: mean &lt; 0.5" in html
    threshold = re.search(r'class="threshold" x1="([\d.]+)%"', html)[1]
    allowed = re.search(r'class="allowed" x1="([\d.]+)%" x2="([\d.]+)%"', html)
    assert (allowed[1], allowed[2]) == ("3.00", threshold)
    assert '<th scope="row">holds where</th><td colspan="2">mean &lt; 0.5</td>' in html
    for without in (LINE, LINE.replace("| 10 seeds |", "| 10 seeds | quantity: gradient |")):
        assert "threshold" not in box(Claim.read(without))


def test_a_threshold_is_drawn_for_one_number_too():
    html = box(Claim.read("✓ claim 02.1 holds: It is so | measured 1.000 | rule: mean between 0.5 and 2"))
    assert html.count('class="threshold"') == 4


def test_in_a_notebook_the_text_of_a_claim_stays_its_line(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    display_box(Claim.read(LINE))
    assert shown[0]["text/plain"] == LINE
    assert "Claim 04.3 holds" in shown[0]["text/html"]


@pytest.mark.parametrize(("session", "boxed"), [("lesson.ipynb", True), (None, False)])
def test_only_jupyterlab_gets_boxes(session, boxed):
    environment = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    if session:
        environment["JPY_SESSION_NAME"] = session
    code = "import moe_tutorial.show; from moe_tutorial.study import claim; claim('99.1', 'So', 1.0, holds=True)"
    run = subprocess.run([sys.executable, "-X", "utf8", "-c", code], env=environment, capture_output=True, check=True)
    printed = run.stdout.decode()
    assert "✓ claim 99.1 holds: So | measured 1.000" in printed
    assert ("text/html" in printed) == boxed
