"""The playground's Python side: what it hands to the page, what it refuses, and that it holds nothing by itself."""

import json

import numpy as np
import pytest

from moe_tutorial.layers import FastFeedForward
from moe_tutorial.show import playground
from moe_tutorial.show.playground import KINDS, PRESETS, SETTINGS
from moe_tutorial.study import Dataset, digits, regimes_2d


def test_page_and_notebook_begin_alike(engine):
    code = "return [PRESETS.map(({ id, kind }) => [id, kind]), kindNames.map(defaultsOf)];"
    presets, defaults = engine("run", code=code)
    assert presets == [list(row) for row in PRESETS.items()]
    for kind, of_page in zip(KINDS, defaults, strict=True):
        own = {name: row["default"] for name, row in SETTINGS.items() if row["kind"] in (kind, "both")}
        assert of_page == playground(kind, **own).options["settings"] == {"layer": kind} | own


def test_a_slider_stops_at_values_that_are_allowed():
    stops = {name: row["slider"]["stops"] for name, row in SETTINGS.items() if "stops" in row.get("slider", {})}
    assert len(stops) == 6
    for name, values in stops.items():
        low, high = SETTINGS[name]["range"]
        assert [value for value in values if not low <= value <= high] == [], name


TREE = {"layer": "tree", "depth": 2, "steps": 50}
MIXTURE = {"E": 4, "out": [1, 2], "point": 7, "then": [[5, "k", 2]]}


@pytest.mark.parametrize("state", [TREE, MIXTURE], ids=["tree", "mixture"])
def test_the_pages_state_opens_the_same_experiment(engine, state):
    """The page writes its state as the arguments of playground()."""
    options = playground(**state).options
    assert engine("run", code=f"return flatten(fromOptions({json.dumps(options)}))") == state
    assert playground(state=state).options == options


@pytest.mark.parametrize(
    ("asked", "link"),
    [
        ({"preset": "one"}, "preset=one"),
        ({"preset": "hash", "k": 2}, "k=2&gate=hash"),
        ({"preset": "seven"}, "preset=seven"),
        (TREE, "layer=tree&depth=2&steps=50"),
        (MIXTURE, "E=4&out=1.2&point=7&then=5:k:2"),
    ],
)
def test_what_is_asked_for_in_python_is_where_the_page_begins(engine, asked, link):
    options = playground(**asked).options
    assert engine("run", code=f"return toHash(fromOptions({json.dumps(options)}))") == link


def test_your_own_points_reach_the_page():
    data = regimes_2d(50)
    own = playground(data=data).options["own"]
    np.testing.assert_allclose(np.frombuffer(own["x"]).reshape(-1, 2), data.x_train, atol=1e-7)
    np.testing.assert_array_equal(np.frombuffer(own["regimeTest"], np.uint8), data.regime_test)
    assert own["classes"] == 2
    left, right, bottom, top = own["extent"]
    assert right - left == pytest.approx(top - bottom)
    assert playground().options["own"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "dead"}, "preset is 'dead'; allowed are rules, spare, deaf, kill, .*, mixed, one, or None"),
        ({"E": 4, "k": 5}, "k is 5; allowed are whole numbers from 1 to 4"),
        ({"experts": 8}, "there is no setting 'experts' for a mixture; allowed are data, centred, seed"),
        ({"layer": "tree", "out": (0,)}, "out is for a mixture's experts"),
        ({"layer": "tree", "preset": "kill"}, "preset is 'kill', an experiment with a mixture, and layer says tree"),
        ({"layer": FastFeedForward(2, 2, 2, 4)}, 'layer is FastFeedForward; allowed are "mixture" and "tree"; watch_'),
        ({"data": [1, 2]}, "data is list; allowed is a name"),
        ({"steps": -1}, "steps is -1; allowed are whole numbers from 0"),
        ({"then": [(5, "noise")]}, r"then holds \(5, 'noise'\); allowed are \(step, setting, value\)"),
        ({"then": [(5, "E", 4)]}, "then changes 'E', which a mixture cannot while it trains; allowed are rate, batch"),
        ({"then": [(5, "noise", 1), (4, "noise", 2)]}, "a step in then is 4; allowed are whole numbers from 5"),
        ({"preset": "rules", "then": [(5, "out", 4)]}, r"an expert in then \(out\) is 4; .* from 0 to 3"),
        ({"layer": "tree", "then": [(5, "out", 1)]}, "then changes 'out', which a tree cannot"),
        ({"E": 2, "out": (0, 1)}, r"out is \[0, 1\]; one of the 2 experts has to stay"),
        ({"out": (8,)}, "out is 8; allowed are whole numbers from 0 to 7"),
        ({"layer": "mine"}, 'layer is \'mine\'; allowed are "mixture" and "tree"'),
    ],
)
def test_what_it_cannot_use_it_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        playground(**arguments)


def test_points_outside_the_plane_are_refused():
    with pytest.raises(ValueError, match=r"points has shape \(1347, 64\); allowed is \(N, 2\)"):
        playground(data=digits())
    data = regimes_2d(50)
    with pytest.raises(ValueError, match="labels holds 12; allowed are whole numbers from 0 to 9"):
        playground(data=Dataset(*data[:1], data.y_train + 12, *data[2:]))
