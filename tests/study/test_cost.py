import os
from functools import partial

import pytest
import torch
import torch.nn.functional as F

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
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
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
LATENT = {key: DEEPSEEK[key] for key in DEEPSEEK if key.endswith(("_rank", "_dim"))}
SHARED = {"n_routed_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 18, "n_shared_experts": 2}
INDEXER = {"index_n_heads": 3, "index_head_dim": 8, "index_topk": 99}
GLM4 = {"model_type": "glm4_moe", "intermediate_size": 42, "head_dim": 10} | SHAPE | KV | SHARED
GLM5 = {"model_type": "glm_moe_dsa", "intermediate_size": 42} | SHAPE | LATENT | SHARED | INDEXER
GLM5 |= {"num_key_value_heads": 4}
V4 = {"model_type": "deepseek_v4", "compress_ratios": [0, 128, 4, 4, 128, 0], "hc_mult": 3} | SHAPE | SHARED | INDEXER
V4 |= {"n_shared_experts": 1, "num_hash_layers": 0, "head_dim": 16, "qk_rope_head_dim": 4}
V4 |= {"q_lora_rank": 14, "o_lora_rank": 6, "o_groups": 2, "sliding_window": 3}
LONGCAT = {"model_type": "longcat_flash", "num_layers": 3, "zero_expert_num": 2, "ffn_hidden_size": 42} | LATENT
LONGCAT |= {"head_dim": 6}  # transformers turns positions by it
LONGCAT |= {"n_routed_experts": 7, "moe_topk": 3, "expert_ffn_hidden_size": 18}
LONGCAT |= {key: SHAPE[key] for key in ("vocab_size", "hidden_size", "num_attention_heads")}
QWEN35 = {"model_type": "qwen3_5_moe_text", "num_experts": 7, "num_experts_per_tok": 3, "head_dim": 12} | SHAPE | KV
QWEN35 |= {"moe_intermediate_size": 18, "shared_expert_intermediate_size": 20, "linear_conv_kernel_dim": 3}
QWEN35 |= {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 6, "linear_value_head_dim": 5}
LLAMA4 = {"model_type": "llama4_text", "head_dim": 10, "intermediate_size_mlp": 42} | SHAPE | KV | LOCAL
MINIMAX = {"model_type": "minimax_m2", "head_dim": 10} | SHAPE | KV | LOCAL
KIMI = {"model_type": "kimi_linear", "intermediate_size": 42, "num_experts": 7, "num_experts_per_tok": 3} | SHAPE
KIMI |= (
    {"moe_intermediate_size": 18, "num_shared_experts": 2, "num_key_value_heads": 4} | LATENT | {"q_lora_rank": None}
)
KIMI |= {"linear_attn_config": {"full_attn_layers": [3, 5], "kda_layers": [1, 2, 4], "num_heads": 2, "head_dim": 5}}
KIMI["linear_attn_config"] |= {"short_conv_kernel_size": 3}
KIMI |= {"pad_token_id": 0}  # transformers' own is beyond this vocabulary
NEW = (GLM4, GLM5, V4, LONGCAT, QWEN35, LLAMA4, MINIMAX, KIMI)
TINY = {tiny["model_type"]: tiny for tiny in (GPT2, MIXTRAL, OLMOE, QWEN3, DEEPSEEK, GPT_OSS, *NEW)}
QUIET_LONGCAT = LONGCAT | {"zero_expert_num": 0}  # where a token's experts all work
MIXTURES = [tiny for tiny in TINY.values() if tiny is not GPT2]
family = pytest.mark.parametrize("config", TINY.values(), ids=TINY.keys())
mixture = pytest.mark.parametrize("config", MIXTURES, ids=lambda config: config["model_type"])
model_name = pytest.mark.parametrize("model", published(), ids=lambda model: model.name)


BUILT = [model.config for model in published() if model.name != "Kimi K3"]  # transformers has no latent for experts


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
    QWEN3 | {"mlp_only_layers": None, "layer_types": ["full_attention"] * 5},
    DEEPSEEK | {"q_lora_rank": None, "attention_bias": True, "tie_word_embeddings": True},
    DEEPSEEK | {"first_k_dense_replace": 0, "n_shared_experts": 3},
    DEEPSEEK | {"first_k_dense_replace": 9, "n_shared_experts": 0},
    DEEPSEEK | {"num_attention_heads": 5},  # heads that do not divide the width
    GPT_OSS | {"attention_bias": False, "tie_word_embeddings": True},
    GPT_OSS | {"layer_types": ["full_attention"] * 5},
    GLM4 | {"use_qk_norm": True, "attention_bias": True, "first_k_dense_replace": 2},
    LLAMA4 | {"interleave_moe_layer_step": 2, "attention_bias": True},
    LLAMA4 | {"moe_layers": [1, 4]},
    V4 | {"compress_ratios": [0, 4, 4, 128, 4], "hc_mult": 2},
    QWEN35 | {"layer_types": ["full_attention", "linear_attention"] * 2 + ["linear_attention"]},
    # What a file may lack: transformers' own default counts.
    without(MIXTRAL | {"num_attention_heads": 8}, "num_key_value_heads"),
    *(without(QWEN3, key) for key in ["head_dim", "intermediate_size", "num_key_value_heads"]),
    *(without(DEEPSEEK, key) for key in ["q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim"]),
    *(without(DEEPSEEK, key) for key in ["v_head_dim", "first_k_dense_replace"]),
    without(GPT_OSS, "head_dim"),
]
ONE_CHOICE = [tiny | {"num_experts_per_tok": 1} for tiny in MIXTURES if tiny is not LONGCAT]
REACHED = [tiny for tiny in TINY.values() if tiny is not LONGCAT] + [QUIET_LONGCAT, *ONE_CHOICE]


