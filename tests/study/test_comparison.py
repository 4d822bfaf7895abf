"""The long comparison: its parts, made small but run; and that its results are of the experiment that stands here."""

import json
import math
from dataclasses import replace

import pytest
import torch

from moe_tutorial.layers import GPT, Router
from moe_tutorial.study import multiplications, texts
from moe_tutorial.study.systems import comparison


@pytest.fixture(scope="module")
def data():
    return texts(comparison.N_CHARACTERS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "FOLDER", tmp_path)
    monkeypatch.delenv("MOE_SEED", raising=False)
    return tmp_path


def first_steps(monkeypatch, data):
    monkeypatch.setattr(comparison, "texts", lambda n: data)  # read once
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = comparison.plain(comparison.first_steps())
    torch.set_num_threads(threads)
    return found


def test_the_two_cost_the_same():
    tokens = torch.zeros(1, 64, dtype=torch.long)
    dense, experts = (multiplications(GPT(c), tokens) for c in (comparison.DENSE, comparison.EXPERTS))
    assert dense == experts


def test_one_seed_trains_four_models_side_by_side(data):
    found = comparison.one_seed(3, data, steps=4, dense_steps=6, every=2)
    tests = {kind: len(curve["seconds"]) for kind, curve in found["curves"].items()}
    assert tests == {"dense": 4, "experts": 3, "table": 3, "dice": 3}
    ends = [[curve[name][-1] for name in data.names] for curve in found["curves"].values()]
    assert len({sum(loss) for loss in ends}) == 4
    assert json.loads(json.dumps(found)) == found


def test_the_expert_tells_no_more_than_there_is_to_know_and_chance_tells_next_to_nothing(data):
    bits = comparison.information(comparison.with_table(0), data)
    domain, kind = bits.pop("most")
    assert domain == pytest.approx(math.log2(3))
    assert 0.1 < bits["class"][0] < kind
    assert 0.05 < bits["domain"][0] < domain
    for about in ("domain", "class", "domain beyond the character"):
        assert 0 <= bits[f"{about}, shuffled"][0] < 0.02
    # A table of characters knows nothing of the domain beyond them.
    assert bits["domain beyond the character"] == pytest.approx([0, 0], abs=1e-9)
    # A router that is told the domain tells all of it, and most of it beyond the character.
    told = comparison.unseen_windows(GPT(comparison.EXPERTS), data)[2].repeat_interleave(comparison.EXPERTS.context)
    model = GPT(replace(comparison.EXPERTS, router=lambda x: comparison.always(told, x)))
    bits = comparison.information(model, data)
    assert bits["domain"][0] == pytest.approx(domain)
    assert 0.5 < bits["domain beyond the character"][0] < domain
    assert bits["domain beyond the character, shuffled"][0] < 0.05


def test_the_dice_choose_evenly_and_know_nothing():
    model = comparison.with_dice(0).eval()
    tokens = torch.zeros(100, 64, dtype=torch.long)
    first, second = (model(tokens)[2][0] for _ in range(2))
    counts = first.indices.flatten().bincount(minlength=8)
    assert (counts / 6400 - 1 / 8).abs().max() < 0.02
    assert first.weights.unique().tolist() == [1.0]
    assert not torch.equal(first.indices, second.indices)
    again = comparison.with_dice(0).eval()(tokens)[2][0]
    assert torch.equal(first.indices, again.indices)


def test_the_table_names_an_expert_for_each_character_whatever_stands_around_it():
    model = comparison.with_table(0).eval()
    tokens = torch.randint(96, (4, 64), generator=torch.Generator().manual_seed(1))
    records = model(tokens)[2]
    named = {}
    for character, expert in zip(tokens.flatten().tolist(), records[0].indices.flatten().tolist(), strict=True):
        assert named.setdefault(character, expert) == expert
    assert torch.equal(records[0].indices, records[1].indices)
    every = model(torch.arange(96)[:64][None])[2][0].indices.flatten()
    assert len(every.unique()) == 8
    assert list(model.state_dict()) == list(comparison.with_dice(0).state_dict())  # nothing to learn in either


