import pytest
import torch
from torch import nn

from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.study import multiplications, parameters


def test_parameters():
    assert parameters(nn.Linear(3, 4)) == 16


@pytest.mark.parametrize("top_k", [1, 2, 8])
def test_a_mixture_multiplies_for_the_router_and_the_chosen_experts_only(top_k):
    moe = MixtureOfExperts(16, 32, 8, top_k)
    assert multiplications(moe, torch.randn(5, 16)) == 5 * (16 * 8 + top_k * 2 * 16 * 32)
