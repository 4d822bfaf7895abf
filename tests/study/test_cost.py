import os
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.study import multiplications, parameters
from moe_tutorial.study.cost import (
    FAMILIES,
    bytes_per_token,
    count_parameters,
    distinct_experts,
    multiplications_per_token,
    parts,
    published,
)

try:
    from transformers import AutoConfig, AutoModelForCausalLM
except ImportError:
    if os.environ.get("CI"):
        raise  # in CI the oracle is never left out
    AutoConfig = None

needs_transformers = pytest.mark.skipif(AutoConfig is None, reason="transformers, the oracle, is not installed")

# One tiny config for each family. Every size is a different number, so that no two can be mixed up unseen.
GPT2 = {"model_type": "gpt2", "vocab_size": 97, "n_positions": 31, "n_embd": 24, "n_layer": 3, "n_head": 4}
SHAPE = {"vocab_size": 97, "hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 4}
KV = {"num_key_value_heads": 2}
LOCAL = {"num_local_experts": 7, "num_experts_per_tok": 3, "intermediate_size": 18}
MIXTRAL = {"model_type": "mixtral"} | SHAPE | KV | LOCAL
OLMOE = {"model_type": "olmoe", "num_experts": 7, "num_experts_per_tok": 3, "intermediate_size": 18} | SHAPE
QWEN3 = (
    {"model_type": "qwen3_moe", "num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 18} | SHAPE | KV
)
QWEN3 |= {"intermediate_size": 42, "head_dim": 10}
DEEPSEEK = {"model_type": "deepseek_v3", "n_routed_experts": 8, "num_experts_per_tok": 3, "first_k_dense_replace": 2}
DEEPSEEK |= SHAPE | {"num_key_value_heads": 4, "q_lora_rank": 14, "kv_lora_rank": 12}
DEEPSEEK |= {"qk_rope_head_dim": 6, "qk_nope_head_dim": 10}
DEEPSEEK |= {"v_head_dim": 8, "moe_intermediate_size": 18, "intermediate_size": 42, "n_group": 4, "topk_group": 2}
GPT_OSS = {"model_type": "gpt_oss", "head_dim": 10, "sliding_window": 3} | SHAPE | KV | LOCAL
TINY = {tiny["model_type"]: tiny for tiny in (GPT2, MIXTRAL, OLMOE, QWEN3, DEEPSEEK, GPT_OSS)}
MIXTURES = [tiny for tiny in TINY.values() if tiny is not GPT2]
family = pytest.mark.parametrize("config", TINY.values(), ids=TINY.keys())
mixture = pytest.mark.parametrize("config", MIXTURES, ids=lambda config: config["model_type"])
model_name = pytest.mark.parametrize("model", published(), ids=lambda model: model.name)

VARIATIONS = [
    GPT2 | {"n_inner": None},
    GPT2 | {"n_inner": 50},
    GPT2 | {"tie_word_embeddings": False},
    MIXTRAL | {"head_dim": None},
    MIXTRAL | {"head_dim": 10},
    MIXTRAL | {"tie_word_embeddings": True},
    MIXTRAL | {"attention_bias": True},  # Mixtral has none
    OLMOE | {"num_key_value_heads": None},
    OLMOE | {"num_key_value_heads": 2},
    OLMOE | {"attention_bias": True, "tie_word_embeddings": True},
    QWEN3 | {"attention_bias": True, "tie_word_embeddings": True},
    QWEN3 | {"decoder_sparse_step": 2},
    QWEN3 | {"decoder_sparse_step": 3, "mlp_only_layers": [2]},
    QWEN3 | {"mlp_only_layers": [0, 4]},
    QWEN3 | {"mlp_only_layers": None},
    QWEN3 | {"mlp_only_layers": [0, 1, 2, 3, 4]},
    DEEPSEEK | {"q_lora_rank": None},
    DEEPSEEK | {"q_lora_rank": None, "attention_bias": True},
    DEEPSEEK | {"attention_bias": True, "tie_word_embeddings": True},
    DEEPSEEK | {"first_k_dense_replace": 0, "n_shared_experts": 3},
    DEEPSEEK | {"first_k_dense_replace": 9},
    DEEPSEEK | {"n_shared_experts": 0},
    DEEPSEEK | {"num_attention_heads": 5},  # heads that do not divide the width
    GPT_OSS | {"attention_bias": False},
    GPT_OSS | {"tie_word_embeddings": True, "num_key_value_heads": 4},
    GPT_OSS | {"layer_types": ["full_attention"] * 5},
]
# What a file may lack: transformers' own default counts.
OPTIONAL = [
    (MIXTRAL | {"num_attention_heads": 8}, "num_key_value_heads"),
    *((QWEN3, key) for key in ["head_dim", "intermediate_size", "num_key_value_heads"]),
    *((DEEPSEEK, key) for key in ["q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"]),
    (DEEPSEEK, "first_k_dense_replace"),
    (GPT_OSS, "head_dim"),
    (GPT_OSS | {"num_attention_heads": 8}, "num_key_value_heads"),
    (GPT_OSS, "sliding_window"),
]


def build(config, device="meta"):
    with torch.device(device):
        return AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**config), attn_implementation="eager", experts_implementation="eager"
        )


