"""Read a Hugging Face ``config.json``: one name per setting, defaults filled in, invalid values rejected.

Publishers leave out keys that have a default in transformers' config classes, and use several names for one setting.
Some of a model is in no file, as only the family's code says it (see ``CODE``).
"""

from types import SimpleNamespace
from typing import NamedTuple

SHAPE = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"]
MIXTURE = [*SHAPE, "num_experts", "num_experts_per_tok"]
ONE_WIDTH = [*MIXTURE, "intermediate_size"]
TWO_WIDTHS = [*ONE_WIDTH, "moe_intermediate_size"]
INDEXER = ["index_n_heads", "index_head_dim", "index_topk"]
LINEAR = ["linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim"]
SHARED = ["moe_intermediate_size", "shared_expert_intermediate_size"]
POOLED = ["compress_ratios", "sliding_window", "head_dim", "q_lora_rank", "o_lora_rank", "o_groups", "hc_mult"]
NEEDED = {
    "gpt2": [*SHAPE, "max_position_embeddings"],
    "mixtral": ONE_WIDTH,
    "olmoe": ONE_WIDTH,
    "qwen3_moe": [*MIXTURE, "moe_intermediate_size"],
    "qwen3_5_moe_text": [*MIXTURE, *SHARED, *LINEAR, "linear_conv_kernel_dim"],
    "deepseek_v3": TWO_WIDTHS,
    "kimi_k2": TWO_WIDTHS,
    "kimi_linear": [*TWO_WIDTHS, *LINEAR, "linear_conv_kernel_dim"],
    "glm_moe_dsa": [*TWO_WIDTHS, *INDEXER],
    "deepseek_v4": [*MIXTURE, "moe_intermediate_size", *POOLED, *INDEXER],
    "longcat_flash": [*TWO_WIDTHS, "zero_expert_num"],
    "gpt_oss": ONE_WIDTH,
    "glm4_moe": TWO_WIDTHS,
    "llama4_text": [*ONE_WIDTH, "intermediate_size_mlp"],
    "minimax_m2": ONE_WIDTH,
}

# fmt: off
# Keys that a file may lack, with the defaults of transformers' config classes. A family uses only some of them.
FLAGS = {
    "tie_word_embeddings": False, "attention_bias": False, "add_cross_attention": False,
    "use_sliding_window": True, "use_qk_norm": True, "norm_topk_prob": True, "mla_use_output_gate": False,
    "use_full_rank_gate": False,
}
LISTS = dict.fromkeys(["mlp_only_layers", "moe_layers", "layer_types", "compress_ratios", "indexer_types"])
MAY_BE_NULL = {
    "n_inner": None, "head_dim": None, "num_key_value_heads": None, "sliding_window": None, "q_lora_rank": 1536,
    "routed_expert_hidden_size": None,
}
MAY_BE_ZERO = {"n_shared_experts": 1, "first_k_dense_replace": 0, "zero_expert_num": 0}
SIZES = {
    "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
    "decoder_sparse_step": 1, "full_attention_interval": 4,
}
OPTIONAL = {**FLAGS, **LISTS, **MAY_BE_NULL, **MAY_BE_ZERO, **SIZES}
SYNONYMS = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "num_layers": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings",
    "num_local_experts": "num_experts",
    "n_routed_experts": "num_experts",
    "moe_topk": "num_experts_per_tok",
    "num_experts_per_token": "num_experts_per_tok",
    "num_shared_experts": "n_shared_experts",
    "moe_renormalize": "norm_topk_prob",
    "ffn_hidden_size": "intermediate_size",
    "expert_ffn_hidden_size": "moe_intermediate_size",
    "interleave_moe_layer_step": "decoder_sparse_step",
    "attention_chunk_size": "sliding_window",
}

# What no file says, as the family's code does it: how the router's logits become weights; the kinds of attention, the
# last of them in every ``full_attention_interval``-th layer; norms of queries and keys, over a "head" or over "all".
CODE = {
    "gate": None, "kinds": ["full_attention"], "latent": False, "qk_norm": None, "biased": False, "sinks": False,
    "shared": False, "shared_gate": False, "attention_gate": False, "output_bias": True, "sublayers": 1,
    "by_channel": False,
}

