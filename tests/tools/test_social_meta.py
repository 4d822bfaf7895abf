"""What a page says of itself where it is found or shared."""

import re
import struct

import pytest

from moe_tutorial.show.widgets.live_gpt import Dare
from moe_tutorial.tools.site.html import social_card
from moe_tutorial.tools.site.html.social_meta import tags
from moe_tutorial.tools.site.repository import pages_address

WORDS = "You leave able to choose <at> once."


def told(html):
    return dict(re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)" />', html))


def test_a_page_names_its_address_where_there_is_one():
    html = tags("The router", "The course", WORDS, "03_router", "")
    assert told(html)["description"] == told(html)["og:description"] == "You leave able to choose &lt;at&gt; once."
    assert told(html)["og:title"] == "The router"
    assert "canonical" not in html
    html = tags("The router", "The course", "", "03_router", "https://a.org/moe/")
    assert '<link rel="canonical" href="https://a.org/moe/03_router.html" />' in html
    assert told(html)["og:image"] == "https://a.org/moe/_static/moe/card.png"


@pytest.mark.parametrize(
    ("repository", "address"),
    [
        ("https://github.com/Some-One/course", "https://some-one.github.io/course/"),
        ("https://github.com/some-one/some-one.github.io", "https://some-one.github.io/"),
        (None, None),
    ],
)
def test_github_publishes_there(repository, address):
    assert pages_address(repository) == address


def test_the_card_has_the_size_that_those_who_show_it_ask_for(tmp_path):
    dare = Dare('to be raised. A non-empty "return" st', "atement is", [(0, 5, "s target l")], "a manual")
    social_card.draw(dare, [ord(c) % 8 for c in dare.text], "Mixture of experts, measured", tmp_path / "card.png")
    content = (tmp_path / "card.png").read_bytes()
    assert struct.unpack(">II", content[16:24]) == (1200, 630)
    assert len(content) < 300_000