def build(config, device="meta"):
    if config["model_type"] == "kimi_k2":  # transformers has its code under the other name
        config = config | {"model_type": "deepseek_v3"}
    with torch.device(device):
        return AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**config), attn_implementation="eager", experts_implementation="eager"
        )


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


def beyond_rounding(model):
    """By which part of the stated total, and active, our count lies outside of what rounds to it: 0 inside."""
    each = zip(model.counted, (model.total, model.active), model.rounding, strict=True)
    return tuple(max(0, abs(ours - stated) - half) / stated for ours, stated, half in each)


@model_name
def test_published_counts(model):
    """A figure like 1.6T is rounded: each count is within 1 % of a number that rounds to it."""
    assert max(beyond_rounding(model)) < 0.01
    assert model.source.startswith("https://")
    assert model.config_source is None or model.config_source.endswith("/config.json")
    assert model.note


@model_name
def test_no_more_is_left_out_of_an_active_count_than_it_takes_to_round_to_the_published_one(model):
    whole = count_parameters(model.config).active
    one = next(part.active for part in parts(model.config) if part.name == "embedding")
    ways = [whole, whole - one, whole - 2 * one]  # embedding and output head are of one size
    assert model.counted.active in ways
    others = ways[: ways.index(model.counted.active)]
    assert all(abs(active - model.active) > model.rounding.active for active in others)


def test_a_stated_figure_holds_its_own_rounding():
    stated = {model.name: (model.total, model.active, *model.rounding) for model in published()}
    assert stated["Mixtral 8x7B"] == (46_700_000_000, 12_900_000_000, 50_000_000, 50_000_000)
    assert stated["DeepSeek-V4-Pro"] == (1_600_000_000_000, 49_000_000_000, 50_000_000_000, 500_000_000)
    pro = next(model for model in published() if model.name == "DeepSeek-V4-Pro")
    assert beyond_rounding(pro) == (0, 0)
    off = beyond_rounding(pro._replace(active=50_000_000_000))  # 48.85B, and from 49.5B on it would round to 50B
    assert off == (0, pytest.approx((49.5 - 48.852) / 50, abs=1e-5))


def test_what_designers_chose():
    chosen = {model.name: model.choices for model in published()}
    assert chosen["GPT-3"] is None
    assert chosen["OLMoE-1B-7B"].gate == "softmax"
    assert chosen["gpt-oss-20b"] == (32, 0, 4, 0, 2880, "top-k, then softmax")
    assert chosen["LongCat-Flash"] == (512, 256, 12, 0, 2048, "softmax + bias")
    assert chosen["DeepSeek-V4-Pro"] == (384, 0, 6, 1, 3072, "sqrt(softplus) + bias, renormalised")


def test_experts_in_a_latent_read_and_write_its_width_and_two_matrices_lead_there_and_back():
    wide, narrow = KIMI, KIMI | {"routed_expert_hidden_size": 10}
    before, after = count_parameters(wide), count_parameters(narrow)
    ways = 4 * (2 * 24 + 1) * 10  # in each layer with experts, with a norm
    assert after.total - before.total == ways - 4 * 7 * 3 * (24 - 10) * 18
    assert after.active - before.active == ways - 4 * 3 * 3 * (24 - 10) * 18
    k3 = {part.name: part for part in parts(published()[-1].config)}
    assert k3["experts"].copies * k3["experts"].active == 92 * 16 * 3 * 3584 * 3072
    assert k3["shared experts"].total == 2 * 3 * 7168 * 3072


