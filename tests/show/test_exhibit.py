import re

import numpy as np
import pytest

from moe_tutorial.show import exhibit
from moe_tutorial.study import above, below, in_every_seed


def wrong(x):
    y = x - 1  # <b>
    return y


def right(x):
    y = x + 1
    return y


def number(version, seed):
    return float(version(seed + 1))


def curve(version, seed):
    return {f"{x} tokens": float(version(x)) for x in (1, 3)}


def test_an_exhibit_shows_both_versions_the_lines_that_differ_and_both_numbers(monkeypatch):
    monkeypatch.setenv("MOE_SEED", "0")
    shown = exhibit(wrong, right, number, "What <i>it</i> gives", above(1))
    marked = [re.sub("<[^>]+>", "", line) for line in re.findall("<mark>(.*?)</mark>", shown.html)]
    assert marked == ["    y = x - 1  # &lt;b&gt;", "    y = x + 1"]
    assert shown.html.count('type="radio"') == 2
    assert shown.html.count(" checked>") == 1
    assert re.findall("<b>(.*?)</b>", shown.html) == ["0", "2", "0", "2"]  # both below each
    assert "<i>it</i>" not in shown.html


def test_a_curve_is_shown_for_its_version_alone():
    shown = exhibit(wrong, right, curve, "Sum", in_every_seed(above(1)))
    assert re.findall("<b>(.*?)</b>", shown.html) == ["0", "2", "2", "4"]


def test_a_number_that_is_none_fails_every_rule_and_has_no_bar():
    shown = exhibit(lambda x: np.nan, right, lambda version, seed: version(0), "Sum", below(2))
    assert "<b>NaN</b>" in shown.html


@pytest.mark.parametrize(
    ("versions", "says"),
    [((wrong, wrong), r"Sum, mended, is \[0.0, 2.0\]; must hold"), ((right, right), "as it shipped, .* must not hold")],
)
def test_it_raises_where_the_symptom_is_not_what_it_should_be(versions, says):
    with pytest.raises(AssertionError, match=says):
        exhibit(*versions, curve, "Sum", in_every_seed(above(1)))


def test_two_exhibits_do_not_share_their_switch():
    pages = [exhibit(wrong, right, number, name, above(1)).html for name in ("one", "two")]
    groups = [set(re.findall('name="(moe-[^"]+)"', page)) for page in pages]
    assert [len(group) for group in groups] == [1, 1]
    assert groups[0] != groups[1]
