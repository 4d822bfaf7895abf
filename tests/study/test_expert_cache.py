"""Lesson 10's cache of experts: its rules on small streams, and the stored choices, made again at night."""

import itertools

import pytest
import torch

from moe_tutorial.study.systems.edge import expert_cache

AGAIN = "make it again: python -m moe_tutorial.study.systems.edge.expert_cache"


@pytest.mark.parametrize(("leaves", "fetched"), [("oldest", 6), ("look-ahead", 4)])  # a round of three, room for two
def test_what_leaves_decides_how_many_are_fetched(leaves, fetched):
    assert expert_cache.fetches([0, 1, 2, 0, 1, 2], 2, leaves) == fetched


def test_looking_ahead_is_the_best_that_any_cache_can_do():
    def best(stream, cache=frozenset(), room=2):
        if not stream:
            return 0
        now, *rest = stream
        if now in cache:
            return best(rest, cache, room)
        kept = [cache] if len(cache) < room else [cache - {gone} for gone in cache]
        return 1 + min(best(rest, each | {now}, room) for each in kept)

    for stream in itertools.product(range(4), repeat=6):
        assert expert_cache.fetches(stream, 2, "look-ahead") == best(stream)


def test_room_for_all_fetches_each_once():
    assert {expert_cache.fetches([3, 1, 3, 2, 1], 3, leaves) for leaves in expert_cache.LEAVES} == {3}


def test_the_stored_choices_are_of_ten_gpts_and_survive_their_file():
    stored = expert_cache.stored()
    assert stored.shape == (10, 3, expert_cache.LENGTH, 4, 2)
    assert stored.min() == 0
    assert stored.max() == 7
    assert (stored[..., 0] != stored[..., 1]).all()
    text = expert_cache.written(stored[0])
    assert (torch.tensor(list(text.encode())) - 48 == (8 * stored[0, ..., 0] + stored[0, ..., 1]).flatten()).all()
    assert expert_cache.asked(0, steps=1).shape == stored.shape[1:]


@pytest.mark.nightly
def test_the_stored_choices_are_those_of_the_code():
    stored, found = expert_cache.stored()[0], expert_cache.asked(0)
    assert (stored == found).float().mean() > 0.5, AGAIN  # processors round differently; chance would give an eighth