def test_parameters():
    assert parameters(nn.Linear(3, 4)) == 16


@pytest.mark.parametrize("top_k", [1, 2, 8])
def test_a_mixture_multiplies_for_the_router_and_the_chosen_experts_only(top_k):
    moe = MixtureOfExperts(16, 32, 8, top_k)
    assert multiplications(moe, torch.randn(5, 16)) == 5 * (16 * 8 + top_k * 2 * 16 * 32)


def test_the_products_inside_attention_are_counted():
    # Scores and sums of values: each query with every key, and masked afterwards.
    T, heads, size = 7, 3, 4
    x = torch.randn(1, heads, T, size)
    counted = multiplications(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), x)
    assert counted == heads * 2 * T * T * size


def test_the_table_has_the_six_models():
    names = ["GPT-3", "Mixtral 8x7B", "OLMoE-1B-7B", "Qwen3-30B-A3B", "DeepSeek-V3", "gpt-oss-120b"]
    assert [model.name for model in published()] == names
    assert {model.config["model_type"] for model in published()} == FAMILIES.keys()


@model_name
def test_published_counts(model):
    assert model.counted.total == pytest.approx(model.total, rel=0.01)
    assert model.counted.active == pytest.approx(model.active, rel=0.03)
    assert model.source.startswith("https://")
    assert model.note


def test_only_gpt_oss_counts_another_way():
    other = [model for model in published() if model.counted != count_parameters(model.config)]
    assert [model.name for model in other] == ["gpt-oss-120b"]
    embedding = 201088 * 2880
    assert count_parameters(other[0].config).active - other[0].counted.active == embedding


@needs_transformers
@model_name
def test_a_published_total_is_what_transformers_builds(model):
    assert count_parameters(model.config).total == parameters(build(model.config))


@needs_transformers
@pytest.mark.parametrize("config", [*TINY.values(), *VARIATIONS])
def test_a_variations_total_is_what_transformers_builds(config):
    assert count_parameters(config).total == parameters(build(config))


@needs_transformers
@pytest.mark.parametrize(("config", "key"), OPTIONAL, ids=lambda value: value if isinstance(value, str) else None)
def test_a_missing_key_has_the_default_of_transformers(config, key):
    config = {name: value for name, value in config.items() if name != key}
    assert count_parameters(config).total == parameters(build(config))
    assert multiplications_per_token(config, 10_000) > 0


SMALL = st.integers(1, 6)


