"""Texts to predict, and the training that predicts them."""

import ast
import math

import pytest
import torch

from moe_tutorial.layers import GPT, GPTConfig, hardening_loss
from moe_tutorial.study import (
    CHARACTER_CLASSES,
    CHARACTERS,
    Texts,
    TrainingDiverged,
    character_class,
    decode,
    encode,
    loss_by_domain,
    missed,
    route_text,
    texts,
    train_gpt,
    windows,
)
from moe_tutorial.study.language import losses_of_a_tenth, without_experts

N = 20_000


@pytest.fixture(scope="module")
def data() -> Texts:
    return texts(N)


def tiny(**changes):
    torch.manual_seed(0)
    return GPT(GPTConfig(len(CHARACTERS), **{"context": 16, "d_model": 16, "n_heads": 2, "d_hidden": 16} | changes))


def test_three_domains_of_one_size_split_without_overlap(data):
    assert data.names == ("prose", "code", "arithmetic")
    assert data.train.shape == (3, N - N // 10)
    assert data.test.shape == (3, N // 10)
    assert data.train.dtype == torch.int64
    assert data.train.min() >= 0
    assert data.train.max() < len(CHARACTERS) == 96


def test_each_domain_is_what_it_says(data):
    prose, code, arithmetic = (decode(stream) for stream in data.train)
    for line in arithmetic.split("\n")[:-1]:
        left, right = line.split("=")
        assert eval(left) == int(right), line
    assert sum(c.isalpha() or c == " " for c in prose) > 0.9 * len(prose)
    assert prose.count("\n    ") == 0
    assert code.count("\n    ") > 100
    assert '"""' not in code
    assert "#" not in "".join(line for line in code.split("\n") if "'" not in line)
    ast.parse(code[: code.rindex("\nclass ")])  # it is Python, up to where a statement is cut


def test_text_and_numbers_go_back_and_forth():
    assert decode(encode(CHARACTERS)) == CHARACTERS
    assert decode(encode("Zoë\tsaid\r\n“hi” €")) == "Zoe said\n?hi? ?"


def test_every_character_has_its_class():
    names = [CHARACTER_CLASSES[i] for i in character_class(encode("aZ7 \n+_"))]
    assert names == ["lower case", "upper case", "digit", "space", "line end", "sign", "sign"]


def test_a_text_of_your_own_is_a_domain(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("Ein schöner Tag. " * 500, encoding="utf-8")
    data = texts(5000, own={"mine": mine, "prose": str(mine)})
    assert data.names == ("prose", "code", "arithmetic", "mine")
    assert decode(data.train[3, :16]) == "Ein schoner Tag."
    assert torch.equal(data.train[0], data.train[3])


def test_what_is_wrong_with_a_text_is_said(tmp_path):
    short, binary = tmp_path / "short.txt", tmp_path / "picture.png"
    short.write_text("too short")
    binary.write_bytes(b"\x89PNG\xff\xfe" * 1000)
    with pytest.raises(ValueError, match="mine holds 9 characters; allowed is n = 5000 or more"):
        texts(5000, own={"mine": short})
    with pytest.raises(ValueError, match="is not a text in UTF-8"):
        texts(5000, own={"mine": binary})


def test_windows_are_pieces_of_their_domain_and_targets_come_next(data):
    tokens, targets, domains = windows(data.train, 7, 16, torch.Generator().manual_seed(0))
    assert domains.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert torch.equal(tokens[:, 1:], targets[:, :-1])
    for piece, target, domain in zip(tokens, targets, domains, strict=True):
        assert decode(torch.cat([piece, target[-1:]])) in decode(data.train[domain])
    exact, following, _ = windows(data.train[:, :17], 3, 16, torch.Generator())
    assert torch.equal(exact[0], data.train[0, :16])
    assert torch.equal(following[0], data.train[0, 1:17])


@pytest.mark.parametrize("feed_forward", ["dense", "moe", "fff"])
def test_training_learns_and_tells_how_far_it_is(data, feed_forward):
    model = tiny(feed_forward=feed_forward)
    snapshots = list(train_gpt(model, data, seed=0, steps=60, every=20))
    assert [snapshot.step for snapshot in snapshots] == [0, 20, 40, 60]
    seconds = [snapshot.seconds for snapshot in snapshots]
    assert seconds[0] == 0
    assert seconds == sorted(seconds)
    assert float(snapshots[0].loss.mean()) == pytest.approx(math.log(96), abs=0.4)
    assert (snapshots[-1].loss < snapshots[0].loss - 0.5).all()
    torch.testing.assert_close(loss_by_domain(model, data), snapshots[-1].loss)
    again = tiny(feed_forward=feed_forward)
    torch.testing.assert_close(list(train_gpt(again, data, seed=0, steps=60, every=60))[-1].loss, snapshots[-1].loss)


def test_the_balance_loss_balances(data):
    def largest(balance):
        model = tiny(feed_forward="moe", n_layers=1)
        list(train_gpt(model, data, seed=0, steps=60, balance=balance))
        tokens, _, _ = windows(data.test, 60, 16, torch.Generator().manual_seed(0))
        return float(model(tokens)[2][0].indices.flatten().bincount(minlength=8).max() / tokens.numel())

    assert largest(1.0) < largest(0.0) - 0.05


def test_a_penalty_hardens_a_tree_and_knows_the_step(data):
    def entropy(weight):
        steps = []

        def penalty(descent, step):
            steps.append(step)
            return weight * hardening_loss(descent)

        model = tiny(feed_forward="fff", depth=2)
        list(train_gpt(model, data, seed=0, steps=40, penalty=penalty))
        assert steps == [step for step in range(1, 41) for _ in model.blocks]
        tokens, _, _ = windows(data.test, 60, 16, torch.Generator().manual_seed(0))
        return float(hardening_loss(model.train()(tokens)[2][0]).detach())

    assert entropy(3.0) < 0.8 * entropy(0.0)


def test_the_loss_is_asked_for_in_evaluation_and_the_mode_comes_back(data):
    model = tiny(feed_forward="moe", noise=2.0).train()
    assert torch.equal(loss_by_domain(model, data), loss_by_domain(model, data))
    assert model.training


def test_training_stops_where_the_loss_is_no_number(data):
    model = tiny()
    with torch.no_grad():
        model.head.weight.fill_(float("inf"))
    with pytest.raises(TrainingDiverged, match=r"at step 1 \(seed 0\)"):
        list(train_gpt(model, data, seed=0, steps=2))


@pytest.mark.parametrize("options", [{"feed_forward": "moe", "top_k": 2}, {"feed_forward": "fff"}])
def test_a_texts_records_are_those_of_its_pieces_in_evaluation(data, options):
    length = 39  # two pieces of 16 and a shorter one
    model, text = tiny(**options).train(), data.test[0, :length]
    found = route_text(model, text)
    assert model.training
    pieces = [model.eval()(piece[None])[2] for piece in text.split(16)]
    assert len(found) == len(model.blocks)
    for block, record in enumerate(found):
        for name, field in record._asdict().items():
            parts = [getattr(piece[block], name) for piece in pieces]
            if field is None:
                assert parts[0] is None
            else:
                torch.testing.assert_close(field, torch.cat(parts).detach(), atol=1e-5, rtol=1e-5)
                assert len(field) == length
                assert not field.requires_grad


@torch.no_grad()
def test_where_an_expert_is_off_the_next_best_takes_its_tokens(data):
    model, text = tiny(feed_forward="moe", n_experts=4, top_k=2).eval(), data.test[:1, :16]
    (before, _), (after, behind) = model(text)[2], without_experts(model, [[1, 0, 0, 0], [0, 1, 0, 0]])(text)[2]
    assert (before.indices == 0).any()
    rest = before.logits[:, 1:].softmax(-1).topk(2)  # among those that are on
    assert torch.equal(after.indices, rest.indices + 1)
    torch.testing.assert_close(after.weights, rest.values)
    assert not (behind.indices == 1).any()
    nobody = without_experts(model, [[False] * 4] * 2)
    torch.testing.assert_close(nobody(text)[0], model(text)[0])


@torch.no_grad()
def test_how_much_an_expert_is_missed_is_the_loss_without_it():
    model, ids = tiny(feed_forward="moe", n_experts=4).eval(), encode("12 + 3 = 15, it")
    usual, costs, asked = missed(model, ids)
    assert usual == pytest.approx(model(ids[None, :-1], ids[None, 1:])[1].item())
    for block, routing in enumerate(route_text(model, ids[:-1])):
        for expert in range(4):
            off = [[(b, e) == (block, expert) for e in range(4)] for b in range(2)]
            loss = without_experts(model, off)(ids[None, :-1], ids[None, 1:])[1].item()
            assert costs[block, expert].item() == pytest.approx(loss - usual, abs=1e-5)
            assert asked[block, expert] == (routing.indices == expert).any()


@torch.no_grad()
def test_a_tenth_of_the_neurons_is_enough_where_the_others_write_nothing(data):
    assert len(set(losses_of_a_tenth(tiny(d_hidden=40), data).values())) == 4
    model = tiny(d_hidden=40)
    for block in model.blocks:
        block.feed_forward[-1].weight[:, 4:] = 0
        block.feed_forward[-1].weight *= 10
    losses = losses_of_a_tenth(model, data)
    assert losses["all"] == float(loss_by_domain(model, data).mean())  # the model itself is left alone
    assert losses["own"] == pytest.approx(losses["all"]) == losses["fixed"]
    assert abs(losses["random"] - losses["all"]) > 1e-3
