"""Read a Hugging Face ``config.json``: one name per setting, defaults filled in, invalid values rejected.

Publishers leave out keys that have a default in transformers' config classes, and use several names for one setting.
"""

from types import SimpleNamespace

SHAPE = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"]
MIXTURE = [*SHAPE, "num_experts", "num_experts_per_tok"]
NEEDED = {
    "gpt2": [*SHAPE, "max_position_embeddings"],
    "mixtral": [*MIXTURE, "intermediate_size"],
    "olmoe": [*MIXTURE, "intermediate_size"],
    "qwen3_moe": [*MIXTURE, "moe_intermediate_size"],
    "deepseek_v3": [*MIXTURE, "intermediate_size", "moe_intermediate_size"],
    "gpt_oss": [*MIXTURE, "intermediate_size"],
}

# Keys that a file may lack, with the defaults of transformers' config classes. A family uses only some of them.
FLAGS = dict.fromkeys(["tie_word_embeddings", "attention_bias", "add_cross_attention", "use_sliding_window"], False)
LISTS = dict.fromkeys(["mlp_only_layers", "layer_types"])
MAY_BE_NULL = dict.fromkeys(["n_inner", "head_dim", "num_key_value_heads", "sliding_window"]) | {"q_lora_rank": 1536}
MAY_BE_ZERO = {"n_shared_experts": 1, "first_k_dense_replace": 3}
SIZES = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
OPTIONAL = FLAGS | LISTS | MAY_BE_NULL | MAY_BE_ZERO | SIZES | {"decoder_sparse_step": 1}
OPTIONAL_IN = {
    "gpt2": {"tie_word_embeddings": True},
    "mixtral": {"num_key_value_heads": 8},
    "qwen3_moe": {"num_key_value_heads": 4, "intermediate_size": 6144, "sliding_window": 4096},
    "gpt_oss": {"num_key_value_heads": 8, "head_dim": 64, "attention_bias": True, "sliding_window": 128},
}
SYNONYMS = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings",
    "num_local_experts": "num_experts",
    "n_routed_experts": "num_experts",
}


def read_config(config: dict) -> SimpleNamespace:
    """The config's settings as attributes, under one name each (see ``SYNONYMS``).

    Raises:
        ValueError: the family is unknown, a key is missing, or a value is invalid.
    """
    check(isinstance(config, dict), "config", config, "the dict in a config.json")
    family = config.get("model_type")
    check(family in NEEDED, "model_type", family, f"one of {', '.join(NEEDED)}")
    given = {SYNONYMS.get(key, key): value for key, value in config.items()}
    for key in NEEDED[family]:
        names = [key, *(name for name, same in SYNONYMS.items() if same == key)]
        if key not in given:
            raise ValueError(f"{key} is missing; a config.json of {family} has {' or '.join(names)}")
    known = dict.fromkeys(NEEDED[family]) | OPTIONAL | OPTIONAL_IN.get(family, {})
    values = {key: given.get(key, default) for key, default in known.items()}
    for key, value in values.items():
        if key in FLAGS:
            check(isinstance(value, bool), key, value, "true or false")
        elif key in LISTS:
            check(value is None or isinstance(value, list), key, value, "null or a list")
        elif value is not None or key not in MAY_BE_NULL:
            low = 0 if key in MAY_BE_ZERO else 1
            check(type(value) is int and value >= low, key, value, f"an integer of at least {low}")
    c = SimpleNamespace(model_type=family, **values)
    if family != "deepseek_v3":  # its attention has no key-value heads, and no single head width
        share_heads(c)
    return c


def share_heads(c: SimpleNamespace) -> None:
    """Replace null by the defaults of grouped-query attention: as many key-value heads as heads, of width d / heads."""
    d, heads = c.hidden_size, c.num_attention_heads
    c.num_key_value_heads = c.num_key_value_heads or heads
    check(heads % c.num_key_value_heads == 0, "num_key_value_heads", c.num_key_value_heads, f"a divisor of {heads}")
    check(c.head_dim or d % heads == 0, "hidden_size", d, f"a multiple of num_attention_heads = {heads}")
    c.head_dim = c.head_dim or d // heads


def check(holds: object, key: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{key} is {value!r}; allowed is {allowed}")
