import loop_oracle
import pytest
import torch

from moe_tutorial.layers import Experts

CLAMPED = loop_oracle.CLAMPED["activation"], True
KINDS = [("relu", False), ("gelu", False), ("silu", False), ("silu", True), ("gelu", True), CLAMPED]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("activation", "gated"), KINDS)
def test_all_three_ways_equal_the_loop(activation, gated, bias):
    experts = Experts(3, 5, 4, d_out=2, activation=activation, gated=gated, bias=bias).double()
    x = torch.randn(6, 5, dtype=torch.float64)
    loop = torch.stack([torch.stack([loop_oracle.answer(experts, e, token) for e in range(3)]) for token in x])

    torch.testing.assert_close(experts(x), loop)
    weights = torch.rand(6, 3, dtype=torch.float64)
    torch.testing.assert_close(experts.mixed(x, weights), (weights[..., None] * loop).sum(1))
    owner = torch.tensor([0, 0, 0, 2, 2, 2])  # nobody asks expert 1
    torch.testing.assert_close(experts.grouped(x, [3, 0, 3]), loop[torch.arange(6), owner])


def test_defaults():
    plain, gated = Experts(2, 8, 4), Experts(2, 8, 4, gated=True)
    assert (plain.activation, plain.d_out, gated.activation) == ("relu", 8, "silu")
    assert {name: tuple(p.shape) for name, p in plain.named_parameters()} == {
        "w_in": (2, 4, 8),
        "b_in": (2, 4),
        "w_out": (2, 4, 8),
        "b_out": (2, 8),
    }
    assert [name for name, _ in gated.named_parameters()] == ["w_in", "w_gate", "w_out"]


def test_every_expert_starts_like_a_linear_layer_of_its_own_shape():
    experts = Experts(50, 9, 25, d_out=16, gated=True, bias=True)
    fan_in = {"w_in": 9, "w_gate": 9, "b_in": 9, "b_gate": 9, "w_out": 25, "b_out": 25}
    for name, parameter in experts.named_parameters():
        bound = fan_in[name] ** -0.5
        assert 0.98 * bound < parameter.abs().max() <= bound, name
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.05), name


def test_any_leading_shape():
    experts = Experts(3, 5, 4, d_out=2)
    x = torch.randn(2, 3, 5)
    assert experts(x).shape == (2, 3, 3, 2)
    assert experts(x[0, 0]).shape == (3, 2)
    torch.testing.assert_close(experts(x)[1, 2], experts(x[1, 2]))
    assert experts(torch.zeros(0, 4, 5)).shape == (0, 4, 3, 2)
