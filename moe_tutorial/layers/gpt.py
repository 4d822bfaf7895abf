"""A small GPT whose feed-forward can be exchanged: one wide network for all tokens, experts, or a tree.

The input is token ids; the output is, at each position, a score for every possible next token. A block has two halves:
attention, in which a position reads those before it, and a feed-forward network, which works on each position alone.
Only the feed-forward is exchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import check_choice, check_count, check_number
from .experts import DISPATCHES
from .mixture import MixtureOfExperts
from .modes import evaluating
from .routing import Routing
from .tree import Descent, FastFeedForward

FEED_FORWARDS = ("dense", "moe", "fff")
Cache = list[tuple[Tensor, Tensor]]  # each block's keys and values so far, (B, heads, t, d / heads)


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a ``GPT``.

    Args:
        vocab_size: number of different tokens.
        context: greatest number of positions.
        n_layers, n_heads, d_model: blocks, attention heads, and width ``d``, which the heads must divide.
        feed_forward: "dense", one network of ``d_hidden`` neurons; "moe", ``n_experts`` such; "fff", ``2**depth`` such.
        d_hidden: neurons ``h``; ``4 * d_model`` if None.
        n_experts, top_k: experts ``E`` of a mixture, and how many a token goes to.
        noise, n_shared: of a mixture, as in ``Router`` and in ``MixtureOfExperts``.
        router: a callable from tokens (T, d) to a ``Routing``, for all blocks; if None, each block has a ``Router``.
        depth: depth of a tree.
        dispatch: "sparse" or "dense", how a mixture computes, and how a tree does in ``eval()``.

    The layers have more options: to use them, replace a block's ``feed_forward`` by a layer of your own.

    Raises TypeError or ValueError for sizes that do not fit and for an unknown feed-forward or dispatch. The
    arguments of mixtures and trees are checked when the ``GPT`` is built.
    """

    vocab_size: int
    context: int = 64
    n_layers: int = 2
    n_heads: int = 4
    d_model: int = 64
    feed_forward: str = "dense"
    d_hidden: int | None = None
    n_experts: int = 8
    top_k: int = 1
    noise: float | str | None = None
    n_shared: int = 0
    router: Callable[[Tensor], Routing] | None = None
    depth: int = 3
    dispatch: str = "sparse"

    def __post_init__(self):
        for name in ("vocab_size", "context", "n_layers", "n_heads", "d_model"):
            check_count(name, getattr(self, name))
        if self.d_model % self.n_heads:
            raise ValueError(f"n_heads must divide d_model = {self.d_model}, got {self.n_heads}")
        check_choice("feed_forward", self.feed_forward, FEED_FORWARDS)
        check_choice("dispatch", self.dispatch, DISPATCHES)
        hidden = 4 * self.d_model if self.d_hidden is None else check_count("d_hidden", self.d_hidden)
        object.__setattr__(self, "d_hidden", hidden)  # the dataclass is frozen


