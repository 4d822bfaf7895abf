import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_tutorial.study.systems.serving import capacity, expert_step, kept, serve


def test_capacity_is_the_even_part_times_the_factor_rounded_up():
    assert capacity(128, 8, 1, 1.0) == 16
    assert capacity(128, 8, 2, 1.0) == 32
    assert capacity(128, 8, 2, 1.25) == 40
    assert capacity(100, 8, 1, 1.0) == 13


def test_capacity_is_never_zero():
    assert capacity(1, 64, 2, 1.0) == 1
    assert capacity(4, 8, 1, 0.0) == 1


def by_loops(indices, weights, n_experts, capacity):
    fits = torch.zeros(indices.shape, dtype=torch.bool)
    for expert in range(n_experts):
        own = [(-float(weights[t, c]), t, c) for t, c in (indices == expert).nonzero().tolist()]
        for _, token, column in sorted(own)[:capacity]:
            fits[token, column] = True
    return fits


@given(st.integers(0, 40), st.integers(1, 6), st.integers(1, 12), st.integers(0, 1000))
def test_kept_is_what_loops_over_the_experts_keep(n_tokens, n_experts, limit, seed):
    generator = torch.Generator().manual_seed(seed)
    top_k = min(2, n_experts)
    indices = torch.rand(n_tokens, n_experts, generator=generator).topk(top_k).indices
    weights = torch.randint(4, (n_tokens, top_k), generator=generator) / 4  # with ties
    fits = kept(indices, weights, n_experts, limit)
    assert torch.equal(fits, by_loops(indices, weights, n_experts, limit))
    got = indices[fits].bincount(minlength=n_experts)
    assert torch.equal(got, indices.flatten().bincount(minlength=n_experts).clamp(max=limit))


def steady(seconds):
    return lambda n, rng: seconds


def mean_wait(rate, service, n_tokens=1.0, n_requests=40_000):
    """Mean seconds before service begins, of one server and one request at a time."""
    waits = []
    for seed in range(5):
        result = serve(rate, steady(service), seed, n_requests=n_requests, n_tokens=n_tokens, max_batch=1)
        waits.append(result.latency.mean() - n_tokens * service)
    return np.mean(waits)


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_one_server_of_fixed_service_waits_as_the_m_d_1_queue(load):
    assert mean_wait(load, 1.0) == pytest.approx(load / (2 * (1 - load)), rel=0.04)


def test_geometric_service_waits_as_pollaczek_and_khinchine_say():
    mean, rate = 4.0, 0.15
    second_moment = (2 - 1 / mean) * mean**2  # of a geometric number of tokens, a second each
    expected = rate * second_moment / (2 * (1 - rate * mean))
    assert mean_wait(rate, 1.0, n_tokens=mean) == pytest.approx(expected, rel=0.06)


def test_busy_is_the_load_of_one_server():
    result = serve(0.7, steady(1.0), 1, n_requests=40_000, n_tokens=1, max_batch=1)
    assert result.busy == pytest.approx(0.7, rel=0.02)
    assert result.batch == 1


def test_a_batch_shares_its_step():
    together = serve(1e9, steady(1.0), 0, n_requests=64, n_tokens=1, max_batch=32)
    assert together.finishes.max() == pytest.approx(3, abs=0.1)  # the very first request finds nobody to share with
    apart = serve(1e9, steady(1.0), 0, n_requests=64, n_tokens=1, max_batch=1)
    assert apart.finishes.max() == pytest.approx(64, abs=0.1)


def test_latency_rises_with_load_and_a_seed_repeats():
    step = expert_step([1] * 8, [0, 0, 1, 1, 2, 2, 3, 3], 2, base=0.001, read=0.002, compute=0.0001)
    latency = [serve(rate, step, 5, n_requests=600).latency.mean() for rate in (1, 10, 50, 100, 200)]
    assert latency == sorted(latency)
    assert latency[0] == serve(1, step, 5, n_requests=600).latency.mean()


def test_one_seed_brings_the_same_requests_to_every_fleet():
    one, other = (serve(3.0, steady(s), 9, n_requests=50) for s in (0.01, 0.1))
    assert np.array_equal(one.arrivals, other.arrivals)


def test_a_step_reads_the_experts_that_are_asked_and_waits_for_the_busiest_machine():
    rng = np.random.default_rng(0)
    options = {"base": 1.0, "read": 10.0, "compute": 0.0}
    assert expert_step([1] * 4, [0, 0, 0, 0], 4, **options)(1, rng) == 41
    assert expert_step([1] * 4, [0, 0, 1, 1], 4, **options)(1, rng) == 21
    assert expert_step([1] * 4, [0, 1, 2, 3], 4, **options)(1, rng) == 11
    assert expert_step([1, 1, 0, 0, 0], [0, 1, 2, 2, 2], 2, **options)(5, rng) == 11  # nobody asks the last three
    # 3 tokens in each of 2 experts: computing takes longer than reading
    assert expert_step([1, 1], [0, 1], 2, base=1.0, read=10.0, compute=5.0)(3, rng) == 16


def test_tokens_draw_experts_by_popularity_without_replacement():
    seen = expert_step([3, 1], [0, 1], 1, base=0.0, read=0.0, compute=1.0)
    busiest = seen(100_000, np.random.default_rng(0))  # one machine an expert: the busiest is expert 0
    assert busiest / 100_000 == pytest.approx(0.75, abs=0.01)
    both = expert_step([1000, 1], [0, 1], 2, base=0.0, read=0.0, compute=1.0)
    assert both(50, np.random.default_rng(0)) == 50


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: capacity(0, 8, 1, 1.0), "n_tokens must be an integer of at least 1, got 0"),
        (lambda: kept(torch.zeros(4, dtype=torch.long), torch.zeros(4), 2, 1), r"must both be \(tokens, k\)"),
        (lambda: kept(torch.tensor([[5]]), torch.ones(1, 1), 4, 1), "indices run from 5 to 5"),
        (lambda: serve(0.0, steady(1.0), 0), "rate must be a finite number above 0, got 0"),
        (lambda: serve(1.0, steady(0.0), 0), "step_time gave 0.0 for 1 requests"),
        (lambda: expert_step([1, -1], [0, 0], 1, base=0, read=0, compute=0), "popularity is"),
        (lambda: expert_step([1, 0], [0, 0], 2, base=0, read=0, compute=0), "top_k must be an integer from 1 to"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