@needs_transformers
@settings(max_examples=80, deadline=None)
@given(st.sampled_from(list(TINY)), st.data())
def test_any_sizes_give_the_total_of_transformers(name, data):
    draw = data.draw  # even widths, for rotation turns pairs of numbers
    kv_heads, layers = draw(SMALL), draw(SMALL)
    heads = kv_heads * draw(SMALL)
    sizes = {
        key: 2 * draw(st.integers(1, 20)) for key in TINY[name] if key.endswith(("_size", "_dim", "_rank", "_inner"))
    }
    width = {"n_embd": heads * 2 * draw(SMALL), "n_layer": layers, "n_head": heads}
    if name != "gpt2":
        width = dict(zip(["hidden_size", "num_hidden_layers", "num_attention_heads"], width.values(), strict=True))
        width |= {"num_key_value_heads": kv_heads, "attention_bias": draw(st.booleans())}
    config = TINY[name] | sizes | width | {"tie_word_embeddings": draw(st.booleans())}
    assert count_parameters(config).total == parameters(build(config))


@family
def test_parts_sum_to_the_counts(config):
    model = parts(config)
    assert sum(part.copies * part.total for part in model) == count_parameters(config).total
    assert sum(part.copies * part.active for part in model) == count_parameters(config).active
    assert sum(part.copies * part.multiplications for part in parts(config, 9)) == multiplications_per_token(config, 9)
    assert model[0].name == "embedding"
    assert model[-1].name == "output head"


def test_parts_of_deepseek_v3():
    names = {part.name: part.copies for part in parts(DEEPSEEK)}
    assert names == {"embedding": 1, "attention": 5, "dense feed-forward": 2, "router": 3, "experts": 3} | {
        **{"shared experts": 3, "norms": 11, "output head": 1}
    }


def test_parts_of_gpt_oss_alternate():
    names = {part.name: part.copies for part in parts(GPT_OSS)}
    assert (names["sliding attention"], names["full attention"]) == (3, 2)


def touched(model, tokens):
    """Parameters that the loss of these tokens reaches: whole tensors, and of the experts' only the chosen slices.

    A tensor is reached when autograd gives it a gradient, zero or not: with one token, attention has nothing to choose.
    """
    model.train()(tokens).logits.square().sum().backward()
    count = 0
    for name, parameter in model.named_parameters():
        if ".experts." in name:
            count += sum(one.numel() for one, grad in zip(parameter, parameter.grad, strict=True) if grad.any())
        elif parameter.grad is not None:
            count += parameter.numel()
    return count


@needs_transformers
@pytest.mark.parametrize("seed", range(3))
@family
def test_active_parameters_are_those_that_one_token_reaches(config, seed):
    torch.manual_seed(seed)
    model, token = build(config, "cpu"), torch.randint(97, (1, 1))
    with torch.no_grad():  # some parameters start at zero, and what they scale would get no gradient
        for parameter in model.parameters():
            parameter.normal_()
    assert touched(model, token) == count_parameters(config).active


