"""The long comparison: its parts, made small but run; and that its results are of the experiment that stands here."""

import json
import platform
from dataclasses import replace
from functools import partial

import pytest
import torch

from moe_tutorial.study import texts, train_gpt
from moe_tutorial.study.systems import comparison


@pytest.fixture(scope="module")
def data():
    return texts(comparison.N_CHARACTERS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "FOLDER", tmp_path)
    return tmp_path


def compare_first_steps(monkeypatch, data):
    monkeypatch.setattr(comparison, "texts", lambda n: data)  # read once
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found, stored = comparison.first_steps(), comparison.results(first=0)["first steps"]
    torch.set_num_threads(threads)
    torch.testing.assert_close(found, stored, atol=comparison.WITHIN, rtol=0)


def test_like_is_compared_with_like():
    sizes = {kind: comparison.sizes(build(0)) for kind, build in comparison.KINDS.items()}
    of_the_same_size = {str(sizes[kind]) for kind in ("experts", "experts 1", "frozen", "frozen 1", "table p")}
    assert of_the_same_size == {str(sizes["experts"])}
    assert sizes["dense"]["multiplications"] == sizes["experts"]["multiplications"]
    assert sizes["dense"]["active"] == pytest.approx(sizes["experts"]["active"], rel=1e-3)
    assert sizes["large"]["parameters"] == pytest.approx(sizes["experts"]["parameters"], rel=1e-3)
    assert sizes["table 1"] == sizes["dice"]
    assert sizes["one"]["multiplications"] == pytest.approx(sizes["dense"]["multiplications"], rel=2e-3)


@pytest.mark.nightly
def test_one_seed_trains_all_kinds_side_by_side(data):
    found = comparison.one_seed(3, data, steps=dict.fromkeys(comparison.KINDS, 4) | {"dense": 6}, every=2)
    tests = {kind: len(curve["seconds"]) for kind, curve in found["curves"].items()}
    assert tests == dict.fromkeys(comparison.KINDS, 3) | {"dense": 4}
    ends = [[curve[name][-1] for name in data.names] for curve in found["curves"].values()]
    assert len({sum(loss) for loss in ends}) == len(comparison.KINDS)
    assert json.loads(json.dumps(found)) == found


def test_a_frozen_router_begins_as_one_that_learns_and_stays_so(data):
    models = [comparison.KINDS[kind](torch.manual_seed(1)) for kind in ("experts", "frozen")]
    begun, _ = ({name: value.clone() for name, value in model.state_dict().items()} for model in models)
    list(train_gpt(models[1], data, seed=1, steps=2, every=2))
    same = {name for name, value in models[1].state_dict().items() if torch.equal(value, begun[name])}
    assert same == {f"blocks.{number}.feed_forward.router.weight" for number in (0, 1)}


def test_a_lead_is_taken_where_both_have_spent_the_same():
    loss = {"experts": [3.0, 2.0, 1.0], "dense": [3.0, 2.5, 2.0, 1.5]}
    clock = {"experts": [0.0, 4.0, 8.0], "dense": [0.0, 2.0, 4.0, 6.0]}
    runs = [{"curves": {kind: {"seconds": clock[kind], "prose": loss[kind], "code": loss[kind]} for kind in loss}}]
    found = {"runs": runs, "kinds": {"experts": {"multiplications": 1}, "dense": {"multiplications": 2}}}
    for axis, lead in {"steps": 1, "seconds": 0, "multiplications": 1.5}.items():
        assert comparison.lead(found, "experts", "dense", axis) == pytest.approx([lead])
        assert comparison.lead(found, "dense", "experts", axis) == pytest.approx([-lead])
    after = {"steps": 100, "other": "dense"}
    assert comparison.lead(found, "experts", axis="steps", **after) == pytest.approx([0.5])
    assert comparison.lead(found, "experts", axis="seconds", **after) == pytest.approx([0])
    assert comparison.lead(found, "dense", "experts", "seconds", steps=300) == pytest.approx([0])  # at its own end
    assert comparison.curve(found, "dense", "multiplications")[0][0, 1] == comparison.EVERY * 16 * 64 * 2


def test_a_gate_weight_of_1_changes_the_weights_alone_and_leaves_the_loss_no_gradient_for_the_router():
    tokens = torch.randint(96, (2, 65), generator=torch.Generator().manual_seed(1))
    for kind in ("experts", "frozen"):
        models = [comparison.KINDS[name](torch.manual_seed(1)) for name in (kind, f"{kind} 1")]
        (ours, *_), (of_1, *_) = (model(tokens[:, :-1], tokens[:, 1:])[2] for model in models)
        assert torch.equal(ours.indices, of_1.indices)
        assert torch.equal(ours.probs, of_1.probs)
        assert of_1.weights.unique().tolist() == [1.0]
    models[0] = comparison.KINDS["experts 1"](torch.manual_seed(1))
    models[0](tokens[:, :-1], tokens[:, 1:])[1].backward()
    assert all(block.feed_forward.router.router.weight.grad is None for block in models[0].blocks)


