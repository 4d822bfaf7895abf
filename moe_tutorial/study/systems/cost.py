"""What a model costs: the numbers it keeps, the multiplications it does, and the bytes it moves.

Two words recur in every paper on experts. **Total** parameters are all that have to be stored. **Active** parameters
are those that one token meets on its way, and they set how much arithmetic it needs.

:func:`parameters` and :func:`multiplications` count a model that exists. The others count a published one from its
``config.json`` alone, in the terms of Hugging Face's transformers. One rule says what is active: everything but the
routed experts that the token was not sent to. The whole embedding is active, although a token reads one row of it.
"""

import json
from collections.abc import Callable
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from moe_tutorial.layers.checks import check_count, check_number
from moe_tutorial.study.systems.hub_config import check, read_config


def parameters(model: nn.Module) -> int:
    """How many parameters the model holds: the total."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiplications(model: Callable[[Tensor], Any], x: Tensor) -> int:
    """How many multiplications the matrix products of ``model(x)`` do, counted while they run.

    PyTorch's own counter watches each matrix product and reports floating-point operations; half of them are
    multiplications, the other half additions. Activations, softmax and sorting are not counted. Attention is taken
    through its two matrix products, as not every version of PyTorch counts what its fused attention does.

    Args:
        model: a module, or any function of x.
        x: its input, (..., d). The count is for the whole batch.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops() // 2


class Count(NamedTuple):
    total: int
    active: int


class Part(NamedTuple):
    """One kind of part of a model. Every number is for one copy of it."""

    name: str
    copies: int  # how many such parts the model has
    total: int  # parameters
    active: int  # parameters
    multiplications: int  # per token
    cached: int  # numbers of the context's keys and values that a token reads


class Published(NamedTuple):
    name: str
    config: dict  # the keys of the public config.json that the counts rest on
    total: int  # as the publisher states it, rounded as there
    active: int
    source: str  # where the publisher states it
    note: str  # how the publisher counts
    counted: Count  # ours, counted the publisher's way


def count_parameters(config: dict) -> Count:
    """Total and active parameters of the model that transformers builds from a Hugging Face ``config.json``.

    Args:
        config: the file as a dict. ``model_type`` is one of gpt2, mixtral, olmoe, qwen3_moe, deepseek_v3, gpt_oss. Keys
            that such files may lack have the defaults of transformers' config classes; other keys are ignored.
            DeepSeek-V3's extra layer that predicts a second token (MTP) is not part of the model that is built.

    Raises:
        ValueError: the family is unknown, a key is missing, or a value makes no sense.
    """
    model = parts(config)
    return Count(sum(p.copies * p.total for p in model), sum(p.copies * p.active for p in model))


def multiplications_per_token(config: dict, context: int = 0) -> int:
    """Multiplications of the matrix products for one token: one per weight of each matrix it meets, and attention's.

    Left out are activations, norms, softmax, rotary angles, and the scaling and adding of the experts' outputs.
    DeepSeek-V3's attention is counted as in training and prefill, where each token's latent is expanded once to keys
    and values; decoding on the latent itself multiplies more per token of context.

    Args:
        config: as for :func:`count_parameters`.
        context: how many tokens the token attends to, itself included. Each takes one multiplication per number of
            its key and of its value in every query head. 0 counts the weights alone.
    """
    return sum(p.copies * p.multiplications for p in parts(config, context))


def distinct_experts(n_experts: int, top_k: int, batch: int) -> float:
    """Expected number of different experts that ``batch`` tokens use under even routing: E (1 - (1 - k/E)^B).

    One token misses a given expert with probability 1 - k/E, and all B tokens with that to the power of B, if they
    choose independently of each other.
    """
    check_count("n_experts", n_experts)
    check_count("top_k", top_k, 1, n_experts, "n_experts")
    return n_experts * (1 - (1 - top_k / n_experts) ** check_count("batch", batch, 0))


CACHE_BYTES = 2  # keys and values are cached as 16-bit numbers, also where the weights are packed tighter