@needs_transformers
@pytest.mark.parametrize("top_k", [1, 2, 7])
@mixture
def test_active_parameters_follow_the_top_k(config, top_k):
    config = config | {"num_experts_per_tok": top_k} | ({"topk_group": 4} if config is DEEPSEEK else {})
    torch.manual_seed(0)
    model = build(config, "cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    assert touched(model, torch.tensor([[3]])) == count_parameters(config).active


EACH_TOKEN = [
    *TINY.values(),
    DEEPSEEK | {"q_lora_rank": None, "n_shared_experts": 2},
    QWEN3 | {"decoder_sparse_step": 2},
    OLMOE | {"tie_word_embeddings": True, "num_key_value_heads": 1},
    GPT_OSS | {"num_experts_per_tok": 1},
]


@needs_transformers
@pytest.mark.parametrize("T", [1, 6, 11])
@pytest.mark.parametrize("config", EACH_TOKEN, ids=lambda config: config["model_type"])
def test_multiplications_are_those_that_torch_counts(config, T):
    # Eager attention multiplies each query with all T keys and masks afterwards, so every token's context is T. It
    # masks a window as well and skips nothing, so here the window is wide: what a window saves, torch cannot count.
    config = config | {"sliding_window": 99}
    model = build(config, "cpu").eval()
    counted = multiplications(partial(model, use_cache=False), torch.randint(97, (1, T)))
    assert counted == T * multiplications_per_token(config, T)


@pytest.mark.parametrize("config", [MIXTRAL, OLMOE, QWEN3 | {"use_sliding_window": True}], ids=str)
def test_a_window_limits_multiplications_and_cache(config):
    wide, windowed = config | {"sliding_window": None}, config | {"sliding_window": 3}
    for cost in (multiplications_per_token, lambda config, context: bytes_per_token(config, context=context)):
        assert cost(windowed, 2) == cost(wide, 2)
        assert cost(windowed, 50) == cost(wide, 3) < cost(wide, 50)


def test_only_the_sliding_layers_of_gpt_oss_forget():
    queries, keys = 2 * 4 * 10, 2 * 2 * 10  # each twice: keys and values
    assert multiplications_per_token(GPT_OSS, 50) - multiplications_per_token(GPT_OSS) == queries * (3 * 3 + 2 * 50)
    assert bytes_per_token(GPT_OSS, context=50) - bytes_per_token(GPT_OSS) == 2 * keys * (3 * 3 + 2 * 50)


@family
def test_one_sequence_reads_the_active_weights(config):
    embeddings = sum(part.active for part in parts(config) if "embedding" in part.name)
    assert bytes_per_token(config) == pytest.approx(2 * (count_parameters(config).active - embeddings), rel=1e-12)
    assert bytes_per_token(config, bytes_per_weight=0.5) == pytest.approx(bytes_per_token(config) / 4, rel=1e-12)


@family
def test_a_huge_batch_reads_all_weights_once(config):
    embeddings = sum(part.active for part in parts(config) if "embedding" in part.name)
    step = 10**9 * bytes_per_token(config, batch=10**9)
    assert step == pytest.approx(2 * (count_parameters(config).total - embeddings), rel=1e-12)


@mixture
def test_a_batch_between_reads_the_distinct_experts(config):
    experts = next(part for part in parts(config) if part.name == "experts")
    E = 8 if config is DEEPSEEK else 7
    unrouted = bytes_per_token(config) - 2 * experts.copies * experts.active
    step = unrouted + 2 * experts.copies * experts.total / E * distinct_experts(E, 3, 4)
    assert bytes_per_token(config, batch=4) == pytest.approx(step / 4, rel=1e-12)


@needs_transformers
@family
def test_the_cache_is_the_one_that_transformers_keeps(config):
    T = 11
    config = config | {"sliding_window": 99}
    cache = build(config, "cpu").eval()(torch.randint(97, (1, T)), use_cache=True).past_key_values
    numbers = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    for batch in (1, 5):  # every sequence has a cache of its own
        read = bytes_per_token(config, batch, T) - bytes_per_token(config, batch)
        assert read == pytest.approx(2 * numbers, rel=1e-9)
        assert bytes_per_token(config, batch, T, 0) == 2 * numbers  # packed weights leave the cache at 16 bits


@pytest.mark.parametrize(("E", "k", "B"), [(8, 2, 1), (8, 2, 4), (64, 8, 7), (16, 1, 40), (4, 4, 3)])
def test_distinct_experts_against_a_simulation(E, k, B):
    means = []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.rand(400, B, E, generator=generator).topk(k).indices  # k different experts, all equally likely
        used = torch.zeros(400, E).scatter_(1, chosen.flatten(1), 1.0)
        means.append(used.sum(1).mean())
    means = torch.stack(means)
    assert distinct_experts(E, k, B) == pytest.approx(float(means.mean()), abs=float(4 * means.std() / 10**0.5) + 1e-6)


def test_distinct_experts_at_the_ends():
    assert distinct_experts(8, 2, 0) == 0
    assert distinct_experts(8, 2, 1) == 2
    assert distinct_experts(8, 2, 10**6) == 8


@pytest.mark.parametrize("config", [MIXTRAL, GPT_OSS, QWEN3])
def test_null_heads_of_keys_and_values_are_as_many_as_the_heads(config):
    with_null, with_four = config | {"num_key_value_heads": None}, config | {"num_key_value_heads": 4}
    assert parts(with_null, 9) == parts(with_four, 9)


def test_both_names_of_a_thing_are_read():
    long = {"n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads"}
    assert count_parameters({long.get(key, key): value for key, value in GPT2.items()}) == count_parameters(GPT2)
    other = {"num_local_experts": "num_experts"}
    assert count_parameters({other.get(key, key): value for key, value in MIXTRAL.items()}) == count_parameters(MIXTRAL)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"model_type is None; allowed is one of gpt2, mixtral, .*gpt_oss"),
        (MIXTRAL | {"model_type": "llama"}, "model_type is 'llama'; allowed is one of gpt2"),
        ([MIXTRAL], "allowed is the dict in a config.json"),
        ({"model_type": "mixtral"}, "vocab_size is missing"),
        ({**GPT2, "n_embd": -1}, "hidden_size is -1; allowed is an integer of at least 1"),
        ({key: GPT2[key] for key in GPT2 if key != "n_embd"}, "hidden_size is missing; .* has hidden_size or n_embd"),
        (MIXTRAL | {"hidden_size": "4096"}, "hidden_size is '4096'"),
        (MIXTRAL | {"hidden_size": 24.0}, "hidden_size is 24.0"),
        (MIXTRAL | {"num_hidden_layers": True}, "num_hidden_layers is True"),
        (MIXTRAL | {"num_hidden_layers": None}, "num_hidden_layers is None"),
        (MIXTRAL | {"hidden_size": 25}, "hidden_size is 25; allowed is a multiple of num_attention_heads = 4"),
        (MIXTRAL | {"num_key_value_heads": 3}, "num_key_value_heads is 3; allowed is a divisor of"),
        (MIXTRAL | {"sliding_window": 0}, "sliding_window is 0"),
        (MIXTRAL | {"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no'; allowed is true or false"),
        (QWEN3 | {"mlp_only_layers": ["0"]}, "mlp_only_layers is .*; allowed is"),
        (QWEN3 | {"mlp_only_layers": 3}, "mlp_only_layers is 3; allowed is null or a list"),
        (QWEN3 | {"decoder_sparse_step": 0}, "decoder_sparse_step is 0"),
        (DEEPSEEK | {"first_k_dense_replace": -1}, "first_k_dense_replace is -1; allowed is an integer of at least 0"),
        (DEEPSEEK | {"q_lora_rank": 0}, "q_lora_rank is 0"),
        (GPT_OSS | {"layer_types": ["full_attention"]}, "layer_types is .* for each of 5 layers"),
        (GPT_OSS | {"layer_types": ["linear_attention"] * 5}, "layer_types is .*linear"),
        (GPT2 | {"add_cross_attention": True}, "add_cross_attention is True; allowed is false"),
        *((tiny | {"num_experts_per_tok": 9}, "num_experts_per_tok is 9; allowed is 1 to") for tiny in MIXTURES),
        *((tiny | {"num_experts_per_tok": 0}, "num_experts_per_tok is 0; allowed is") for tiny in MIXTURES),
    ],
)
def test_a_bad_config_is_refused(config, message):
    for cost in (count_parameters, parts, multiplications_per_token, bytes_per_token):
        with pytest.raises(ValueError, match=message):
            cost(config)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="context must be an integer of at least 0, got -1"):
        multiplications_per_token(MIXTRAL, -1)
    with pytest.raises(ValueError, match="batch must be an integer of at least 1, got 0"):
        bytes_per_token(MIXTRAL, batch=0)
    with pytest.raises(ValueError, match="bytes_per_weight must be"):
        bytes_per_token(MIXTRAL, bytes_per_weight=-1)
    with pytest.raises(ValueError, match="top_k must be an integer from 1 to n_experts = 8, got 9"):
        distinct_experts(8, 9, 1)
