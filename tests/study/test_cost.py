import os
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.study import multiplications, parameters
from moe_tutorial.study.systems.cost import (
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


def without(config, key):
    return {name: value for name, value in config.items() if name != key}


def renamed(config, **names):
    return {names.get(name, name): value for name, value in config.items()}


VARIATIONS = [
    GPT2 | {"n_inner": 50, "tie_word_embeddings": False},
    renamed(GPT2, n_embd="hidden_size", n_layer="num_hidden_layers", n_head="num_attention_heads"),
    MIXTRAL | {"head_dim": 10, "tie_word_embeddings": True},
    OLMOE | {"num_key_value_heads": None},
    renamed(MIXTRAL, num_local_experts="num_experts"),
    OLMOE | {"num_key_value_heads": 2, "attention_bias": True},
    QWEN3 | {"attention_bias": True},
    QWEN3 | {"decoder_sparse_step": 3, "mlp_only_layers": [2]},
    QWEN3 | {"mlp_only_layers": None},
    DEEPSEEK | {"q_lora_rank": None, "attention_bias": True, "tie_word_embeddings": True},
    DEEPSEEK | {"first_k_dense_replace": 0, "n_shared_experts": 3},
    DEEPSEEK | {"first_k_dense_replace": 9, "n_shared_experts": 0},
    DEEPSEEK | {"num_attention_heads": 5},  # heads that do not divide the width
    GPT_OSS | {"attention_bias": False, "tie_word_embeddings": True},
    GPT_OSS | {"layer_types": ["full_attention"] * 5},
    # What a file may lack: transformers' own default counts.
    without(MIXTRAL | {"num_attention_heads": 8}, "num_key_value_heads"),
    *(without(QWEN3, key) for key in ["head_dim", "intermediate_size", "num_key_value_heads"]),
    *(without(DEEPSEEK, key) for key in ["q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim"]),
    *(without(DEEPSEEK, key) for key in ["v_head_dim", "first_k_dense_replace"]),
    without(GPT_OSS, "head_dim"),
]
ONE_CHOICE = [tiny | {"num_experts_per_tok": 1} for tiny in MIXTURES]


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
@pytest.mark.parametrize("config", [*TINY.values(), *VARIATIONS, *(model.config for model in published())])
def test_a_total_is_what_transformers_builds(config):
    assert count_parameters(config).total == parameters(build(config))


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
@pytest.mark.parametrize("config", [*TINY.values(), *ONE_CHOICE], ids=lambda config: config["model_type"])
def test_active_parameters_are_those_that_one_token_reaches(config):
    torch.manual_seed(0)
    model, token = build(config, "cpu"), torch.randint(97, (1, 1))
    with torch.no_grad():  # some parameters start at zero, and what they scale would get no gradient
        for parameter in model.parameters():
            parameter.normal_()
    assert touched(model, token) == count_parameters(config).active


EACH_TOKEN = [
    *TINY.values(),
    DEEPSEEK | {"q_lora_rank": None, "n_shared_experts": 2},
    QWEN3 | {"decoder_sparse_step": 2},
    OLMOE | {"tie_word_embeddings": True, "num_key_value_heads": 1},
    GPT_OSS | {"num_experts_per_tok": 1},
]


@needs_transformers
@pytest.mark.parametrize("T", [1, 11])
@pytest.mark.parametrize("config", EACH_TOKEN, ids=lambda config: config["model_type"])
def test_multiplications_are_those_that_torch_counts(config, T):
    # Eager attention multiplies each query with all T keys and masks afterwards, so every token's context is T. It
    # masks a window as well and skips nothing, so here the window is wide: what a window saves, torch cannot count.
    config = config | {"sliding_window": 99}
    model = build(config, "cpu").eval()
    counted = multiplications(partial(model, use_cache=False), torch.randint(97, (1, T)))
    assert counted == T * multiplications_per_token(config, T)


@pytest.mark.parametrize("config", [MIXTRAL, QWEN3 | {"use_sliding_window": True}], ids=lambda c: c["model_type"])
def test_a_window_limits_multiplications_and_cache(config):
    wide, windowed = config | {"sliding_window": None}, config | {"sliding_window": 3}
    for cost in (multiplications_per_token, lambda config, context: bytes_per_token(config, context=context)):
        assert cost(windowed, 2) == cost(wide, 2)
        assert cost(windowed, 50) == cost(wide, 3) < cost(wide, 50)


def test_only_the_sliding_layers_of_gpt_oss_forget():
    queries, keys = 2 * 4 * 10, 2 * 2 * 10  # each twice: keys and values
    assert multiplications_per_token(GPT_OSS, 50) - multiplications_per_token(GPT_OSS) == queries * (3 * 3 + 2 * 50)
    assert bytes_per_token(GPT_OSS, context=50) - bytes_per_token(GPT_OSS) == 2 * keys * (3 * 3 + 2 * 50)


@pytest.mark.parametrize("batch", [1, 4, 10**9])
@mixture
def test_a_step_reads_the_weights_once_and_of_the_experts_those_that_some_token_uses(config, batch):
    experts = next(part for part in parts(config) if part.name == "experts")
    E = 8 if config is DEEPSEEK else 7
    others = sum(part.copies * part.total for part in parts(config) if part.name not in ("embedding", "experts"))
    used = experts.copies * experts.total / E * distinct_experts(E, 3, batch)
    assert batch * bytes_per_token(config, batch) == pytest.approx(2 * (others + used), rel=1e-12)
    assert 4 * bytes_per_token(config, batch, bytes_per_weight=0.5) == pytest.approx(bytes_per_token(config, batch))


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


@pytest.mark.parametrize(("E", "k", "B"), [(8, 2, 4), (64, 8, 7), (16, 1, 40)])
def test_distinct_experts_against_a_simulation(E, k, B):
    means = []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.rand(400, B, E, generator=generator).topk(k).indices  # k different experts, all equally likely
        used = torch.zeros(400, E).scatter_(1, chosen.flatten(1), 1.0)
        means.append(used.sum(1).mean())
    means = torch.stack(means)
    assert distinct_experts(E, k, B) == pytest.approx(float(means.mean()), abs=float(4 * means.std() / 10**0.5) + 1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MIXTRAL | {"model_type": "llama"}, "model_type is 'llama'; allowed is one of gpt2, mixtral, .*gpt_oss"),
        ([MIXTRAL], "allowed is the dict in a config.json"),
        (without(GPT2, "n_embd"), "hidden_size is missing; .* has hidden_size or n_embd"),
        (MIXTRAL | {"hidden_size": "4096"}, "hidden_size is '4096'"),
        (MIXTRAL | {"num_hidden_layers": True}, "num_hidden_layers is True"),
        (MIXTRAL | {"hidden_size": 25}, "hidden_size is 25; allowed is a multiple of num_attention_heads = 4"),
        (MIXTRAL | {"num_key_value_heads": 3}, "num_key_value_heads is 3; allowed is a divisor of"),
        (MIXTRAL | {"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no'; allowed is true or false"),
        (QWEN3 | {"mlp_only_layers": ["0"]}, "mlp_only_layers is .*; allowed is"),
        (DEEPSEEK | {"first_k_dense_replace": -1}, "first_k_dense_replace is -1; allowed is an integer of at least 0"),
        (GPT_OSS | {"layer_types": ["full_attention"]}, "layer_types is .* for each of 5 layers"),
        (GPT2 | {"add_cross_attention": True}, "add_cross_attention is True; allowed is false"),
        (OLMOE | {"num_experts_per_tok": 9}, "num_experts_per_tok is 9; allowed is 1 to"),
    ],
)
def test_a_bad_config_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        count_parameters(config)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="context must be an integer of at least 0, got -1"):
        multiplications_per_token(MIXTRAL, -1)
    with pytest.raises(ValueError, match="batch must be an integer of at least 1, got 0"):
        bytes_per_token(MIXTRAL, batch=0)
    with pytest.raises(ValueError, match="top_k must be an integer from 1 to n_experts = 8, got 9"):
        distinct_experts(8, 9, 1)