def test_gates_of_kimi_linear_that_are_as_wide_as_what_they_scale():
    full = KIMI | {"mla_use_output_gate": True}
    assert count_parameters(full).total - count_parameters(KIMI).total == 2 * 24 * 4 * 8
    full = KIMI | {"linear_attn_config": KIMI["linear_attn_config"] | {"use_full_rank_gate": True}}
    assert count_parameters(full).total - count_parameters(KIMI).total == 3 * (24 * 10 - (24 + 10) * 5)


@needs_transformers
@pytest.mark.parametrize("config", [*TINY.values(), *VARIATIONS, *BUILT])
def test_a_total_is_what_transformers_builds(config):
    model = build(config)
    unread = 0  # before 5.25, transformers allocated first matrices for LongCat's experts that do nothing
    if config["model_type"] == "longcat_flash":
        firsts = [p for name, p in model.named_parameters() if name.endswith("gate_up_proj")]
        unread = sum(p[config["n_routed_experts"] :].numel() for p in firsts)
    assert count_parameters(config).total == parameters(model) - unread


@needs_transformers
def test_what_stands_beside_llama_4():
    # The vision_config of both models.
    vision = {"hidden_size": 1408, "intermediate_size": 5632, "image_size": 336, "patch_size": 14}
    vision |= {"num_hidden_layers": 34, "num_attention_heads": 16, "vision_output_dim": 4096}
    vision |= {"projector_input_dim": 4096, "projector_output_dim": 4096}
    config = AutoConfig.for_model("llama4", vision_config=vision, text_config={"num_hidden_layers": 1})
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    beside = sum(weight.numel() for name, weight in model.named_parameters() if "language_model" not in name)
    for model in published():
        expected = beside if model.name.startswith("Llama 4") else 0
        assert model.counted.total - count_parameters(model.config).total == expected


def test_a_model_that_also_sees_is_counted_by_its_text_config():
    assert count_parameters({"model_type": "llama4", "text_config": LLAMA4}) == count_parameters(LLAMA4)


def touched(model, tokens):
    """Parameters that the loss of these tokens reaches: whole tensors, and of the experts' only the chosen slices.

    A tensor is reached when autograd gives it a gradient, zero or not: with one token, attention has nothing to choose.
    """
    model.train()(tokens).logits.square().sum().backward()
    count = 0
    for name, parameter in model.named_parameters():
        if ".compressor." in name or ".indexer." in name:  # they answer when several tokens have come
            count += parameter.numel()
        elif ".experts." in name:
            count += sum(one.numel() for one, grad in zip(parameter, parameter.grad, strict=True) if grad.any())
        elif parameter.grad is not None:
            count += parameter.numel()
    return count


@needs_transformers
@pytest.mark.parametrize("config", REACHED, ids=lambda config: config["model_type"])
def test_active_parameters_are_those_that_one_token_reaches(config):
    torch.manual_seed(0)
    model, token = build(config, "cpu"), torch.randint(97, (1, 1))
    with torch.no_grad():  # some parameters start at zero, and what they scale would get no gradient
        for parameter in model.parameters():
            parameter.normal_()
    assert touched(model, token) == count_parameters(config).active


