"""The long comparison: what it writes, when it is made again, and that a lesson finds it. Made small here, but run."""

import json
import math
from dataclasses import replace

import pytest
import torch

from moe_tutorial.layers import GPT
from moe_tutorial.study import comparison, multiplications, texts


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "FOLDER", tmp_path)
    monkeypatch.delenv("MOE_SEED", raising=False)
    return tmp_path


def test_the_two_cost_the_same():
    tokens = torch.zeros(1, 64, dtype=torch.long)
    dense, experts = (multiplications(GPT(c), tokens) for c in (comparison.DENSE, comparison.EXPERTS))
    assert dense == experts


def test_one_seed_trains_four_models_side_by_side(monkeypatch):
    for name, value in {"STEPS": 4, "DENSE_STEPS": 6, "EVERY": 2}.items():
        monkeypatch.setattr(comparison, name, value)
    threads = torch.get_num_threads()
    found = comparison.one_seed(3)
    torch.set_num_threads(threads)
    tests = {kind: len(curve) for kind, curve in found["curves"].items()}
    assert tests == {"dense": 4, "experts": 3, "table": 3, "dice": 3}
    losses = [curve[-1]["loss"] for curve in found["curves"].values()]
    assert all(len(loss) == 3 for loss in losses)
    assert len({sum(loss) for loss in losses}) == 4
    assert json.loads(json.dumps(found)) == found


def test_the_expert_tells_no_more_than_there_is_to_know_and_chance_tells_next_to_nothing():
    data = texts()
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
    told = comparison.test_windows(GPT(comparison.EXPERTS), data)[2].repeat_interleave(comparison.EXPERTS.context)
    model = GPT(replace(comparison.EXPERTS, mixture={"router": lambda x: comparison.always(told, x)}))
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


def test_results_are_found_by_seed_and_otherwise_those_of_the_course(small, monkeypatch):
    assert comparison.results() is None
    own = small / f"{comparison.digest()}-seed-0.json"
    own.write_text('{"runs": "of the course"}')
    assert comparison.file() == own
    assert comparison.results() == {"runs": "of the course"}
    monkeypatch.setenv("MOE_SEED", "7")
    assert comparison.results() == {"runs": "of the course"}
    comparison.file().write_text('{"runs": "of seed 7"}')
    assert comparison.results() == {"runs": "of seed 7"}


def test_what_is_there_is_not_made_again_and_other_code_has_other_results(small, monkeypatch, capsys):
    comparison.file().write_text("{}")
    monkeypatch.setattr(comparison, "one_seed", None)  # would fail
    assert comparison.build() == comparison.file()
    assert "up to date" in capsys.readouterr().out
    before = comparison.digest()
    copy = small / "package"
    for part in ("layers", "study"):
        (copy / part).mkdir(parents=True)
        for path in (comparison.PACKAGE / part).glob("*.py"):
            (copy / part / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(comparison, "PACKAGE", copy)
    assert comparison.digest() == before
    with (copy / "layers" / "gpt.py").open("a") as file:
        file.write("# a change\n")
    assert comparison.digest() != before
    assert comparison.results() is None
