import json
import re

import pytest
from plotly.offline import get_plotlyjs_version

from moe_tutorial.show import explorable, look
from moe_tutorial.tools.site import themes_script
from moe_tutorial.tools.site.content.plotly import box

LINE = {"type": "scatter", "x": [1, 2], "y": [3, 4], "line": {"color": look.expert_color(2)}}


def shown():
    return explorable([LINE], "It < rises", "A note.", alt="From 3 to 4.")


def test_what_the_bundle_cannot_draw_is_refused():
    with pytest.raises(ValueError, match=r"type of a trace is 'heatmap'; allowed are scatter, bar"):
        explorable([{"type": "heatmap"}], "Title", "note", alt="alt")
    with pytest.raises(ValueError, match="colour"):
        explorable([LINE | {"colour": "red"}], "Title", "note", alt="alt")


def test_every_colour_of_a_figure_has_another_one_in_the_dark_theme():
    themes = json.loads(themes_script().removeprefix("window.moeThemes = ").rstrip(";\n"))
    assert themes["light"].keys() == themes["dark"].keys()
    used = set(re.findall(r"#[0-9a-f]{6}", json.dumps(shown().to_plotly_json()), re.IGNORECASE))
    assert used <= set(themes["light"].values())
    for theme in themes.values():  # there and back: a colour of two roles has one partner
        other = themes["dark" if theme is themes["light"] else "light"]
        assert all(len({other[n] for n in theme if theme[n] == value}) == 1 for value in theme.values())


def test_a_box_on_the_site_holds_the_words():
    html = box(json.loads(shown().to_json()))
    assert html.count("It &lt; rises") == 2
    assert '<p class="moe-alt">From 3 to 4.</p>' in html
    with pytest.raises(ValueError, match="no text alternative"):
        box({"data": [], "layout": {}})


def test_the_site_serves_the_plotly_js_that_the_python_package_speaks(request):
    web = request.config.rootpath / "moe_tutorial/tools/web/package.json"
    served = json.loads(web.read_text())["dependencies"]["plotly.js-basic-dist-min"]
    assert served.split(".")[0] == get_plotlyjs_version().split(".")[0]
