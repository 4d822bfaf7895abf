import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_tutorial.study.systems.serving import capacity, kept, serve


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


def steady(seconds):
    return lambda n: seconds


def mean_wait(rate, service, n_tokens=1.0, n_requests=40_000):
    """Mean seconds before service begins, of one server and one request at a time."""
    waits = []
    for seed in range(5):
        latency = serve(rate, steady(service), seed, n_requests=n_requests, n_tokens=n_tokens, max_batch=1)
        waits.append(latency.mean() - n_tokens * service)
    return np.mean(waits)


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_one_server_of_fixed_service_waits_as_the_m_d_1_queue(load):
    assert mean_wait(load, 1.0) == pytest.approx(load / (2 * (1 - load)), rel=0.04)


def test_geometric_service_waits_as_pollaczek_and_khinchine_say():
    mean, rate = 4.0, 0.15
    second_moment = (2 - 1 / mean) * mean**2  # of a geometric number of tokens, a second each
    expected = rate * second_moment / (2 * (1 - rate * mean))
    assert mean_wait(rate, 1.0, n_tokens=mean) == pytest.approx(expected, rel=0.06)


def test_a_batch_shares_its_step():
    together = serve(1e9, steady(1.0), 0, n_requests=64, n_tokens=1, max_batch=32)
    assert together.max() == pytest.approx(3, abs=0.1)  # the very first request finds nobody to share with
    apart = serve(1e9, steady(1.0), 0, n_requests=64, n_tokens=1, max_batch=1)
    assert apart.max() == pytest.approx(64, abs=0.1)


def test_latency_rises_with_load_and_a_seed_repeats():
    latency = [serve(rate, lambda n: 0.004 + 1e-4 * n, 5, n_requests=600).mean() for rate in (1, 10, 50, 100, 200)]
    assert latency == sorted(latency)
    assert latency[0] == serve(1, lambda n: 0.004 + 1e-4 * n, 5, n_requests=600).mean()


def test_one_seed_brings_the_same_requests_to_every_fleet():
    one, other = (serve(1e-3, steady(s), 9, n_requests=50) for s in (0.01, 0.1))  # so rare that each is alone
    assert np.allclose(10 * one, other)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: capacity(0, 8, 1, 1.0), "n_tokens must be an integer of at least 1, got 0"),
        (lambda: kept(torch.zeros(4, dtype=torch.long), 2, 1), r"indices is of shape \(4,\); it must be \(tokens, k\)"),
        (lambda: serve(1.0, steady(0.0), 0), "step_time gave 0.0 for 1 requests"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
