"""Texts that Python and JavaScript both write are equal."""

import json
import random
import re

import pytest

from moe_tutorial.course.guesses import with_unit
from moe_tutorial.show.playground import SETTINGS, playground
from moe_tutorial.show.widgets.cards import percent
from moe_tutorial.study.usage import DEAD_BELOW

TRIED = [-1, 0, 1, 2.5, 17, 1e7, True, "", "none", "a", None]


def both(engine, write, call, values):
    """The values as Python and as JavaScript write them."""
    return [write(value) for value in values], engine("run", code=f"return {json.dumps(values)}.map((v) => {call});")


def test_numbers_with_a_unit(engine):
    draw = random.Random(0)
    values = [0, -0.5, 60, 1 / 3, 0.1 + 0.2, 99.5, 1234.5, 1234567.891, 1e-7]
    values += [round(draw.uniform(-1, 1) * 10 ** draw.randrange(9), draw.randrange(9)) for _ in range(400)]
    python, page = both(engine, lambda value: with_unit(value, "points"), 'withUnit(v, "points")', values)
    assert [(one, other) for one, other in zip(python, page, strict=True) if one != other] == []
    assert with_unit(1234.5, "") == "1,234.5"


def test_shares(engine):
    draw = random.Random(0)
    values = [i / n for n in (1, 3, 7, 8, 16, 32, 64, 1000) for i in range(n + 1)]
    values += [draw.random() ** 4 for _ in range(400)]
    python, page = both(engine, percent, "percent(v)", values)
    assert [(one, other) for one, other in zip(python, page, strict=True) if one != other] == []
    assert [percent(share) for share in (0, 0.0625, 0.125, 0.999)] == ["0\xa0%", "6.3\xa0%", "13\xa0%", "100\xa0%"]


def test_both_call_the_same_experts_dead(engine):
    assert engine("run", code="return DEAD;") == DEAD_BELOW


def numbers(text):
    """The text with its numbers and quotes in one form."""
    text = text.replace("'", '"').replace("True", "true").replace("False", "false").replace("None", "null")
    return re.sub(r"-?\d[\d.]*(e[-+]?\d+)?", lambda number: f"{float(number[0]):g}", text)


@pytest.mark.parametrize("kind", ["mixture", "tree"])
def test_what_a_setting_refuses(engine, kind):
    tried = [{name: value} for name in SETTINGS if name != "data" for value in TRIED]
    tried += [{"data": "moons"}, {"experts": 8}, {"E": 4, "k": 5}]
    python = []
    for settings in tried:
        try:
            playground(kind, **settings)
            python.append("")
        except ValueError as error:
            python.append(numbers(str(error)))
    check = "try { checkSettings(kind, v); return ''; } catch (error) { return error.message; }"
    code = f"const kind = {json.dumps(kind)}; return {json.dumps(tried)}.map((v) => {{ {check} }});"
    assert python == [numbers(message) for message in engine("run", code=code)]
    assert 10 < python.count("") < len(python) - 10
