"""One token's path: what is drawn is what the router said, and the words say the same."""

import re

import pytest
import torch

from moe_tutorial.layers import Router
from moe_tutorial.show import token_path


@pytest.fixture
def routing():
    router = Router(d_model=3, n_experts=5, top_k=2)
    return router(torch.randn(4, 3, generator=torch.Generator().manual_seed(1)))


def test_the_title_and_the_words_say_which_experts_count_how_much(routing):
    picture = token_path(routing, token=2, name="the third digit")
    (first, second), (much, less) = routing.indices[2].tolist(), routing.weights[2].tolist()
    assert picture.title == f"The third digit asks experts {first} and {second}, which count {much:.2f} and {less:.2f}"
    alt = re.search(r'role="img" aria-label="([^"]*)"', picture.html)[1]
    assert alt.startswith(picture.title)
    for expert, prob in enumerate(routing.probs[2].tolist()):
        assert f"expert {expert} {prob:.2f}" in alt


def test_picked_lines_are_in_colour_and_as_thick_as_they_count(routing):
    html = token_path(routing, token=0).html
    out, back = re.findall(r"<svg.*?</svg>", html)
    assert out.count("<path") == 5
    assert back.count("<path") == 2
    for expert, weight in zip(routing.indices[0].tolist(), routing.weights[0].tolist(), strict=True):
        line = f'style="stroke:var(--moe-e{expert});stroke-width:{2 + 8 * weight:.1f}"'
        assert out.count(line) == back.count(line) == 1
    assert html.count('class="moe-picked"') == 2