# The families' own defaults and code, where they are not those above.
DEEPSEEK_V3 = {"gate": "sigmoid + bias", "latent": True, "shared": True, "first_k_dense_replace": 3}
FAMILIES = {
    "gpt2": {"tie_word_embeddings": True, "attention_bias": True},
    "mixtral": {"gate": "softmax", "kinds": ["sliding_attention"], "num_key_value_heads": 8},
    "olmoe": {"gate": "softmax", "kinds": ["sliding_attention"], "norm_topk_prob": False, "qk_norm": "all"},
    "qwen3_moe": {
        "gate": "softmax", "kinds": ["sliding_attention"], "norm_topk_prob": False, "qk_norm": "head",
        "num_key_value_heads": 4, "intermediate_size": 6144, "use_sliding_window": False, "sliding_window": 4096,
    },
    "qwen3_5_moe_text": {
        "gate": "softmax", "kinds": ["linear_attention", "full_attention"], "qk_norm": "head",
        "shared": True, "shared_gate": True, "attention_gate": True,
    },
    "deepseek_v3": DEEPSEEK_V3,
    "kimi_k2": DEEPSEEK_V3,  # a name of its own for the same code
    "kimi_linear": DEEPSEEK_V3 | {
        "kinds": ["linear_attention", "full_attention"], "by_channel": True, "first_k_dense_replace": 1,
        "q_lora_rank": None,
    },
    "glm_moe_dsa": DEEPSEEK_V3,
    "deepseek_v4": {"gate": "sqrt(softplus) + bias", "shared": True},
    "longcat_flash": {"gate": "softmax + bias", "norm_topk_prob": False, "latent": True, "sublayers": 2},
    "gpt_oss": {
        "gate": "top-k, then softmax", "norm_topk_prob": False, "biased": True, "sinks": True,
        "kinds": ["sliding_attention", "full_attention"], "full_attention_interval": 2, "sliding_window": 128,
        "num_key_value_heads": 8, "head_dim": 64, "attention_bias": True,
    },
    "glm4_moe": {
        "gate": "sigmoid + bias", "qk_norm": "head", "shared": True, "output_bias": False,
        "first_k_dense_replace": 1, "use_qk_norm": False,
    },
    "llama4_text": {
        "gate": "sigmoid, times the input", "norm_topk_prob": False, "shared": True,
        "kinds": ["chunked_attention", "full_attention"], "sliding_window": 8192,
    },
    "minimax_m2": {"gate": "sigmoid + bias", "qk_norm": "all"},
}
# fmt: on


def read_config(config: dict) -> SimpleNamespace:
    """The config's settings as attributes, under one name each (see ``SYNONYMS``), and those of its family (``CODE``).

    A model that also sees or hears has its language model's settings under ``text_config``.

    Raises:
        ValueError: the family is unknown, a key is missing, or a value is invalid.
    """
    check(isinstance(config, dict), "config", config, "the dict in a config.json")
    config = config | config.get("text_config", {})
    config |= linear_attention(config.get("linear_attn_config"))
    family = config.get("model_type")
    check(family in NEEDED, "model_type", family, f"one of {', '.join(NEEDED)}")
    given = {SYNONYMS.get(key, key): value for key, value in config.items()}
    for key in NEEDED[family]:
        names = [key, *(name for name, same in SYNONYMS.items() if same == key)]
        if key not in given:
            raise ValueError(f"{key} is missing; a config.json of {family} has {' or '.join(names)}")
    default = dict.fromkeys(NEEDED[family]) | OPTIONAL | CODE | FAMILIES[family]
    values = {key: given.get(key, value) for key, value in default.items() if key not in CODE}
    for key, value in values.items():
        if key in FLAGS:
            check(isinstance(value, bool), key, value, "true or false")
        elif key in LISTS:
            check(value is None or isinstance(value, list), key, value, "null or a list")
        elif value is not None or key not in MAY_BE_NULL:
            low = 0 if key in MAY_BE_ZERO else 1
            check(type(value) is int and value >= low, key, value, f"an integer of at least {low}")
    c = SimpleNamespace(model_type=family, **default | values)
    c.n_shared_experts *= c.shared
    c.sliding_window = c.sliding_window if c.use_sliding_window else None
    c.qk_norm = c.qk_norm if c.use_qk_norm else None
    c.gate = c.gate and c.gate + ", renormalised" * c.norm_topk_prob
    c.expert_width = given.get("moe_intermediate_size", given.get("intermediate_size"))
    if not c.latent:  # latent attention has no key-value heads, and no single head width
        share_heads(c)
    sort_layers(c)
    return c


