"""Lesson 13's contest: how idle neurons are counted, equal care, and stored results that the code still gives."""

import pytest
import torch

from moe_tutorial.layers import PathLayer
from moe_tutorial.study import Seeds, digits4
from moe_tutorial.study.systems.trees import contest

AGAIN = "make it again: python -m moe_tutorial.study.systems.trees.contest"


def test_all_five_get_as_many_tries_and_the_best_is_the_first_of_the_highest():
    assert {len(set(contest.tries(name))) for name in contest.BUILD.keys() - contest.FORESTS.keys()} == {9}
    assert {len(contest.tries(name)) for name in contest.FORESTS} == {3}
    found = {"tree": {"validation": [1.0, 5.0, 2.0, 5.0, 0, 0, 0, 0, 0]}}
    assert contest.best(found, "tree") == contest.Try(0.003, 10.0)
    assert all(contest.best(contest.stored(), n) == contest.tries(n)[4] for n in ("mixture", "tree"))


def test_in_a_forest_twelve_neurons_answer():
    for name, depth in contest.FORESTS.items():
        forest = contest.BUILD[name]()
        assert len(forest.trees) * depth == 12
        assert {tree.depth for tree in forest.trees} == {depth}


def test_a_path_layers_idle_nodes_are_those_that_few_meet():
    def layer(turn):
        path = PathLayer(64, 10, 4)
        torch.nn.init.zeros_(path.w_in)
        torch.nn.init.constant_(path.b_in, turn)
        return path

    # All go one way: four of fifteen nodes are met.
    assert contest.idle(Seeds([layer(1.0), layer(-1.0)]), digits4("standardised")) == pytest.approx([1100 / 15] * 2)


@pytest.mark.parametrize("name", ["dense small", "tree"])
def test_the_stored_tries_are_those_of_this_code(name):
    (found,) = contest.tune(name, contest.tries(name)[4:5])
    assert found == pytest.approx(contest.stored()[name]["validation"][4], abs=1.5), AGAIN


@pytest.mark.nightly
@pytest.mark.parametrize("name", contest.BUILD)
def test_the_stored_results_are_those_of_this_code(name):
    stored = contest.stored()
    found = contest.measured(name, contest.best(stored, name))
    assert found.keys() | {"validation"} == stored[name].keys()
    for column, numbers in found.items():
        within = 1.0 if column.startswith("right") else 3.0 if "noise" in column else 8.0 if "idle" in column else 15.0
        mine, theirs = (sum(each) / len(each) for each in (numbers, stored[name][column]))
        assert mine == pytest.approx(theirs, abs=within), f"{column}: {AGAIN}"
