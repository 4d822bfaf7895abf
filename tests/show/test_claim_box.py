import os
import re
import subprocess
import sys

import pytest

from moe_tutorial.show.widgets.claim_box import Axis, box, display_box
from moe_tutorial.study.claims import Claim

LINE = (
    "✓ claim 04.3 holds: Silence <b> | measured 0.100 [0.050, 0.150] | ○ control (two picked) 1.734 [1.600, 1.868] "
    "| 10 seeds | ✗ refutes: It only rescales"
)


def folded(html):
    return html.split("<summary>")[1].split("</summary>")[0]


def test_a_row_says_all_that_the_line_says_with_mark_and_word():
    html = box(Claim.read(LINE))
    assert '<b><span aria-hidden="true">✓</span> holds</b> <span>04.3</span>' in html
    row, rest = folded(html), html.split("</summary>")[1]
    for part in ("Silence &lt;b&gt;", "<b>0.10</b>", "0.05 to 0.15", "✗ refuted:", "<s>It only rescales</s>"):
        assert part in row
    for part in ("10 seeds", "control: two picked", ">1.7<", "1.6 to 1.9"):
        assert part in rest
    assert "<b>" not in html.split("<h3>")[1].split("</h3>")[0]


def test_what_is_written_in_a_claim_never_becomes_html():
    line = "✓ claim 04.3 holds: {0} | measured 1.000 | ○ control ({0}) 2.000 | quantity: {0} ({0}) | ✗ refutes: {0}"
    html = box(Claim.read(line.format("<i>&\"'")))
    assert "<i>" not in html
    assert html.count("&lt;i&gt;&amp;&quot;&#x27;") == 6  # the unit stands in the row and in the table


def test_a_figure_of_another_machine_is_no_failure():
    html = box(Claim.read("– claim 09.4 not on this machine: It is fast | measured here 1.02 [0.97, 1.07] | 4 runs"))
    assert "–</span> not on this machine</b> <span>09.4</span>" in html
    assert "4 runs, on the machine that measured it" in html
    assert 'class="moe-claim elsewhere timed"' in html
    assert "✗" not in html
    held = box(Claim.read("✓ claim 09.4 holds: It is fast | measured here 1.02 [0.97, 1.07] | 4 runs"))
    assert 'class="moe-claim holds timed"' in held
    assert "✓</span> holds</b>" in held


def test_the_control_has_a_hollow_mark_below_what_was_measured():
    marks = dict(re.findall(r'<g class="(\w+)">.*?<circle cx="[\d.]+%" cy="(\d+)%"', folded(box(Claim.read(LINE)))))
    assert list(marks) == ["measured", "control"]
    assert int(marks["measured"]) < int(marks["control"])
    interval = r'"interval" x1="([\d.]+)%" x2="([\d.]+)%".*?cx="([\d.]+)%"'
    low, high, mean = map(float, re.search(interval, box(Claim.read(LINE))).groups())
    assert low < mean < high
    assert "<svg" not in box(Claim.read("✓ claim 02.1 holds: It is so | measured 1.000"))
    alone = folded(box(Claim.read("✓ claim 02.1 holds: So | measured 0.100 [0.050, 0.150] | 10 seeds")))
    assert '"control"' not in alone
    assert 'cy="50%"' in alone


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.734), (-0.067, 0.203), (0.4999, 0.5001), (0.0, 5e-16), (3.0, 3.0)])
def test_ticks_enclose_the_figures_and_are_few(low, high):
    marks = Axis([low, high]).ticks
    assert marks[0] <= low
    assert high <= marks[-1]
    assert 2 <= len(marks) <= 5
    assert len(set(marks)) == len(marks)


def test_a_rule_is_said_and_its_threshold_is_drawn():
    line = LINE.replace("| 10 seeds |", "| 10 seeds | quantity: gradient <g> (of the loss) | rule: mean < 0.5 |")
    html = box(Claim.read(line))
    assert "gradient &lt;g&gt;" not in folded(html)  # it would make the row high; the table has it
    assert "<th>gradient &lt;g&gt; (of the loss)</th>" in html
    assert "<b>0.10</b> of the loss <small>0.05 to 0.15" in folded(html)
    assert html.count('class="threshold"') == 1
    threshold = re.search(r'class="threshold" x1="([\d.]+)%"', html)[1]
    allowed = re.search(r'class="allowed" x1="([\d.]+)%" x2="([\d.]+)%"', html)
    assert (allowed[1], allowed[2]) == ("6.00", threshold)
    assert 'holds where</th><td colspan="2">mean &lt; 0.5</td>' in html
    two = box(Claim.read("✓ claim 02.1 holds: It is so | measured 1.000 | rule: mean between 0.5 and 2"))
    assert two.count('class="threshold"') == 2
    for without in (LINE, LINE.replace("| 10 seeds |", "| 10 seeds | quantity: gradient |")):
        assert "threshold" not in box(Claim.read(without))


def test_the_number_leads_to_an_address_where_there_is_one():
    html = box(Claim.read(LINE), address="#claim-04-3", link="<a>there</a>")
    assert '<a href="#claim-04-3">04.3</a>' in html
    assert 'id="claim-04-3"' in html
    assert "10 seeds <a>there</a>" in html


def test_in_a_notebook_the_text_of_a_claim_stays_its_line(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    display_box(Claim.read(LINE))
    assert shown[0]["text/plain"] == LINE
    assert "holds</b> <span>04.3" in shown[0]["text/html"]


def test_a_claim_that_fails_says_why_below_its_row(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    display_box(Claim.read(LINE.replace("✓", "✗").replace("holds", "fails")))
    assert shown[0]["text/html"].endswith("the rule says no to what was measured. The lesson goes on.</p>")


def test_jupyterlab_gets_boxes():
    code = "import moe_tutorial.show; from moe_tutorial.study import claim; claim('99.1', 'So', 1.0, holds=True)"
    environment = os.environ | {"JPY_SESSION_NAME": "lesson.ipynb"}
    run = subprocess.run([sys.executable, "-X", "utf8", "-c", code], env=environment, capture_output=True, check=True)
    printed = run.stdout.decode()
    assert "✓ claim 99.1 holds: So | measured 1.000" in printed
    assert "text/html" in printed