def bytes_per_token(config: dict, batch: int = 1, context: int = 0, bytes_per_weight: float = 2) -> float:
    """Bytes that one decoding step of ``batch`` sequences reads from memory, per token.

    The step reads each weight once for the whole batch, of the experts only those that some token uses
    (:func:`distinct_experts`), and for each sequence the cached keys and values of its context, 2 bytes a number. Of
    DeepSeek-V3 the cache holds the latent; sliding-window attention reads no more than its window.

    Left out are the token's row of the embedding, activations, the writing of the new keys and values, a packed
    format's scales, and what machines send each other.

    Args:
        config: as for :func:`count_parameters`.
        batch: how many sequences the step extends by one token each.
        context: how many tokens each of them attends to.
        bytes_per_weight: 2 for bfloat16, 1 for 8-bit and 0.5 for 4-bit weights.
    """
    check_count("batch", batch)
    check_number("bytes_per_weight", bytes_per_weight)
    model = parts(config, context)
    # Whole experts are read, so the share of an expert part that is read is the share of its experts that are used.
    read = [p.copies * distinct_experts(p.total, p.active, batch) for p in model if not p.name.endswith("embedding")]
    return sum(read) * bytes_per_weight / batch + sum(p.copies * p.cached for p in model) * CACHE_BYTES


def published() -> list[Published]:
    """Published models with what their publishers state, and our count made the publisher's way."""
    rows = json.loads(files(__package__).joinpath("published.json").read_text(encoding="utf-8"))
    return [_published(**row) for row in rows]


def _published(active_counts_embedding: bool, **row: Any) -> Published:
    total, active = count_parameters(row["config"])
    embedding = sum(p.active for p in parts(row["config"]) if p.name == "embedding")
    return Published(**row, counted=Count(total, active if active_counts_embedding else active - embedding))


def parts(config: dict, context: int = 0) -> list[Part]:
    """The model part by part, from the embedding to the output head; their sums are the model's counts.

    A matrix that embedding and output head share (tied weights) is listed at the head, which reads all of it. Arguments
    and errors are those of :func:`count_parameters` and :func:`multiplications_per_token`.
    """
    check_count("context", context, 0)
    c = read_config(config)
    d, n, head = c.hidden_size, c.num_hidden_layers, c.vocab_size * c.hidden_size
    norm = 2 * d if c.model_type == "gpt2" else d  # a LayerNorm scales and shifts, an RMSNorm only scales
    return [
        _part("embedding", 1, 0 if c.tie_word_embeddings else head),
        *(part for part in FAMILIES[c.model_type](c, d, n, context) if part.copies),
        _part("norms", 2 * n + 1, norm),
        _part("output head", 1, head, head),
    ]


# Each family in the terms of its config c: d model width, n layers, h hidden width, E experts, k chosen per token.


def _gpt2(c: SimpleNamespace, d: int, n: int, context: int) -> list[Part]:
    h = c.n_inner or 4 * d
    check(not c.add_cross_attention, "add_cross_attention", True, "false: a decoder alone is counted")
    return [
        _part("position embedding", 1, c.max_position_embeddings * d),
        _attention(c, n, context, bias=True),
        _part("dense feed-forward", n, 2 * d * h + h + d, 2 * d * h),
    ]


def _mixtral(c: SimpleNamespace, d: int, n: int, context: int) -> list[Part]:
    return [_attention(c, n, context, window=c.sliding_window), *_mixture(c, n, 3 * d * c.intermediate_size)]


def _olmoe(c: SimpleNamespace, d: int, n: int, context: int) -> list[Part]:
    norms = d + d // c.num_attention_heads * c.num_key_value_heads  # one over all queries, one over all keys
    attention = _attention(c, n, context, c.attention_bias, norms, c.sliding_window)
    return [attention, *_mixture(c, n, 3 * d * c.intermediate_size)]


