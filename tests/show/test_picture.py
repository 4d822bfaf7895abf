import base64
import io
import re
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from moe_tutorial.show import (
    Line,
    curves,
    draw_curves,
    figures,
    interval_chart,
    is_narrow,
    look,
    picture,
    table,
)


def images(shown):
    """The four drawings of a picture, in the order light, dark and wide, narrow."""
    found = re.findall(r'<img class="moe-(?:wide|narrow)" src="data:image/png;base64,([^"]+)"', shown.html)
    return [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]


@pytest.fixture
def drawn(monkeypatch):
    """The axes of an interval chart of these rows, on a figure this wide."""

    def drawn(rows, width=7.2, theme="light", **options):
        given = {}
        monkeypatch.setattr(figures, "picture", lambda draw, *_, **more: given.update(more, draw=draw))
        interval_chart(rows, "t", "note", **options)
        figure = Figure(figsize=(width, given["narrow_height"] / 100), layout="constrained")
        given["draw"](figure, theme)
        figure.canvas.draw()
        return figure.axes[0]

    return drawn


def draw_line(figure, theme):
    figure.add_subplot().plot([0, 1], [0, 1], color=look.color("text", theme))


def test_a_picture_is_drawn_for_both_themes_and_both_widths():
    seen = []

    def draw(figure, theme):
        seen.append((theme, is_narrow(figure)))
        draw_line(figure, theme)

    wide_light, narrow_light, wide_dark, narrow_dark = images(picture(draw, "A line", alt="It rises."))
    assert seen == [("light", False), ("light", True), ("dark", False), ("dark", True)]
    assert plt.get_fignums() == []  # none is left open
    assert wide_light.size == wide_dark.size == (1440, 520)
    assert narrow_light.size == narrow_dark.size == (680, 520)
    for image, theme in ((wide_light, "light"), (narrow_light, "light"), (wide_dark, "dark"), (narrow_dark, "dark")):
        ground = tuple(int(look.color("ground", theme)[i : i + 2], 16) for i in (1, 3, 5))
        assert image.getpixel((0, 0)) == ground
        assert len(image.getcolors(1 << 20)) > 10  # something was drawn


def test_the_text_alternative_and_the_title_are_escaped():
    shown = picture(draw_line, "a < b", "c & d", alt='says "hello"')
    assert "a &lt; b" in shown.html
    assert "c &amp; d" in shown.html
    assert shown.html.count('alt="says &quot;hello&quot;"') == 4
    assert repr(shown) == "Picture: a < b"


@pytest.mark.parametrize("missing", ["title", "alt"])
def test_a_picture_without_words_is_refused(missing):
    words = {"title": "A line", "alt": "It rises."} | {missing: " "}
    with pytest.raises(ValueError, match=f"{missing} is empty"):
        picture(draw_line, **words)


def test_an_interval_chart_says_its_numbers_aloud():
    chart = interval_chart(
        {"with": torch.tensor([0.8, 0.9, 1.0]), "without": np.array([0.1, 0.2, 0.3])},
        "Better",
        "note",
        controls=["without"],
    )
    assert "with: 0.900 [0.652, 1.148]; without: 0.200 [-0.048, 0.448]" in chart.html


def test_on_a_phone_a_label_of_two_lines_lies_on_no_number(drawn):
    names = [f"a name that goes on, {i}\nwith another line below it" for i in range(9)]
    axes = drawn({name: np.array([0.2, 9.0 if name == names[-1] else 0.2]) for name in names}, width=3.4)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 18
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize("log", ["", "y", "xy"])
def test_names_at_the_ends_of_curves_stand_apart(log):
    lines = {f"line {i}": Line([1, 10, 100], [1, 2, 1 + i / 1000], "--", "muted") for i in range(4)}
    lines["far above"] = Line([1, 10, 100], [1, 5, 50])
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    draw_curves(axes, "light", lines, x="x", log=log)
    figure.canvas.draw()
    names = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert set(names) == set(lines)
    below = sorted(names.values(), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(below))
    end = axes.transData.transform((100, 50))[1]
    assert abs((names["far above"].y0 + names["far above"].y1) / 2 - end) < 3  # it had room
    assert names["line 0"].x0 >= axes.transData.transform((100, 1))[0]


def test_curves_say_their_points_and_long_ones_their_ends():
    lines = {"the\nfew": Line([0, 1], [0.12345, 1234.5]), "many": Line(range(100), np.arange(100) / 2, "--", "muted")}
    shown = curves(lines, "They rise", "note", x="weight", y="accuracy", xticks={0: "0", 1: "0.1"})
    assert (
        'alt="They rise. accuracy over weight: the few 0.123 at 0, 1,230 at 0.1; many 0 at 0, 49.5 at 99"' in shown.html
    )
    own = curves(lines, "They rise", "note", alt="in other words", x="weight")
    assert 'alt="in other words"' in own.html


def test_a_tables_words_stand_on_the_left_and_its_numbers_on_the_right():
    rows = {
        "a": ["nobody", "1.5 ± 0.1", "", "passes"],
        "b": ["single", "the same", "", "fails in all of the ten seeds"],
    }
    shown = table(["", "caught by", "right, %", "open", "verdict"], rows, "Title")
    left = re.findall(r'style="text-align:left">([^<]*)<', shown.html)
    assert left == ["caught by", "verdict", "nobody", "passes", "single", "fails in all of the ten seeds"]


def test_an_interval_charts_numbers_have_equally_many_decimals(drawn):
    axes = drawn({"sure": [72.1, 72.3, 72.5], "unsure": [60.0, 74.0, 80.0], "the same": [3.0, 3.0]})
    assert [text.get_text() for text in axes.texts] == ["72.3", "71.3", "3"]


@pytest.mark.parametrize("width", [7.2, 3.4])
def test_an_interval_charts_seeds_and_its_rows_colours(width, drawn):
    rows = {"dead": [0, 0, 0, 5], "alive": [4, 4, 5, 6], "nothing": [-0.4, 0.2, 0.1, 0.05]}
    axes = drawn(rows, width, "dark", controls=["nothing"], colors={"dead": "fails"}, zero=0)
    seeds = axes.collections
    assert [area / seeds[0].get_sizes()[-1] for area in seeds[0].get_sizes()] == [3, 1]  # three zeros and one five
    np.testing.assert_allclose(seeds[0].get_offsets()[:, 0], [0, 5], atol=0.1)
    colors = {text.get_text(): text.get_color() for text in [*axes.get_yticklabels(), *axes.texts]}
    fails, text, muted = (look.color(role, "dark") for role in ("fails", "text", "muted"))
    assert [colors[name] for name in ("dead", "alive", "○ control: nothing")] == [fails, muted, muted]
    assert [colors[number] for number in ("1.2", "4.8", "0.0")] == [fails, text, muted]


def test_a_table_escapes_its_words_and_refuses_a_ragged_row():
    shown = table(["", "a < b"], {"one & two": ["3"]}, "Title", "note")
    assert '<th scope="col">a &lt; b</th>' in shown.html
    assert '<th scope="row">one &amp; two</th><td>3</td>' in shown.html
    with pytest.raises(ValueError, match="row 'x' has 2 cells; allowed are 1"):
        table(["", "a"], {"x": ["1", "2"]}, "Title")