def test_a_table_chooses_and_a_router_weighs():
    tokens = torch.randint(96, (2, 65), generator=torch.Generator().manual_seed(1))
    of_1, of_p = (comparison.KINDS[kind](3) for kind in ("table 1", "table p"))
    _, loss, records = of_p(tokens[:, :-1], tokens[:, 1:])
    for record, fixed in zip(records, of_1(tokens[:, :-1])[2], strict=True):
        assert torch.equal(record.indices, fixed.indices)
        assert torch.equal(record.weights, record.probs.gather(1, record.indices))
    loss.backward()
    assert all(block.feed_forward.router.router.weight.grad.abs().sum() > 0 for block in of_p.blocks)


def test_the_dice_choose_evenly_and_know_nothing():
    model = comparison.with_dice(0).eval()
    tokens = torch.zeros(100, 64, dtype=torch.long)
    first, second = (model(tokens)[2][0] for _ in range(2))
    counts = first.indices.flatten().bincount(minlength=8)
    assert (counts / 6400 - 1 / 8).abs().max() < 0.02
    assert first.weights.unique().tolist() == [1.0]
    assert not torch.equal(first.indices, second.indices)
    assert torch.equal(first.indices, comparison.with_dice(0).eval()(tokens)[2][0].indices)


def test_the_table_names_an_expert_for_each_character_whatever_stands_around_it():
    model = comparison.TableGPT(0).eval()
    tokens = torch.randint(96, (4, 64), generator=torch.Generator().manual_seed(1))
    records = model(tokens)[2]
    named = {}
    for character, expert in zip(tokens.flatten().tolist(), records[0].indices.flatten().tolist(), strict=True):
        assert named.setdefault(character, expert) == expert
    assert torch.equal(records[0].indices, records[1].indices)
    every = model(torch.arange(96)[:64][None])[2][0].indices.flatten()
    assert len(every.unique()) == 8


def test_the_course_has_results_of_this_experiment(data):
    """Where this fails, the experiment has changed: make comparison, and read what the lesson's claims say then."""
    found = comparison.results()
    assert found["kinds"] == {kind: comparison.sizes(build(0)) for kind, build in comparison.KINDS.items()}
    assert [run["seed"] for run in found["runs"]] == list(range(comparison.N_SEEDS))
    for run in found["runs"]:
        tests = {kind: {len(column) for column in curve.values()} for kind, curve in run["curves"].items()}
        assert tests == {kind: {steps // comparison.EVERY + 1} for kind, steps in comparison.STEPS.items()}
        assert set(run["curves"]["dense"]) == {"seconds", *data.names}


def test_the_results_are_of_texts_like_those_that_stand_here(data):
    """The manual and the library are a little different in each version of Python; the sums are everybody's."""
    here, made = comparison.fingerprints(data), comparison.results(first=0)["made"]
    same = data.names if platform.python_version() == made["python"] else ["arithmetic"]
    assert [here[name] for name in same] == [made["texts"][name] for name in same]


def test_results_of_another_definition_are_not_read(folder, monkeypatch):
    monkeypatch.setattr(comparison, "LARGE", replace(comparison.LARGE, d_hidden=512))
    with pytest.raises(comparison.OtherExperiment, match=r"differs in large\. Make it again: make comparison"):
        comparison.results()


@pytest.mark.nightly
def test_this_code_begins_as_the_results_do(monkeypatch, data):
    compare_first_steps(monkeypatch, data)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("owner", "name", "other", "noticed"),
    [
        (comparison.KINDS, "frozen", comparison.KINDS["experts"], r"curves.*frozen"),
        (torch.optim, "AdamW", partial(torch.optim.AdamW, betas=(0.9, 0.9)), r"curves.*dense"),
    ],
)
def test_results_of_another_code_differ_in_the_first_steps(monkeypatch, data, owner, name, other, noticed):
    (monkeypatch.setitem if isinstance(owner, dict) else monkeypatch.setattr)(owner, name, other)
    with pytest.raises(AssertionError, match=noticed):
        compare_first_steps(monkeypatch, data)


def test_other_seeds_have_results_of_their_own_or_none(folder, monkeypatch):
    monkeypatch.setenv("MOE_SEED", "7")
    assert comparison.results() is None
    assert comparison.command(7000) == "MOE_SEED=7 make comparison"
    own = comparison.results(first=0) | {"runs": "of seed 7"}
    path = folder / "seeds-from-7000.json"
    path.write_text(json.dumps(own))
    assert comparison.results()["runs"] == "of seed 7"
    assert comparison.results(first=0)["runs"] != "of seed 7"
    own["first steps"]["curves"]["table 1"]["code"][2] += 0.002
    path.write_text(json.dumps(own))
    with pytest.raises(comparison.OtherExperiment, match=r"(?s)'code'\]\[2\].*: MOE_SEED=7 make comparison"):
        comparison.results()
