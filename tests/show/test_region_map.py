import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from moe_tutorial.show import grid, look, region_map, region_maps
from moe_tutorial.show.region_map import SIDE


def outlines(html):
    """Expert -> the corners of each of its rings."""
    return {
        int(expert): [np.array([c.split() for c in ring.split("L")], dtype=float) for ring in path[1:-1].split("ZM")]
        for path, expert in re.findall(r'<path d="([^"]+)" fill="var\(--moe-e(\d+)\)"', html)
    }


def area(ring):
    x, y = ring.T
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


def depth(html):
    """The mask's grey levels, from 0 to 1, place by place."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])))) / 255


def test_the_map_gives_each_place_its_expert():
    owners = torch.tensor([2] * 32 + [0, 0, 0, 0, 5, 5, 5, 5] * 4)  # the upper half, and two quarters below it
    html = region_map(torch.nn.functional.one_hot(owners, 6))
    areas = {expert: sum(map(area, rings)) / SIDE**2 for expert, rings in outlines(html).items()}
    assert areas == pytest.approx({2: 0.5, 0: 0.25, 5: 0.25}, abs=0.01)
    assert "regions of the experts 0, 2, 5" in html
    x, y = map(float, re.search(r"left:([\d.]+)%;top:([\d.]+)%[^>]*>\s*<span[^>]*>2<", html).groups())
    assert 0 < x < 100
    assert 0 < y < 50


def test_a_straight_border_stays_straight_on_a_coarse_grid():
    line = torch.linspace(-1, 1, 8)
    places = torch.cartesian_prod(-line, line).flip(1)
    logits = torch.stack([places @ torch.tensor([3.0, 1.0]), torch.zeros(64)], -1)
    (ring,) = outlines(region_map(logits.softmax(-1)))[1]
    inner = ring[(ring > 0).all(1) & (ring < SIDE).all(1)]
    x, y = inner[:, 0] / SIDE * 2 - 1, 1 - inner[:, 1] / SIDE * 2
    assert len(inner) > 4
    assert abs(3 * x + y).max() < 0.01


def test_a_region_is_deeper_where_the_router_is_surer():
    probs = torch.full((64, 4), 0.25)
    probs[0] = torch.tensor([0.0, 0.0, 1.0, 0.0])
    found, region = depth(region_map(probs)), look.LOOK["region"]
    assert found.shape == (8, 8)
    assert found[0, 0] == pytest.approx(region["mixHigh"], abs=0.003)
    assert found[1, 1] == pytest.approx(region["mixLow"], abs=0.003)
    assert depth(region_map(torch.ones(64, 1))) == pytest.approx(region["mixLow"], abs=0.003)


def test_points_stand_at_their_places_in_the_shape_of_their_class():
    points, labels = torch.tensor([[-1.0, -1.0], [1.0, 0.0]]), torch.tensor([0, 4])
    line = torch.linspace(-1, 1, 8)
    places = torch.cartesian_prod(-line, line).flip(1)
    html = region_map(torch.ones(64, 1), places, points, labels)
    assert re.findall(r'<use href="#[^"]+-(\d)" x="([\d.]+)" y="([\d.]+)"', html) == [
        ("0", "0.0", "100.0"),
        ("4", "100.0", "50.0"),
    ]
    shapes = dict(re.findall(r'<path id="[^"]+-(\d)" d="[^"]+" fill="([^"]+)"', html))
    assert shapes == {"0": "var(--moe-text)", "4": "none"}  # a cross has no inside


def test_two_maps_on_a_page_do_not_share_their_parts():
    first, second = (region_map(torch.eye(2)[torch.arange(64) % n // (n // 2)]) for n in (64, 8))
    assert len(set(re.findall(r'mask id="([^"]+)"', first + second))) == 2


def test_maps_have_names_a_title_and_a_text_alternative():
    places = grid(torch.rand(5, 2), 8)
    data = places, torch.rand(5, 2), torch.zeros(5, dtype=torch.long)
    shown = region_maps({"a < b": torch.ones(64, 1)}, *data, "Title", "note", alt="One & all")
    assert "a &lt; b" in shown.html
    assert 'role="img" aria-label="One &amp; all"' in shown.html
