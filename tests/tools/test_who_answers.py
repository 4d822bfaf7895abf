"""The page "Who answers?": its numbers are the model's, and its picture can be read."""

import html
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from moe_tutorial.layers import GPT, GPTConfig, Routing
from moe_tutorial.show import look
from moe_tutorial.study import CHARACTERS, encode, route_text
from moe_tutorial.study.language import without_experts
from moe_tutorial.tools.site.content.who_answers import answers, drawn, missed

TEXT = "12 + 3 = 15, it says\n"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def gpt():
    torch.manual_seed(0)
    sizes = {"context": 32, "d_model": 16, "n_heads": 2, "d_hidden": 16, "n_experts": 4}
    return GPT(GPTConfig(len(CHARACTERS), feed_forward="moe", **sizes)).eval()


def routed(chosen, n_experts=8):
    """A routing to these experts, the later a character stands the surer."""
    indices = torch.tensor(chosen)[:, None]
    weights = torch.linspace(0.2, 0.9, len(chosen))[:, None]
    return Routing(torch.zeros(len(chosen), n_experts), torch.zeros(len(chosen), n_experts), indices, weights)


@torch.no_grad()
def test_what_an_expert_is_worth_is_the_loss_without_it(gpt):
    ids = encode(TEXT)
    usual, costs, asked = missed(gpt, ids)
    assert usual == pytest.approx(gpt(ids[None, :-1], ids[None, 1:])[1].item())
    for layer in range(2):
        for expert in range(4):
            off = [[(b, e) == (layer, expert) for e in range(4)] for b in range(2)]
            loss = without_experts(gpt, off)(ids[None, :-1], ids[None, 1:])[1].item()
            assert costs[layer, expert].item() == pytest.approx(loss - usual, abs=1e-5)
            chosen = route_text(gpt, ids[:-1])[layer].indices
            assert asked[layer, expert] == (chosen == expert).any()


def test_each_expert_has_its_share_its_characters_and_where_it_is_surest():
    text = "a1 a2 <3 <b"
    table = answers(1, routed([5 if c.isdigit() else 2 + i % 2 for i, c in enumerate(text)]), encode(text), 8)
    assert "In layer 1, expert 5 takes 100 % of the digits" in table
    rows = [re.split(r"<[^>]+>", row) for row in table.split("<tr>")[2:]]
    cells = [[html.unescape(cell) for cell in row if cell] for row in rows]
    assert cells[0] == ["0", "0 %"]
    assert cells[2][:3] == ["2", "45 %", "· a < b"]
    assert cells[2][3:6] == ["a1 a2 <3", "·", "<b"]  # the later of its two spaces, with its neighbours
    assert cells[5] == ["5", "27 %", "1 2 3", "       a", "1", " a2 ", "    a1 a", "2", " <3 ", " a1 a2 <", "3", " <b"]


def test_the_picture_holds_every_character_and_its_experts_in_their_colours(gpt):
    layers = route_text(gpt, encode(TEXT))
    picture = ET.fromstring(drawn(TEXT, layers, columns=8))
    words = [node.text for node in picture.iter(f"{SVG}text")]
    fills = [node.get("fill") for node in picture.iter(f"{SVG}rect")][1:]
    experts = [[int(e) for e in layer.indices[:, 0]] for layer in layers]
    expected = [each for pair in zip(*experts, strict=True) for each in pair]
    assert fills == [look.expert_color(e) for e in expected]
    marked = TEXT.replace(" ", "·").replace("\n", "⏎")
    shown = [word for word in words if not word.startswith("layer")]
    assert shown == [part for c, *pair in zip(marked, *experts, strict=True) for part in (c, *map(str, pair))]
    width, height = map(float, picture.get("viewBox").split()[2:])
    for node in picture.iter(f"{SVG}text"):
        assert 0 < float(node.get("x")) < width
        assert 0 < float(node.get("y")) < height