def linear_attention(given: dict | None) -> dict:
    """What Kimi's files say of linear attention in a dict of its own, under the names that other files have."""
    if not given:
        return {}
    kinds = dict.fromkeys(given["kda_layers"], "linear_attention")
    kinds |= dict.fromkeys(given["full_attn_layers"], "full_attention")  # both count layers from 1
    sizes = dict(zip(LINEAR, [given["num_heads"]] * 2 + [given["head_dim"]] * 2, strict=True))
    layers = [kinds[i] for i in sorted(kinds)]
    return given | sizes | {"layer_types": layers, "linear_conv_kernel_dim": given["short_conv_kernel_size"]}


def share_heads(c: SimpleNamespace) -> None:
    """Replace null by the defaults of grouped-query attention: as many key-value heads as heads, of width d / heads."""
    d, heads = c.hidden_size, c.num_attention_heads
    c.num_key_value_heads = c.num_key_value_heads or heads
    check(heads % c.num_key_value_heads == 0, "num_key_value_heads", c.num_key_value_heads, f"a divisor of {heads}")
    check(c.head_dim or d % heads == 0, "hidden_size", d, f"a multiple of num_attention_heads = {heads}")
    c.head_dim = c.head_dim or d // heads


RATIOS = {0: "sliding_attention", 4: "compressed_sparse_attention", 128: "heavily_compressed_attention"}


def sort_layers(c: SimpleNamespace) -> None:
    """Set ``layer_types``, one for each attention; ``sparse``, the layers with experts; and how many have none."""
    n = c.num_hidden_layers
    for key in ("mlp_only_layers", "moe_layers"):
        check(all(isinstance(i, int) for i in getattr(c, key) or []), key, getattr(c, key), "integers")
    if c.compress_ratios:
        c.layer_types = [RATIOS.get(ratio, ratio) for ratio in c.compress_ratios[:n]]
        c.kinds = [*RATIOS.values()]
    pattern = c.kinds[:1] * (c.full_attention_interval - 1) + c.kinds[-1:]
    c.layer_types = (len(c.kinds) > 1 and c.layer_types) or (pattern * n)[:n]
    fits = len(c.layer_types) == n and {*c.layer_types} <= {*c.kinds}
    check(fits, "layer_types", c.layer_types, f"{' or '.join(c.kinds)} for each of {n} layers")
    check({*(c.indexer_types or ["full"])} == {"full"}, "indexer_types", c.indexer_types, "full for each layer")
    c.layer_types *= c.sublayers
    sparse = range(c.decoder_sparse_step - 1, n, c.decoder_sparse_step) if c.moe_layers is None else c.moe_layers
    c.sparse = [i for i in sparse if c.gate and i >= c.first_k_dense_replace and i not in (c.mlp_only_layers or [])]
    c.dense_layers = n - len(c.sparse)


class Choices(NamedTuple):
    """What a mixture's designers chose, under the names that :func:`read_config` gives."""

    num_experts: int  # in a layer
    zero_expert_num: int  # and this many more that do nothing
    num_experts_per_tok: int
    n_shared_experts: int  # that every token passes
    expert_width: int
    gate: str  # from the router's logits to weights


def choices(config: dict) -> Choices | None:
    """The design of the mixture that the config describes; None for a dense model."""
    c = read_config(config)
    return Choices(*(getattr(c, key) for key in Choices._fields)) if c.gate else None


def check(holds: object, key: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{key} is {value!r}; allowed is {allowed}")