def _qwen3_moe(c: SimpleNamespace, d: int, n: int, context: int) -> list[Part]:
    window = c.sliding_window if c.use_sliding_window else None
    check(all(isinstance(i, int) for i in c.mlp_only_layers or []), "mlp_only_layers", c.mlp_only_layers, "integers")
    dense = [i for i in range(n) if i in (c.mlp_only_layers or []) or (i + 1) % c.decoder_sparse_step]
    return [
        _attention(c, n, context, c.attention_bias, 2 * c.head_dim, window),  # a norm of queries, one of keys
        _part("dense feed-forward", len(dense), 3 * d * c.intermediate_size, 3 * d * c.intermediate_size),
        *_mixture(c, n - len(dense), 3 * d * c.moe_intermediate_size),
    ]


def _deepseek_v3(c: SimpleNamespace, d: int, n: int, context: int) -> list[Part]:
    heads, rank, latent = c.num_attention_heads, c.q_lora_rank or 0, c.kv_lora_rank
    nope, rope, value = c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim
    key = nope + rope  # a part that is not rotated, and a rotated one that all heads share
    queries = d * rank + rank * heads * key if rank else d * heads * key
    weights = queries + d * (latent + rope) + latent * heads * (nope + value) + heads * value * d
    biases = rank + latent + rope + d if c.attention_bias else 0
    attention = weights + biases + rank + latent  # and a norm over each of the two low-rank vectors
    attended = heads * (key + value) * context
    n_dense, dense = min(n, c.first_k_dense_replace), 3 * d * c.intermediate_size
    expert, n_shared = 3 * d * c.moe_intermediate_size, c.n_shared_experts
    return [
        _part("attention", n, attention, weights + attended, (latent + rope) * context),
        _part("dense feed-forward", n_dense, dense, dense),
        *_mixture(c, n - n_dense, expert),
        _part("shared experts", n - n_dense if n_shared else 0, n_shared * expert, n_shared * expert),
    ]


def _gpt_oss(c: SimpleNamespace, d: int, n: int, context: int) -> list[Part]:
    sinks, kinds = c.num_attention_heads, c.layer_types or (["sliding_attention", "full_attention"] * n)[:n]
    n_sliding, h = kinds.count("sliding_attention"), c.intermediate_size
    fits = len(kinds) == n and {*kinds} <= {"sliding_attention", "full_attention"}
    check(fits, "layer_types", kinds, f"sliding_attention or full_attention for each of {n} layers")
    return [
        _attention(c, n_sliding, context, c.attention_bias, sinks, c.sliding_window, "sliding attention"),
        _attention(c, n - n_sliding, context, c.attention_bias, sinks, name="full attention"),
        *_mixture(c, n, 3 * d * h, expert_bias=2 * h + d, router_bias=1),
    ]


def _part(name: str, copies: int, total: int, multiplications: int = 0, cached: int = 0) -> Part:
    """A part that every token uses whole."""
    return Part(name, copies, total, total, multiplications, cached)


def _attention(c, copies, context, bias=False, norms_or_sinks=0, window=None, name="attention") -> Part:
    """Grouped-query attention (arXiv:2305.13245): several query heads share one head of keys and values."""
    d, queries, keys = c.hidden_size, c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    weights = d * queries + 2 * d * keys + queries * d
    biases = queries + 2 * keys + d if bias else 0
    seen = min(context, window or context)
    return _part(name, copies, weights + biases + norms_or_sinks, weights + 2 * queries * seen, 2 * keys * seen)


def _mixture(c, copies, expert, expert_bias=0, router_bias=0) -> list[Part]:
    d, E, k, one = c.hidden_size, c.num_experts, c.num_experts_per_tok, expert + expert_bias
    check(k <= E, "num_experts_per_tok", k, f"1 to num_experts = {E}")
    router = _part("router", copies, (d + router_bias) * E, d * E)
    return [router, Part("experts", copies, E * one, k * one, k * expert, cached=0)]


FAMILIES = {
    "gpt2": _gpt2,
    "mixtral": _mixtral,
    "olmoe": _olmoe,
    "qwen3_moe": _qwen3_moe,
    "deepseek_v3": _deepseek_v3,
    "gpt_oss": _gpt_oss,
}
