"""What a model costs: the numbers it keeps, the multiplications it does, and the bytes it moves.

Two words recur in every paper on experts. **Total** parameters are all that have to be stored. **Active** parameters
are those that one token meets on its way, and they set how much arithmetic it needs.

:func:`parameters` and :func:`multiplications` count a model that exists. The others count a published one from its
``config.json`` alone, in the terms of Hugging Face's transformers. One rule says what is active: everything but the
routed experts that the token was not sent to. The whole embedding is active, although a token reads one row of it.
"""

import json
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from moe_tutorial.layers.checks import check_count, check_number
from moe_tutorial.study.systems.hub_config import RATIOS, Choices, check, choices, read_config


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
    year: int
    config: dict  # the keys of the public config.json that the counts, the choices and my_moe.py's blocks need
    config_source: str | None  # where that file is
    total: int  # as the publisher states it, rounded as there
    active: int
    rounding: Count  # half of the last digit that is stated of each
    source: str  # where the publisher states it
    note: str  # how the publisher counts
    counted: Count  # ours, counted the publisher's way
    choices: Choices | None  # the mixture's design; None where the model is dense


def count_parameters(config: dict) -> Count:
    """Total and active parameters of the model that transformers builds from a Hugging Face ``config.json``.

    Args:
        config: the file as a dict. Its ``model_type`` is one of those in ``hub_config.NEEDED``. Keys that such files
            may lack have the defaults of transformers' config classes; other keys are ignored. Layers that predict
            further tokens (MTP) are not part of the model that is built, and of a model that also sees only the
            language model is counted. Of LongCat-Flash's experts those that do nothing have no parameters, and
            active are as many as a token may choose of the others.

    Raises:
        ValueError: the family is unknown, a key is missing, or a value makes no sense.
    """
    model = parts(config)
    return Count(sum(p.copies * p.total for p in model), sum(p.copies * p.active for p in model))


def multiplications_per_token(config: dict, context: int = 0) -> int:
    """Multiplications of the matrix products for one token: one per weight of each matrix it meets, and attention's.

    Left out are activations, norms, softmax, rotary angles, and the scaling and adding of the experts' outputs.
    Latent attention (DeepSeek-V3) is counted as in training and prefill, where each token's latent is expanded once to
    keys and values; decoding on the latent itself multiplies more per token of context.

    Args:
        config: as for :func:`count_parameters`.
        context: how many tokens the token attends to, itself included. Each takes one multiplication per number of
            its key and of its value in every query head. Of a window, a chunk or an indexer's choice it is at most
            their size. 0 counts the weights alone.
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
    latent attention the cache holds the latent, of linear attention its matrices, however long the context;
    sliding-window attention reads no more than its window.

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


def _published(total: str, active: str, active_leaves_out: list[str], beside: int = 0, **row: Any) -> Published:
    """The row's figures as numbers. ``beside`` are parameters of what stands beside the language model."""
    ours = count_parameters(row["config"])
    left_out = sum(p.active for p in parts(row["config"]) if p.name in active_leaves_out)
    (total, half_total), (active, half_active) = _stated(total), _stated(active)
    return Published(
        total=total,
        active=active,
        rounding=Count(half_total, half_active),
        counted=Count(ours.total + beside, ours.active - left_out),
        choices=choices(row["config"]),
        **row,
    )


def _stated(figure: str) -> tuple[int, int]:
    """The number that a figure like 1.6T stands for, and half of its last digit."""
    unit = {"B": 10**9, "T": 10**12}[figure[-1]]
    decimals = len(figure[:-1].partition(".")[2])
    return round(float(figure[:-1]) * unit), unit // 10**decimals // 2


