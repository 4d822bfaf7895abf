"""The GPT that runs in a page: its JavaScript computes what PyTorch does from the same rounded weights."""

import base64

import numpy as np
import pytest
import torch

from moe_tutorial.layers import GPT, ExpertChoiceRouter, GPTConfig
from moe_tutorial.show.widgets.live_gpt import Dare, dequantised, live_gpt, quantise
from moe_tutorial.study.language import without_experts

CHARACTERS = "abcdefghij klm\n"
V = len(CHARACTERS)
SMALL = {"context": 8, "n_heads": 2, "d_model": 12, "d_hidden": 10, "n_experts": 4, "feed_forward": "moe"}


def gpt(seed=0, **changes):
    torch.manual_seed(seed)
    model = GPT(GPTConfig(V, **SMALL | changes)).eval()
    for name, weight in model.named_parameters():  # as after a training: no bias is 0, no two rows have one scale
        if "norm" in name or "bias" in name:
            torch.nn.init.normal_(weight, mean=weight.mean().item(), std=0.3)
    return model


def pushed(model, ids):
    """The scores after each character, read as GPT.generate reads, and each block's experts and weights."""
    cache, scores, choices = [], [], []
    for end in range(1, len(ids) + 1):
        unread = ids[end - 1 : end]
        if cache and cache[0][0].shape[2] == model.config.context:
            cache, unread = [], ids[:end][-max(1, model.config.context // 2) :]
        logits, _, records = model(unread[None], cache=cache)
        scores.append(logits[0, -1])
        choices.append([(r.indices[-1].tolist(), r.weights[-1].tolist()) for r in records])
    return torch.stack(scores), choices


def in_page(engine, model, ids, off):
    weights, settings = quantise(model)
    code = base64.b64encode(weights).decode()
    return engine("gpt", settings=settings | {"characters": CHARACTERS}, weights=code, ids=ids.tolist(), off=off)


SHAPES = [
    {},
    {"n_layers": 1, "n_heads": 1, "top_k": 2, "context": 7},
    {"n_layers": 4, "n_heads": 3, "n_experts": 16, "top_k": 3, "d_model": 24},
    {"n_experts": 2, "top_k": 2, "context": 1},
    {"n_experts": 5, "d_hidden": 33, "noise": "learned"},
]


@pytest.mark.parametrize("some_off", [False, True])
@pytest.mark.parametrize("changes", SHAPES)
@torch.no_grad()
def test_the_pages_scores_are_those_of_pytorch_across_the_contexts_end(engine, changes, some_off):
    model = gpt(**changes)
    config = model.config
    rounded = dequantised(model)
    off = [[some_off and (e + b) % 2 == 0 for e in range(config.n_experts)] for b in range(config.n_layers)]
    rounded = without_experts(rounded, off)
    ids = rounded.generate(torch.tensor([[3, 1, 4]]), 3 * config.context, temperature=0)[0]
    page = in_page(engine, model, ids, off)
    scores, choices = pushed(rounded, ids)
    torch.testing.assert_close(torch.tensor(page["scores"]), scores, atol=1e-3, rtol=0)
    taken_back = [each for each in page["again"] if each]
    assert (config.context > 1) <= len(taken_back) < len(ids)  # what stood before the context was read again, stays
    assert all(each == page["scores"][-1] for each in taken_back)
    written = np.argmax(page["scores"], axis=1)
    assert written[2:-1].tolist() == ids[3:].tolist()  # the page would have written what generate() wrote
    for character, expected in zip(page["choices"], choices, strict=True):
        for choice, (experts, weights), gone in zip(character, expected, off, strict=True):
            asked = [e for e in experts if not gone[e]]  # where fewer than k are on, PyTorch adds some of weight 0
            assert choice["experts"] == asked
            assert choice["weights"] == pytest.approx(weights[: len(asked)], abs=1e-3)


def test_a_weight_moves_by_half_a_step_of_its_row_at_most():
    model = gpt()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    rounded = dequantised(model).state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name], atol=0, rtol=0)
        step = weight.abs().amax(-1, keepdim=True) / 127
        assert ((rounded[name] - weight).abs() <= 0.76 * step).all(), name
        assert not torch.equal(rounded[name], weight)
    twice = dequantised(dequantised(model)).state_dict()
    torch.testing.assert_close(twice, rounded, atol=1e-2, rtol=0)


def test_a_row_of_zeros_stays_zero():
    model = gpt()
    torch.nn.init.zeros_(model.blocks[0].attention.out.bias)
    assert not dequantised(model).blocks[0].attention.out.bias.any()


def test_the_page_gets_text_sizes_and_a_name_of_the_weights():
    model = gpt(top_k=2)
    state = torch.random.get_rng_state()
    dare = Dare("abc", "def", [(0, 1, "fed")], "a book")
    widget = live_gpt(model, "a\nb", characters=CHARACTERS, title="Mine", dares=[dare], link=True)
    assert torch.equal(torch.random.get_rng_state(), state)
    sizes = {"context": 8, "blocks": 2, "heads": 2, "width": 12, "hidden": 10, "experts": 4, "k": 2}
    digest = widget.settings["digest"]
    given = {"characters": CHARACTERS, "text": "a\nb", "title": "Mine", "link": True, "digest": digest}
    given["dares"] = [{"text": "abc", "right": "def", "experts": [(0, 1, "fed")], "source": "a book"}]
    assert widget.settings == sizes | given
    assert widget.weights == quantise(model)[0]
    assert live_gpt(gpt(seed=1), "a", characters=CHARACTERS).settings["digest"] != digest
    assert live_gpt(gpt(top_k=2), "a", characters=CHARACTERS).settings["digest"] == digest


def test_a_weight_that_is_no_number_is_refused():
    model = gpt()
    with torch.no_grad():
        model.head.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="a weight of the model holds 1 values that are NaN or infinite"):
        live_gpt(model, "abc", characters=CHARACTERS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feed_forward": "dense"}, "the page cannot run; allowed is one with experts"),
        ({"n_shared": 1}, "without shared experts or another router"),
        ({"router": ExpertChoiceRouter(12, 4, 1)}, "without shared experts or another router"),
        ({"n_experts": 17}, "model has 17 experts; allowed are 1 to 16"),
    ],
)
def test_a_model_that_the_page_cannot_run_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        live_gpt(gpt(**change), "abc", characters=CHARACTERS)


def test_a_text_with_a_character_that_the_model_does_not_know_is_refused():
    with pytest.raises(ValueError, match="text holds 'z'; allowed are the model's characters, 'abc"):
        live_gpt(gpt(), "abz", characters=CHARACTERS)
