"""The long comparison: what it writes, when it is made again, and that a lesson finds it. Made small here, but run."""

import json

import pytest
import torch

from moe_tutorial.layers import GPT
from moe_tutorial.study import comparison, multiplications


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "FOLDER", tmp_path)
    monkeypatch.delenv("MOE_SEED", raising=False)
    return tmp_path


def test_the_two_cost_the_same():
    tokens = torch.zeros(1, 64, dtype=torch.long)
    dense, experts = (multiplications(GPT(c), tokens) for c in (comparison.DENSE, comparison.EXPERTS))
    assert dense == experts


def test_one_seed_trains_three_models_side_by_side(monkeypatch):
    for name, value in {"STEPS": 4, "DENSE_STEPS": 6, "EVERY": 2}.items():
        monkeypatch.setattr(comparison, name, value)
    threads = torch.get_num_threads()
    found = comparison.one_seed(3)
    torch.set_num_threads(threads)
    assert {kind: len(tests) for kind, tests in found["curves"].items()} == {"dense": 4, "experts": 3, "dice": 3}
    losses = {kind: tests[-1]["loss"] for kind, tests in found["curves"].items()}
    assert all(len(loss) == 3 for loss in losses.values())
    assert losses["experts"] != losses["dice"]
    bits = found["information"]
    assert set(bits) == {"trained", "untrained"}
    assert bits["trained"].keys() == {"domain", "domain, shuffled", "class", "class, shuffled"}
    assert all(len(blocks) == 2 for blocks in bits["trained"].values())
    assert bits["untrained"]["class"][0] > bits["untrained"]["class, shuffled"][0]
    json.dumps(found)


def test_the_dice_choose_evenly_and_know_nothing():
    torch.manual_seed(0)
    routing = comparison.dice(torch.randn(8000, 64))
    counts = routing.indices.flatten().bincount(minlength=8)
    assert (counts / 8000 - 1 / 8).abs().max() < 0.02
    assert routing.weights.unique().tolist() == [1.0]
    assert not torch.equal(comparison.dice(torch.zeros(50, 64)).indices, comparison.dice(torch.zeros(50, 64)).indices)


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
