import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from moe_tutorial.show.widgets.claim_box import Axis, box, in_notebook
from moe_tutorial.study import below, between
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.estimates import Figure

CLAIM = Claim(
    "04.3",
    "Silence <b>",
    Figure.read("0.100 [0.050, 0.150]"),
    holds=True,
    control=Figure.read("1.734 [1.600, 1.868]"),
    control_is="two picked",
    n_seeds=10,
    refutes="It only rescales",
)
ONE = Claim("02.1", "It is so", Figure.read("1.000"), holds=True)


def folded(html):
    return html.split("<summary>")[1].split("</summary>")[0]


def test_a_row_says_all_that_the_line_says_with_mark_and_word():
    html = box(CLAIM)
    assert '<b><span aria-hidden="true">✓</span> holds</b> <span>04.3</span>' in html
    row, rest = folded(html), html.split("</summary>")[1]
    for part in ("Silence &lt;b&gt;", "<b>0.10</b>", "0.05 to 0.15", "✗ refuted:", "<s>It only rescales</s>"):
        assert part in row
    for part in ("10 seeds", "control: two picked", ">1.7<", "1.6 to 1.9"):
        assert part in rest
    assert "<b>" not in html.split("<h3>")[1].split("</h3>")[0]


def test_what_is_written_in_a_claim_never_becomes_html():
    odd = "<i>&\"'"
    html = box(replace(CLAIM, statement=odd, control_is=odd, quantity=f"{odd} ({odd})", refutes=odd))
    assert "<i>" not in html
    assert html.count("&lt;i&gt;&amp;&quot;&#x27;") == 8  # the quantity and the control twice


def test_a_figure_of_another_machine_is_no_failure():
    time = Claim("09.4", "It is fast", Figure.read("1.02 [0.97, 1.07]"), holds=False, n_seeds=4, timed=True)
    html = box(time)
    assert "–</span> not on this machine</b> <span>09.4</span>" in html
    assert "4 runs, on the machine that measured it" in html
    assert 'class="moe-claim elsewhere timed"' in html
    assert "✗" not in html
    held = box(replace(time, holds=True))
    assert 'class="moe-claim holds timed"' in held
    assert "✓</span> holds</b>" in held


def test_the_mean_stands_in_its_interval_and_a_number_alone_has_no_axis():
    interval = r'"interval" x1="([\d.]+)%" x2="([\d.]+)%".*?cx="([\d.]+)%"'
    low, high, mean = map(float, re.search(interval, box(CLAIM)).groups())
    assert low < mean < high
    assert "<svg" not in box(ONE)
    assert ['class="control"' in box(claim) for claim in (CLAIM, replace(CLAIM, control=None))] == [True, False]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.734), (-0.067, 0.203), (0.4999, 0.5001), (0.0, 5e-16), (3.0, 3.0)])
def test_ticks_enclose_the_figures_and_are_few(low, high):
    marks = Axis([low, high]).ticks
    assert marks[0] <= low
    assert high <= marks[-1]
    assert 2 <= len(marks) <= 5
    assert len(set(marks)) == len(marks)


def test_a_rule_is_said_and_its_thresholds_are_drawn():
    html = box(replace(CLAIM, quantity="gradient <g> (of the loss)", rule=below(0.5)))
    keys = '●</span>&nbsp;gradient &lt;g&gt;<br><span aria-hidden="true">○</span>&nbsp;control: two picked</span>'
    assert keys in folded(html)
    assert "<th>gradient &lt;g&gt; (of the loss)</th>" in html
    assert "<b>0.10</b> of the loss <small>0.05 to 0.15" in folded(html)
    assert 'holds where</th><td colspan="2">mean &lt; 0.5</td>' in html
    both_sides = box(replace(ONE, rule=between(0.5, 2)))
    assert [shown.count('class="threshold"') for shown in (html, both_sides, box(CLAIM))] == [1, 2, 0]


def test_a_claim_that_fails_says_why_below_its_row():
    fails = replace(CLAIM, holds=False)
    assert in_notebook(fails).endswith("the rule says no to what was measured. The lesson goes on.</p>")
    assert "The lesson goes on" not in in_notebook(CLAIM)


def test_jupyterlab_gets_the_line_its_data_and_a_row():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "import moe_tutorial.show\n"
        "from moe_tutorial.study import claim\n"
        "from moe_tutorial.study.claims import read_claims\n"
        "shell.display_pub.publish = lambda data, metadata, **_: shown.append((data, metadata))\n"
        "shown = []\n"
        "claim('99.1', 'So', 1.0, holds=False)\n"
        "(data, metadata), = shown\n"
        "print(data['text/plain'], data['text/html'][-60:], sep='\\n')\n"
        "print(read_claims([{'data': data, 'metadata': metadata}])[0].verdict)"
    )
    environment = os.environ | {"JPY_SESSION_NAME": "lesson.ipynb"}
    run = subprocess.run([sys.executable, "-X", "utf8", "-c", code], env=environment, capture_output=True, check=True)
    line, html, verdict = run.stdout.decode().splitlines()
    assert line == "✗ claim 99.1 fails: So | measured 1.000"
    assert html.endswith("The lesson goes on.</p>")
    assert verdict == "fails"
