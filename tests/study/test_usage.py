import math

import pytest
import torch
import torch.nn.functional as F

from moe_tutorial.study import cv2, dead, entropy, max_share, share, specialisation, strength


def test_share_counts_choices():
    indices = torch.tensor([[0, 1], [0, 2], [0, 1]])
    assert torch.allclose(share(indices, 4), torch.tensor([3, 2, 1, 0]) / 6)


def test_share_of_many_seeds_is_the_share_of_each():
    indices = torch.randint(5, (3, 7, 40, 2))
    many = share(indices, 5)
    assert many.shape == (3, 7, 5)
    assert torch.allclose(many[2, 4], share(indices[2, 4], 5))
    assert torch.allclose(many.sum(-1), torch.ones(3, 7))


def test_share_of_no_token_is_zero():
    assert share(torch.empty(0, 2, dtype=torch.long), 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("n_experts", [1, 2, 8])
def test_even_use(n_experts):
    even = torch.full((n_experts,), 1 / n_experts)
    assert max_share(even) == pytest.approx(1 / n_experts)
    assert dead(even) == 0
    assert entropy(even) == pytest.approx(1)
    assert cv2(even) == pytest.approx(0, abs=1e-6)


def test_full_collapse():
    collapsed = torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert max_share(collapsed) == 1
    assert dead(collapsed) == 3
    assert entropy(collapsed) == 0
    assert cv2(collapsed) == pytest.approx(3)


def test_against_formulas():
    shares = torch.tensor([0.7, 0.2, 0.095, 0.005])
    assert dead(shares) == 1
    assert dead(shares, threshold=0.1) == 2
    assert entropy(shares) == pytest.approx(-sum(s * math.log(s) for s in shares.tolist()) / math.log(4), rel=1e-5)
    assert cv2(shares) == pytest.approx(sum((s - 0.25) ** 2 for s in shares.tolist()) / 4 / 0.25**2, rel=1e-5)


def test_an_expert_at_the_threshold_is_alive():
    assert dead(torch.tensor([0.01, 0.99], dtype=torch.float64)) == 0


def test_specialisation():
    labels = torch.arange(4).repeat(100)
    assert specialisation((labels + 1) % 4, labels) == pytest.approx(1)  # which expert has which rule is all the same
    assert specialisation(torch.zeros(400, dtype=torch.long), labels) == pytest.approx(0)
    dice = torch.randint(4, (400,), generator=torch.Generator().manual_seed(0))
    assert specialisation(dice, labels) < 0.05


def test_strength_is_each_experts_own_accuracy():
    labels = torch.tensor([0, 1, 2, 2])
    always_2, right_at_first = torch.tensor([2, 2, 2, 2]), torch.tensor([0, 1, 0, 0])
    scores = F.one_hot(torch.stack([always_2, right_at_first], -1), 3).float()
    assert strength(scores, labels).tolist() == [0.5, 0.5]
    assert strength(scores, labels, torch.tensor([0, 0, 1, 1])).tolist() == [[0, 1], [1, 0]]
    uneven = strength(scores, labels, torch.tensor([0, 1, 1, 1]))
    assert torch.allclose(uneven, torch.tensor([[0, 2 / 3], [1, 1 / 3]]))


def test_strength_of_many_seeds_is_that_of_each():
    scores, labels, rules = torch.randn(3, 7, 40, 5, 10), torch.randint(10, (40,)), torch.arange(40) % 4
    assert torch.allclose(strength(scores, labels)[2, 4], strength(scores[2, 4], labels))
    on_rules = strength(scores, labels, rules)
    assert on_rules.shape == (3, 7, 5, 4)
    assert torch.allclose(on_rules[2, 4, :, 1], strength(scores[2, 4, rules == 1], labels[rules == 1]))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="indices run from 0 to 4"):
        share(torch.tensor([[0], [4]]), 4)
    with pytest.raises(ValueError, match=r"choices \(3, 1\) and labels \(3,\)"):
        specialisation(torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(ValueError, match="no input follows rule 1"):
        strength(torch.zeros(4, 2, 3), torch.zeros(4), torch.tensor([0, 0, 2, 2]))
