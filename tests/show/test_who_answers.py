"""A table of who answers what: each expert's share, its characters, and where it is surest."""

import torch
from bs4 import BeautifulSoup

from moe_tutorial.layers import Routing
from moe_tutorial.show import who_answers
from moe_tutorial.study import encode


def test_each_expert_has_its_share_its_characters_and_where_it_is_surest():
    text = "a1 a2 <3 <b"
    chosen = torch.tensor([5 if c.isdigit() else 2 + i % 2 for i, c in enumerate(text)])
    surer = torch.linspace(0.2, 0.9, len(text))  # the later a character stands
    routing = Routing(torch.zeros(len(text), 8), torch.zeros(len(text), 8), chosen[:, None], surer[:, None])
    shown = BeautifulSoup(who_answers(routing, encode(text), "Title").html, "html.parser")
    rows = [[cell.get_text() for cell in row.select("th, td")] for row in shown.select("tbody tr")]
    assert rows[0] == ["expert 0", "0 %", "", ""]
    assert rows[2][:3] == ["expert 2", "45 %", "· a < b"]
    assert rows[2][3].split(" | ")[0] == "a1·a2·<3[·]<b"  # the later of its two spaces, with its neighbours
    assert rows[5] == ["expert 5", "27 %", "1 2 3", "a[1]·a2· | a1·a[2]·<3· | a1·a2·<[3]·<b"]