WIDE = {"attention_chunk_size": 99, "sliding_window": 99}
EACH_TOKEN = [
    *(tiny for tiny in TINY.values() if tiny not in (LONGCAT, QWEN35, LLAMA4, KIMI)),
    QUIET_LONGCAT,
    QWEN35 | {"layer_types": ["full_attention"] * 5},
    KIMI | {"linear_attn_config": KIMI["linear_attn_config"] | {"full_attn_layers": [1, 2, 3, 4, 5], "kda_layers": []}},
    LLAMA4 | {"num_experts_per_tok": 7},  # transformers asks all of its experts, and multiplies by 0
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
    config = config | WIDE
    model = build(config, "cpu").eval()
    counted = multiplications(partial(model, use_cache=False), torch.randint(97, (1, T)))
    assert counted == T * multiplications_per_token(config, T)


@pytest.mark.parametrize("config", [MIXTRAL, QWEN3 | {"use_sliding_window": True}], ids=lambda c: c["model_type"])
def test_a_window_limits_multiplications_and_cache(config):
    wide, windowed = config | {"sliding_window": None}, config | {"sliding_window": 3}
    for cost in (multiplications_per_token, lambda config, context: bytes_per_token(config, context=context)):
        assert cost(windowed, 2) == cost(wide, 2)
        assert cost(windowed, 50) == cost(wide, 3) < cost(wide, 50)


@needs_transformers
def test_linear_attention_multiplies_its_weights_and_three_times_its_state():
    layer = build(QWEN35).model.layers[0].linear_attn
    weights = sum(weight.numel() for weight in layer.parameters() if weight.dim() > 1)
    assert part_of(QWEN35, "linear attention").multiplications == weights
    for context in (1, 1000):  # one state for each value head, keys x values, whatever the context
        linear = part_of(QWEN35, "linear attention", context)
        assert linear.multiplications - weights == 3 * 4 * 6 * 5


def part_of(config, name, context=0):
    return next(part for part in parts(config, context) if part.name == name)


def test_an_indexer_and_pooling_limit_what_attention_sees():
    few = {"index_topk": 2}
    for context in (1, 2):
        assert multiplications_per_token(GLM5 | few, context) == multiplications_per_token(GLM5, context)
    seen = multiplications_per_token(GLM5, 50) - multiplications_per_token(GLM5 | few, 50)
    assert seen == 5 * 48 * 4 * (10 + 6 + 8)  # layers, tokens not seen, heads, a key of two parts and a value
    heavy = part_of(V4, "heavily compressed attention", 1024)
    assert heavy.cached == 16 * (3 + 1024 // 128)  # a window of 3, and an entry for 128 tokens
    sparse = part_of(V4 | few, "compressed sparse attention", 1024)
    assert sparse.cached == 16 * (3 + 2) + 8 * (1024 // 4)  # two entries chosen, by the indexer's keys of all


def test_only_the_sliding_layers_of_gpt_oss_forget():
    queries, keys = 2 * 4 * 10, 2 * 2 * 10  # each twice: keys and values
    assert multiplications_per_token(GPT_OSS, 50) - multiplications_per_token(GPT_OSS) == queries * (3 * 3 + 2 * 50)
    assert bytes_per_token(GPT_OSS, context=50) - bytes_per_token(GPT_OSS) == 2 * keys * (3 * 3 + 2 * 50)


@pytest.mark.parametrize("batch", [1, 4, 10**9])
@mixture
def test_a_step_reads_the_weights_once_and_of_the_experts_those_that_some_token_uses(config, batch):
    experts = next(part for part in parts(config) if part.name == "experts")
    E = config.get("n_routed_experts", 7)
    others = sum(part.copies * part.total for part in parts(config) if part.name not in ("embedding", "experts"))
    used = experts.copies * experts.total / E * distinct_experts(E, 3, batch)
    assert batch * bytes_per_token(config, batch) == pytest.approx(2 * (others + used), rel=1e-12)
    assert 4 * bytes_per_token(config, batch, bytes_per_weight=0.5) == pytest.approx(bytes_per_token(config, batch))


def kept(layer):
    """What a layer's cache keeps of the context."""
    if hasattr(layer, "recurrent_states"):
        return [*layer.conv_states.values(), *layer.recurrent_states.values()]
    values = [] if torch.equal(layer.keys, layer.values) else [layer.values]  # DeepSeek-V4's keys are its values
    indexer = [layer.indexer_keys] if hasattr(layer, "indexer_keys") else []
    return [layer.keys, *values, *indexer, *getattr(layer, "compressed_kv", {}).values()]


@needs_transformers
@family
def test_the_cache_is_the_one_that_transformers_keeps(config):
    T = 11
    config = config | WIDE
    cache = build(config, "cpu").eval()(torch.randint(97, (1, T)), use_cache=True).past_key_values
    numbers = sum(tensor.numel() for layer in cache.layers for tensor in kept(layer))
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
        (without(GPT2, "n_embd"), "hidden_size is missing; .* has hidden_size or n_embd"),
        (MIXTRAL | {"hidden_size": "4096"}, "hidden_size is '4096'"),
        (MIXTRAL | {"hidden_size": 25}, "hidden_size is 25; allowed is a multiple of num_attention_heads = 4"),
        (MIXTRAL | {"num_key_value_heads": 3}, "num_key_value_heads is 3; allowed is a divisor of"),
        (DEEPSEEK | {"first_k_dense_replace": -1}, "first_k_dense_replace is -1; allowed is an integer of at least 0"),
        (GPT_OSS | {"layer_types": ["full_attention"]}, "layer_types is .* for each of 5 layers"),
        (GPT2 | {"add_cross_attention": True}, "add_cross_attention is True; allowed is false"),
        (GLM5 | {"indexer_types": ["shared"] * 5}, "indexer_types is .* allowed is full for each layer"),
        (V4 | {"compress_ratios": [4, 8] * 3}, "layer_types is .*8.* for each of 5 layers"),
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
