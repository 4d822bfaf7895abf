"""A table of who answers what: each expert's share, and its characters."""

import torch
from bs4 import BeautifulSoup

from moe_tutorial.layers import Routing
from moe_tutorial.show import who_answers
from moe_tutorial.study import encode


def test_each_expert_has_its_share_and_its_characters():
    text = "a1 a2 <3 <b"
    chosen = torch.tensor([5 if c.isdigit() else 2 + i % 2 for i, c in enumerate(text)])
    routing = Routing(torch.zeros(len(text), 8), torch.zeros(len(text), 8), chosen[:, None], torch.ones(len(text), 1))
    shown = BeautifulSoup(who_answers(routing, encode(text), "Title").html, "html.parser")
    rows = [[cell.get_text() for cell in row.select("th, td")] for row in shown.select("tbody tr")]
    assert rows[0] == ["expert 0", "0\xa0%", ""]
    assert rows[2] == ["expert 2", "45\xa0%", "· a < b"]
    assert rows[5] == ["expert 5", "27\xa0%", "1 2 3"]
