"""The GPT: no position hears from a later one, a cache changes nothing, and a dense block is torch's own."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from moe_tutorial.layers import GPT, GPTConfig, Router, Routing, switch_loss

V, C = 20, 16
TREE = {"feed_forward": "fff", "depth": 2}


def gpt(feed_forward="moe", **changes):
    torch.manual_seed(0)
    sizes = {"context": C, "n_heads": 2, "d_model": 16, "d_hidden": 24, "n_experts": 4, "feed_forward": feed_forward}
    return GPT(GPTConfig(V, **sizes | changes)).eval()


def tokens(*shape, seed=1):
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("options", [{"feed_forward": "dense"}, {}, {"top_k": 2}, {"n_shared": 1}, TREE])
@settings(max_examples=15, deadline=None)
@given(at=st.integers(1, C - 1), seed=st.integers(0, 1000))
def test_no_position_hears_from_a_later_one_not_even_through_routing(options, at, seed):
    model = gpt(**options)
    before = tokens(2, C, seed=seed)
    after = torch.cat([before[:, :at], tokens(2, C - at, seed=seed + 1)], dim=1)
    (one, _, records), (other, _, others) = model(before), model(after)
    torch.testing.assert_close(one[:, :at], other[:, :at])
    for record, changed in zip(records, others, strict=True):
        if record is not None:
            for name in ("leaf",) if options == TREE else ("indices", "weights", "logits"):
                mine, its = (getattr(r, name).unflatten(0, (2, C))[:, :at] for r in (record, changed))
                torch.testing.assert_close(mine, its)


def test_a_dense_model_is_the_reference_of_torch():
    model = gpt("dense")
    x = tokens(3, C)
    y = model.token(x) + model.position.weight
    for block in model.blocks:
        reference = nn.TransformerEncoderLayer(16, 2, 24, 0.0, F.gelu, batch_first=True, norm_first=True)
        mine, its = block.state_dict(), reference.state_dict()
        names = {
            "self_attn.in_proj_": "attention.query_key_value.",
            "self_attn.out_proj.": "attention.out.",
            "linear1.": "feed_forward.0.",
            "linear2.": "feed_forward.2.",
            "norm1.": "attention_norm.",
            "norm2.": "feed_forward_norm.",
        }
        for old, new in names.items():
            for part in ("weight", "bias"):
                its[old + part] = mine[new + part]
        reference.load_state_dict(its)
        y = reference(y, src_mask=nn.Transformer.generate_square_subsequent_mask(C), is_causal=True)
    expected = model.head(model.norm(y))
    torch.testing.assert_close(model(x)[0], expected)


@pytest.mark.parametrize("options", [{"feed_forward": "dense"}, {}, {"top_k": 2}, TREE])
@settings(max_examples=15, deadline=None)
@given(parts=st.lists(st.integers(1, 5), min_size=2, max_size=6).filter(lambda parts: sum(parts) <= C))
def test_a_cache_changes_nothing_however_the_tokens_come(options, parts):
    model, cache = gpt(**options), []
    x = tokens(2, sum(parts))
    whole, _, records = model(x)
    came = [model(part, cache=cache) for part in x.split(parts, dim=1)]
    torch.testing.assert_close(torch.cat([logits for logits, _, _ in came], dim=1), whole)
    if records[0] is not None:
        name = "leaf" if options == TREE else "indices"
        for number, record in enumerate(records):
            pieces = [getattr(step[2][number], name).unflatten(0, (2, -1)) for step in came]
            assert torch.equal(torch.cat(pieces, dim=1).flatten(0, 1), getattr(record, name))


def without_cache(model, x, n_new, choose):
    """What generate() promises, spelled out: read everything again for each token."""
    seen = x[:, -C:]
    for _ in range(n_new):
        if seen.shape[1] > C:
            seen = x[:, -(C // 2) :]
        new = choose(model(seen)[0][:, -1])
        x, seen = torch.cat([x, new], dim=1), torch.cat([seen, new], dim=1)
    return x


@pytest.mark.parametrize("feed_forward", ["dense", "moe", "fff"])
@pytest.mark.parametrize("start", [1, 5, C, C + 7])
def test_generation_with_a_cache_is_generation_without_one_past_the_context_too(feed_forward, start):
    model = gpt(feed_forward)
    x = tokens(2, start)
    greedy = without_cache(model, x, 3 * C, lambda scores: scores.argmax(-1, keepdim=True))
    assert torch.equal(model.generate(x, 3 * C, temperature=0), greedy)
    g = torch.Generator().manual_seed(3)
    drawn = without_cache(model, x, C, lambda s: torch.multinomial((s / 0.7).softmax(-1), 1, generator=g))
    assert torch.equal(model.generate(x, C, 0.7, torch.Generator().manual_seed(3)), drawn)


def test_generation_is_deterministic_in_its_generator_and_leaves_the_mode_alone():
    model = gpt(noise=1.0).train()
    x = tokens(1, 3)
    one, two = (model.generate(x, 10, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)  # noise would differ
    assert model.training
    assert torch.equal(model.generate(x, 0), x)


def test_records_are_returned_and_nothing_is_kept():
    model = gpt(top_k=2)
    before = set(vars(model)) | {name for module in model.modules() for name in vars(module)}
    logits, loss, records = model(tokens(3, 7), tokens(3, 7, seed=2))
    assert [type(record) for record in records] == [Routing, Routing]
    assert records[0].indices.shape == (21, 2)
    assert logits.shape == (3, 7, V)
    assert set(vars(model)) | {name for module in model.modules() for name in vars(module)} == before
    (loss + sum(map(switch_loss, records))).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert gpt("dense")(tokens(3, 7))[1:] == (None, [None, None])
    soft = gpt(**TREE).train()(tokens(3, 7))[2]
    assert [record.weights.shape for record in soft] == [(21, 4), (21, 4)]


def test_the_loss_is_the_mean_over_the_targets_that_are_asked_for():
    model, x, y = gpt(), tokens(2, 6), tokens(2, 6, seed=2)
    y[0, :4] = -100
    logits, loss, _ = model(x, y)
    own = -logits.log_softmax(-1).gather(-1, y.clamp_min(0)[..., None])[..., 0]
    torch.testing.assert_close(loss, own[y >= 0].mean())


def test_the_options_reach_the_layers():
    router = Router(16, 4, 1)
    blocks = gpt(router=router, n_shared=2, dispatch="dense").blocks
    assert [block.feed_forward.router is router for block in blocks] == [True, True]
    assert [block.feed_forward.shared.n_experts for block in blocks] == [2, 2]
    assert [block.feed_forward.dispatch for block in blocks] == ["dense", "dense"]
    assert [block.feed_forward.router.noise for block in gpt(noise="learned").blocks] == ["learned", "learned"]
    assert [block.feed_forward.dispatch for block in gpt("fff", dispatch="dense").blocks] == ["dense", "dense"]
    assert [block.feed_forward.leaves.activation for block in gpt("fff").blocks] == ["gelu", "gelu"]
    assert [block.experts.activation for block in (block.feed_forward for block in gpt().blocks)] == ["gelu", "gelu"]
