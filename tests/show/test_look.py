import re

import matplotlib as mpl
import pytest

from moe_tutorial.show import look


def test_an_expert_has_one_colour_and_none_is_used_twice():
    for theme in ("light", "dark"):
        colors = [look.expert_color(expert, theme) for expert in range(16)]
        assert len(set(colors)) == 16
    with pytest.raises(ValueError, match="expert is 16; colours exist for the experts 0 to 15"):
        look.expert_color(16)


def test_classes_are_shapes_and_there_are_ten():
    assert len({look.class_marker(label) for label in range(10)}) == 10


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(theme):
    def luminance(colour):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(colour)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    def contrast(one, other):
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    ground = look.color("ground", theme)
    assert contrast(look.color("text", theme), ground) >= 7
    assert contrast(look.color("muted", theme), ground) >= 4.5
    for expert in range(16):
        assert contrast(look.expert_color(expert, theme, "on"), look.expert_color(expert, theme)) >= 4.5


def test_the_css_knows_every_colour_in_both_themes():
    light, dark = look.css_variables("light"), look.css_variables("dark")
    assert re.findall(r"(--moe-[\w]+):", light) == re.findall(r"(--moe-[\w]+):", dark)
    assert light in look.css()
    assert dark in look.css()


def test_matplotlib_is_as_it_was_afterwards():
    before = dict(mpl.rcParams)
    with look.matplotlib_style("dark"):
        assert mpl.rcParams["figure.facecolor"] == look.color("ground", "dark")
    assert dict(mpl.rcParams) == before