def parts(config: dict, context: int = 0) -> list[Part]:
    """The model part by part, from the embedding to the output head; their sums are the model's counts.

    A matrix that embedding and output head share (tied weights) is listed at the head, which reads all of it. Arguments
    and errors are those of :func:`count_parameters` and :func:`multiplications_per_token`.
    """
    check_count("context", context, 0)
    c = read_config(config)
    check(not c.add_cross_attention, "add_cross_attention", True, "false: a decoder alone is counted")
    d, head = c.hidden_size, c.vocab_size * c.hidden_size
    gpt2 = c.model_type == "gpt2"  # it learns positions, and its LayerNorms shift as well as scale
    model = [
        _part("embedding", 1, 0 if c.tie_word_embeddings else head),
        _part("position embedding", int(gpt2), c.max_position_embeddings * d if gpt2 else 0),
        *(_attention(c, kind, copies, context) for kind, copies in Counter(c.layer_types).items()),
        *_hyper_connections(c),
        *_feed_forward(c),
        _part("norms", 2 * len(c.layer_types) + 1, 2 * d if gpt2 else d),
        _part("output head", 1, head, head),
    ]
    return [part for part in model if part.copies]


# In terms of a config c: d model width, E experts, k chosen for each token.


def _attention(c: SimpleNamespace, kind: str, copies: int, context: int) -> Part:
    """One kind of attention, by what the model's code and config name of it."""
    if kind == "linear_attention":
        weights, others, attended, cached = _linear(c, context)
    elif c.compress_ratios:
        weights, others, attended, cached = _compressed(c, kind, context)
    elif c.latent:
        weights, others, attended, cached = _latent(c, context)
    else:
        window = context if kind == "full_attention" else c.sliding_window or context
        weights, others, attended, cached = _grouped(c, min(context, window))
    name = kind.replace("_", " ") if len({*c.layer_types}) > 1 else "attention"
    return _part(name, copies, weights + others, weights + attended, cached)


# Each returns weights of matrices, other parameters, multiplications with the context, and numbers cached of it.


def _grouped(c: SimpleNamespace, seen: int) -> tuple[int, int, int, int]:
    """Grouped-query attention (arXiv:2305.13245): several query heads share one head of keys and values."""
    d, queries, keys = c.hidden_size, c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    gate = d * queries if c.attention_gate else 0
    biases = (queries + 2 * keys + d * c.output_bias) * c.attention_bias
    norms = {None: 0, "head": 2 * c.head_dim, "all": queries + keys}[c.qk_norm]
    sinks = c.num_attention_heads * c.sinks
    return 2 * d * (queries + keys) + gate, biases + norms + sinks, 2 * queries * seen, 2 * keys * seen


def _latent(c: SimpleNamespace, context: int) -> tuple[int, int, int, int]:
    """Multi-head latent attention (arXiv:2405.04434): keys and values are made of one small vector for each token."""
    d, heads, rank, latent = c.hidden_size, c.num_attention_heads, c.q_lora_rank or 0, c.kv_lora_rank
    nope, rope, value = c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim
    key = nope + rope  # a part that is not rotated, and a rotated one that all heads share
    queries = d * rank + rank * heads * key if rank else d * heads * key
    weights = queries + d * (latent + rope) + latent * heads * (nope + value) + heads * value * d
    weights += d * heads * value * c.mla_use_output_gate
    biases = (rank + latent + rope + d) * c.attention_bias
    seen, others, scored, cached = context, 0, 0, 0
    if hasattr(c, "index_topk"):  # an indexer: small heads score the whole context, and attention sees the best of it
        seen, size = min(context, c.index_topk), c.index_head_dim
        weights += rank * c.index_n_heads * size + d * size + d * c.index_n_heads
        others, scored, cached = 2 * size, c.index_n_heads * (size + 1) * context, size * context
    others += biases + rank + latent  # and a norm over each of the two low-rank vectors
    return weights, others, heads * (key + value) * seen + scored, (latent + rope) * seen + cached


def _compressed(c: SimpleNamespace, kind: str, context: int) -> tuple[int, int, int, int]:
    """DeepSeek-V4's attention (arXiv:2606.19348): a window, and older tokens pooled, 4 or 128 to one entry.

    One head of keys serves as values too. The entries of 4 overlap, and an indexer chooses among them.
    """
    d, rank, size, rate = c.hidden_size, c.q_lora_rank, c.head_dim, {v: k for k, v in RATIOS.items()}[kind]
    queries = c.num_attention_heads * size
    weights = d * rank + rank * queries + d * size + queries * c.o_lora_rank + c.o_groups * c.o_lora_rank * d
    others, scored, entries, cached = c.num_attention_heads + rank + size, 0, context // rate if rate else 0, 0
    pooled = {0: [], 4: [size, c.index_head_dim], 128: [size]}[rate]  # the widths of what is pooled
    overlap = 2 if rate == 4 else 1
    weights += sum(2 * d * overlap * width for width in pooled)
    others += sum(rate * overlap * width + width for width in pooled)
    if rate == 4:
        index = c.index_n_heads * c.index_head_dim
        weights += rank * index + d * c.index_n_heads
        scored, cached, entries = index * entries, c.index_head_dim * entries, min(entries, c.index_topk)
    seen = min(context, c.sliding_window) + entries
    return weights, others, 2 * queries * seen + scored, size * seen + cached