def test_the_course_has_results_of_this_experiment(folder, monkeypatch, data):
    """Where this fails, the experiment has changed: make comparison, and read what the lesson's claims say then."""
    found = comparison.results()
    assert comparison.difference(first_steps(monkeypatch, data), found["first steps"], comparison.WITHIN) is None
    assert [run["seed"] for run in found["runs"]] == list(range(comparison.N_SEEDS))
    for run in found["runs"]:
        tests = {kind: {len(column) for column in curve.values()} for kind, curve in run["curves"].items()}
        few, many = ({steps // comparison.EVERY + 1} for steps in (comparison.STEPS, comparison.DENSE_STEPS))
        assert tests == {"dense": many, "experts": few, "table": few, "dice": few}
        assert set(run["curves"]["dense"]) == {"seconds", *data.names}


def test_the_results_are_of_texts_like_those_that_stand_here(data):
    """The manual and the library are a little different in each Python; the sums are everybody's."""
    made = comparison.results(first=0)["made"]
    assert comparison.fingerprints(data)["arithmetic"] == made["texts"]["arithmetic"]
    assert comparison.entropies(data) == pytest.approx(made["entropies"], abs=0.05)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("STEPS", 800, "steps: 800 here, 700 there"),
        ("TRAINING", comparison.TRAINING | {"learning_rate": 4e-3}, "training, learning_rate: 0.004 here, 0.003 there"),
        ("EXPERTS", replace(comparison.EXPERTS, noise=0.3), "experts, noise: 0.3 here, None there"),
    ],
)
def test_results_of_another_definition_are_not_read(folder, monkeypatch, name, value, found):
    monkeypatch.setattr(comparison, name, value)
    with pytest.raises(comparison.OtherExperiment, match=rf"{found}.*Make it again: make comparison"):
        comparison.results()


ANOTHER_GATE = ("topk_softmax", *Router.__init__.__defaults__[1:])


@pytest.mark.parametrize(
    ("owner", "name", "other", "noticed"),
    [
        (Router.__init__, "__defaults__", ANOTHER_GATE, "curves, experts"),
        (comparison, "with_table", lambda seed, build=comparison.with_table: build(seed + 1), "curves, table"),
        (torch.optim, "AdamW", torch.optim.Adam, "information, trained"),
    ],
)
def test_results_of_another_code_differ_in_the_first_steps(monkeypatch, data, owner, name, other, noticed):
    monkeypatch.setattr(owner, name, other)
    stored = comparison.results(first=0)["first steps"]
    assert noticed in comparison.difference(first_steps(monkeypatch, data), stored, comparison.WITHIN)


def test_other_seeds_have_results_of_their_own_or_none(folder, monkeypatch):
    monkeypatch.setenv("MOE_SEED", "7")
    assert comparison.results() is None
    assert comparison.command(7000) == "MOE_SEED=7 make comparison"
    own = comparison.results(first=0) | {"runs": "of seed 7"}
    path = folder / "seeds-from-7000.json"
    path.write_text(json.dumps(own))
    assert comparison.results()["runs"] == "of seed 7"
    assert comparison.results(first=0)["runs"] != "of seed 7"
    own["first steps"]["curves"]["table"]["code"][2] += 0.002
    path.write_text(json.dumps(own))
    with pytest.raises(comparison.OtherExperiment, match=r"curves, table, code, 2.*: MOE_SEED=7 make comparison"):
        comparison.results()
    monkeypatch.setattr(comparison, "STEPS", 800)
    with pytest.raises(comparison.OtherExperiment, match="steps: 800 here, 700 there"):
        comparison.results()


def test_a_difference_is_named_by_its_place():
    there = {"a": [1, {"b": 0.5}], "c": "d"}
    assert comparison.difference({"a": [1, {"b": 0.5009}], "c": "d"}, there, 1e-3) is None
    assert (
        comparison.difference({"a": [1, {"b": 0.5011}], "c": "d"}, there, 1e-3) == ", a, 1, b: 0.5011 here, 0.5 there"
    )
    assert comparison.difference([math.nan], [0.5], 1e-3) is not None
