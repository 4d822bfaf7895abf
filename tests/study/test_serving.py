import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_tutorial.study.systems.serving import capacity, kept


def test_capacity_is_the_even_part_times_the_factor_rounded_up():
    assert capacity(128, 8, 1, 1.0) == 16
    assert capacity(128, 8, 2, 1.0) == 32
    assert capacity(128, 8, 2, 1.25) == 40
    assert capacity(100, 8, 1, 1.0) == 13


def test_capacity_is_never_zero():
    assert capacity(1, 64, 2, 1.0) == 1
    assert capacity(4, 8, 1, 0.0) == 1


@given(st.integers(0, 40), st.integers(1, 6), st.integers(1, 12), st.integers(0, 1000))
def test_kept_is_what_a_loop_over_the_choices_keeps(n_tokens, n_experts, limit, seed):
    generator = torch.Generator().manual_seed(seed)
    indices = torch.rand(n_tokens, n_experts, generator=generator).topk(min(2, n_experts)).indices
    left, fits = [limit] * n_experts, []
    for expert in indices.flatten().tolist():
        fits.append(left[expert] > 0)
        left[expert] -= 1
    assert kept(indices, n_experts, limit).flatten().tolist() == fits


def test_kept_works_for_many_seeds_at_once():
    indices = torch.rand(3, 20, 4, generator=torch.Generator().manual_seed(0)).topk(2).indices
    together = torch.vmap(lambda each: kept(each, 4, 6))(indices)
    assert torch.equal(together, torch.stack([kept(each, 4, 6) for each in indices]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: capacity(0, 8, 1, 1.0), "n_tokens must be an integer of at least 1, got 0"),
        (lambda: kept(torch.zeros(4, dtype=torch.long), 2, 1), r"indices is of shape \(4,\); it must be \(tokens, k\)"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