class GPT(nn.Module):
    """A decoder that scores the next token, with learned positions and layer norm before each half of a block.

    Source: Radford et al. 2019, GPT-2, section 2.3; here without dropout and without tied weights.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.token = nn.Embedding(config.vocab_size, config.d_model)
        self.position = nn.Embedding(config.context, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.1)  # with torch's std of 1, the first hundreds of steps are lost

    def forward(
        self, tokens: Tensor, targets: Tensor | None = None, cache: Cache | None = None
    ) -> tuple[Tensor, Tensor | None, list[Routing | Descent | None]]:
        """Score the next token at each position.

        Args:
            tokens: int (B, T), token ids.
            targets: int (B, T), the true next tokens; positions with -100 do not count.
            cache: an empty list, which is filled, or one that an earlier call filled, which ``tokens`` continue.

        Returns:
            logits (B, T, vocab_size); the mean cross-entropy, a scalar in nats, None without targets; a record of each
            block, the ``Routing`` or ``Descent`` of its B * T tokens in row-major order, None for a dense block.

        Raises TypeError for tokens that are not integers, ValueError for a wrong shape and for more than ``context``
        positions.
        """
        past = cache[0][0].shape[2] if cache else 0
        self.check_tokens(tokens, past)
        x = self.token(tokens) + self.position(torch.arange(past, past + tokens.shape[1], device=tokens.device))
        records = []
        for number, block in enumerate(self.blocks):
            x, record = block(x, cache, number)
            records.append(record)
        logits = self.head(self.norm(x))
        loss = None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss, records

    @torch.no_grad()
    def generate(
        self, tokens: Tensor, n_new: int, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Continue ``tokens``, one token at a time, in evaluation mode.

        Keys and values are cached, so each new token costs one position. When the context is full, its newer half is
        read again, and generation continues from there.

        Args:
            tokens: int (B, T) with T of at least 1.
            n_new: number of tokens to add.
            temperature: divides the logits before the softmax; 0 takes the likeliest token.
            generator: random generator of the draws.

        Returns int (B, T + n_new). Raises as ``forward`` does, and for numbers that do not fit.
        """
        check_count("n_new", n_new, low=0)
        check_number("temperature", temperature)
        context = self.config.context
        cache: Cache = []
        unread = tokens[:, -context:]
        with evaluating(self):
            for _ in range(n_new):
                if cache and cache[0][0].shape[2] == context:
                    cache, unread = [], tokens[:, -max(1, context // 2) :]
                scores = self(unread, cache=cache)[0][:, -1]
                unread = scores.argmax(-1, keepdim=True)
                if temperature > 0:
                    unread = torch.multinomial((scores / temperature).softmax(-1), 1, generator=generator)
                tokens = torch.cat([tokens, unread], dim=1)
        return tokens

    def check_tokens(self, tokens: Tensor, past: int) -> None:
        """Raise TypeError or ValueError for tokens of a wrong dtype or shape, or too many of them."""
        if not isinstance(tokens, Tensor) or tokens.is_floating_point():
            got = getattr(tokens, "dtype", type(tokens).__name__)
            raise TypeError(f"tokens must be a tensor of integers, got {got}")
        if tokens.ndim != 2 or tokens.shape[1] == 0:
            raise ValueError(f"tokens must be (B, T) with T of at least 1, got {tuple(tokens.shape)}")
        if past + tokens.shape[1] > self.config.context:
            raise ValueError(f"tokens must be at most context = {self.config.context}, got {past + tokens.shape[1]}")


class Block(nn.Module):
    """Attention, then the feed-forward, each with a residual connection."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(config.d_model), nn.LayerNorm(config.d_model)
        self.attention = Attention(config.d_model, config.n_heads)
        self.feed_forward = build_feed_forward(config)

    def forward(self, x: Tensor, cache: Cache | None = None, number: int = 0):
        x = x + self.attention(self.attention_norm(x), cache, number)
        y = self.feed_forward(self.feed_forward_norm(x))
        y, record = y if isinstance(y, tuple) else (y, None)
        return x + y, record


class Attention(nn.Module):
    """Causal self-attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1)."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, cache: Cache | None = None, number: int = 0) -> Tensor:
        T = x.shape[1]
        q, k, v = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in self.query_key_value(x).chunk(3, -1)
        )
        if cache is not None:
            if number < len(cache):
                k, v = (torch.cat([old, new], dim=2) for old, new in zip(cache[number], (k, v), strict=True))
                cache[number] = k, v
            else:
                cache.append((k, v))
        past = k.shape[2] - T
        # A position sees all cached positions and, of the new ones, itself and those before it.
        seen = torch.ones(T, past + T, dtype=torch.bool, device=x.device).tril(past) if past and T > 1 else None
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=past == 0)
        return self.out(y.transpose(1, 2).flatten(2))


def build_feed_forward(config: GPTConfig) -> nn.Module:
    """Build a block's feed-forward. A mixture also returns its routing, a tree its descent."""
    width, hidden = config.d_model, config.d_hidden
    if config.feed_forward == "dense":
        return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
    if config.feed_forward == "fff":
        return FastFeedForward(width, width, config.depth, hidden, "gelu", dispatch=config.dispatch)
    return MixtureOfExperts(
        width,
        hidden,
        config.n_experts,
        config.top_k,
        config.router,
        activation="gelu",
        n_shared=config.n_shared,
        dispatch=config.dispatch,
        **({} if config.noise is None else {"noise": config.noise}),  # a given router takes no options
    )