def _linear(c: SimpleNamespace, context: int) -> tuple[int, int, int, int]:
    """Gated DeltaNet (arXiv:2412.06464): a matrix for each head in place of a cache, of one size whatever the context.

    A token multiplies its heads' matrices three times: to recall by its key, to add what it recalled wrongly, and to
    answer its query. Kimi Delta Attention (arXiv:2510.26692) forgets by the channel, not by the head.
    """
    d, heads = c.hidden_size, c.linear_num_value_heads
    keys, values = c.linear_num_key_heads * c.linear_key_head_dim, heads * c.linear_value_head_dim
    convolved = 2 * keys + values
    weights = d * convolved + 2 * d * values + 2 * d * heads + convolved * c.linear_conv_kernel_dim
    state = heads * c.linear_key_head_dim * c.linear_value_head_dim if context else 0
    cached = state + convolved * c.linear_conv_kernel_dim if context else 0
    others = 2 * heads + c.linear_value_head_dim
    if c.by_channel:
        narrow = (d + values) * c.linear_value_head_dim  # two matrices in place of one
        weights += narrow - d * heads + (0 if c.use_full_rank_gate else narrow - d * values)
        others += values - heads
    return weights, others, 3 * state, cached


def _feed_forward(c: SimpleNamespace) -> list[Part]:
    """Dense layers, and in the others a router, its experts, and experts that every token passes (shared)."""
    d = c.hidden_size
    if not c.gate:
        h = c.n_inner or 4 * d
        return [_part("dense feed-forward", c.dense_layers, 2 * d * h + h + d, 2 * d * h)]
    E, k, idle, width, n = c.num_experts, c.num_experts_per_tok, c.zero_expert_num, c.expert_width, len(c.sparse)
    check(k <= E, "num_experts_per_tok", k, f"1 to num_experts = {E}")
    dense = 3 * d * getattr(c, "intermediate_size_mlp", getattr(c, "intermediate_size", 0))
    latent = c.routed_expert_hidden_size or 0  # the width that experts read and write, where it is not the model's
    expert, bias = 3 * (latent or d) * width, (2 * width + d) * c.biased
    shared = 3 * d * getattr(c, "shared_expert_intermediate_size", width) * c.n_shared_experts + d * c.shared_gate
    return [
        _part("dense feed-forward", c.dense_layers if c.sublayers == 1 else c.sublayers * n, dense, dense),
        _part("router", n, (d + c.biased) * (E + idle), d * (E + idle)),
        _part("to the experts' width and back", n if latent else 0, (2 * d + 1) * latent, 2 * d * latent),
        Part("experts", n, E * (expert + bias), k * (expert + bias), k * expert, cached=0),
        _part("shared experts", n if c.n_shared_experts else 0, shared, shared),
    ]


def _hyper_connections(c: SimpleNamespace) -> list[Part]:
    """DeepSeek-V4 carries several streams in place of one, and mixes them before and after each part of a layer."""
    m = getattr(c, "hc_mult", 0)
    weights, mixed = m * m * c.hidden_size, m * (m + 2)
    whole = _part("hyper-connections", 2 * c.num_hidden_layers, (m + 2) * weights + mixed + 3, (m + 3) * weights)
    return [whole, _part("last streams", 1, weights + m + 1, weights)] if m else []


def _part(name: str, copies: int, total: int, multiplications: int = 0, cached: int = 0) -> Part:
    """A part that every token uses whole."""
    return Part(name, copies, total, total, multiplications, cached)
