"""A mixture's experts in plain torch, with as few passes and as little memory as it allows: for many tokens.

The choices are sorted by expert, so that each expert's tokens are a slice. Experts of few tokens share a call of
``grouped_mm``; an expert of many tokens has one of its own, so that its neurons stay in the cache from product to
product. For the way back, only the neurons before their activation are kept, and the answers.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import lending
from .dispatch import load

PART = 2**19  # bytes of neurons that are worked on at a time

ACTIVATIONS = {"relu": torch.relu, "gelu": F.gelu, "silu": F.silu}


def slopes(activation: str, by_act: Tensor, neurons: Tensor) -> Tensor:
    """The gradient by the neurons before their activation."""
    if activation == "relu":
        return torch.ops.aten.threshold_backward(by_act, neurons, 0)
    return getattr(torch.ops.aten, f"{activation}_backward")(by_act, neurons)


class Part(NamedTuple):
    """Neighbouring experts whose choices are worked on together."""

    experts: slice  # of the stacks
    rows: slice  # of the sorted choices
    counts: list[int]  # choices of each
    of_each: Tensor  # int64: the same
    ends: Tensor | None  # int32: where the rows of each end, counted from the part's first; None for a single expert


def parts_of(of_each: Tensor, w_in: Tensor, w_out: Tensor) -> list[Part]:
    """The experts in parts of about ``PART`` bytes, by the choices of each (E,); none without a choice."""
    return list(each_part(of_each, w_in.shape[1] * w_in.element_size(), can_group(w_in, w_out)))


def each_part(of_each: Tensor, row_bytes: int, group: bool) -> Iterator[Part]:
    first, row, counts = 0, 0, of_each.tolist()
    while first < len(counts):
        last, rows = first + 1, counts[first]
        while group and last < len(counts) and (rows + counts[last]) * row_bytes <= PART:
            rows += counts[last]
            last += 1
        if rows:
            own, ends = slice(first, last), None
            if last > first + 1:
                ends = of_each[own].cumsum(0, dtype=torch.int32)
            yield Part(own, slice(row, row + rows), counts[own], of_each[own], ends)
        first, row = last, row + rows


def product(x: Tensor, w: Tensor, ends: Tensor | None, room: Tensor | None = None) -> Tensor:
    """Each row times its expert's matrix: (n, i), (e, i, o) -> (n, o), written into the room where that can be."""
    if ends is not None:
        return F.grouped_mm(x, w, offs=ends)
    return x @ w[0] if room is None else torch.mm(x, w[0], out=room[: len(x)])


def can_group(w_in: Tensor, w_out: Tensor) -> bool:
    """Whether ``grouped_mm`` is there (since torch 2.9), and takes rows of these widths: 16 bytes or a multiple,
    one after the other in memory."""
    widths, dtype = (*w_in.shape[1:], w_out.shape[-1]), w_in.dtype
    return (
        hasattr(F, "grouped_mm")
        and dtype is not torch.float64
        and w_in.is_contiguous()
        and w_out.is_contiguous()
        and all(width * dtype.itemsize % 16 == 0 for width in widths)
    )


def sort(indices: Tensor, E: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of the choices (T, k), sorted by expert, the tokens and the numbers (S,); and how many each expert has (E,)."""
    return sort_by_kernel(indices, E) or sort_plainly(indices, E)


def sort_plainly(indices: Tensor, E: int) -> tuple[Tensor, Tensor, Tensor]:
    order = indices.flatten().argsort(stable=True)
    counts = indices.flatten().bincount(minlength=E)
    if len(counts) > E:
        raise ValueError(f"the router chose expert {len(counts) - 1}, but there are only {E}")
    return order // indices.shape[-1], order, counts


def sort_by_kernel(indices: Tensor, E: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """In two passes; None where no kernel can, or an expert is chosen that there is not."""
    kernels = load("passes_kernel")
    if kernels is None or not indices.is_cpu or indices.dtype is not torch.int64 or not indices.is_contiguous():
        return None
    order, token, counts = indices.new_empty(indices.numel()), indices.new_empty(indices.numel()), indices.new_empty(E)
    sizes = indices.numel(), E, indices.shape[-1]
    return (token, order, counts) if kernels.call(kernels.sort, sizes, indices, order, token, counts) else None


def with_bias(y: Tensor, b: Tensor | None, part: Part) -> Tensor:
    if b is None:
        return y
    b = b[part.experts]
    return y.add_(b if part.ends is None else b.repeat_interleave(part.of_each, 0))


def fire(activation: str, value: Tensor, gates: Tensor | None) -> Tensor:
    """The neurons, from what comes before their activation."""
    act = ACTIVATIONS[activation]
    return act(value) if gates is None else act(gates).mul_(value)


def fire_back(
    activation: str, value: Tensor, gates: Tensor | None, by_neurons: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The neurons once more, and the gradients by value and by gates."""
    act = ACTIVATIONS[activation]
    if gates is None:
        return act(value), slopes(activation, by_neurons, value), None
    acts = act(gates)
    return acts * value, acts.mul_(by_neurons), slopes(activation, by_neurons.mul_(value), gates)


def rooms_for(parts: list[Part], w_in: Tensor, n: int) -> list[Tensor]:
    """So many arrays for the neurons of the largest part: used again from part to part, they stay in the cache."""
    rows = max((part.rows.stop - part.rows.start for part in parts), default=0)
    return list(lending.empty(w_in, (n, rows, w_in.shape[1])).unbind())


def forward(
    tokens: Tensor, indices: Tensor, weights: Tensor, experts: Sequence[Tensor | None], activation: str, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """What the chosen experts say, times its weight, added up; and, if asked, how the choices were sorted,
    and of each part the neurons before their activation and what was said."""
    w_in, b_in, w_gate, b_gate, w_out, b_out = experts
    token, order, of_each = sort(indices, len(w_in))
    parts, scale = parts_of(of_each, w_in, w_out), weights.flatten()[order]
    kept, rooms = [token, order, of_each], (None, None) if keep else rooms_for(parts, w_in, 2)
    y = tokens.new_zeros(len(tokens), w_out.shape[-1])
    for part in parts:
        of_part, own, ends = token[part.rows], part.experts, part.ends
        x = tokens.index_select(0, of_part)
        value, gates = with_bias(product(x, w_in[own].mT, ends, rooms[0]), b_in, part), None
        if w_gate is not None:
            gates = with_bias(product(x, w_gate[own].mT, ends, rooms[1]), b_gate, part)
        said = with_bias(product(fire(activation, value, gates), w_out[own], ends), b_out, part)
        if keep:
            kept += [value, said] if gates is None else [value, gates, said]
        y.index_add_(0, of_part, said * scale[part.rows].unsqueeze(-1))
    return y, kept


def backward(
    tokens: Tensor,
    _: Tensor,  # what was sorted by them is kept
    weights: Tensor,
    by_y: Tensor,
    experts: Sequence[Tensor | None],
    activation: str,
    by_experts: Sequence[Tensor | None],
    by_tokens_too: bool,
    kept: list[Tensor],
) -> tuple[Tensor | None, Tensor]:
    """The gradients by tokens (T, d) and by weights (T, k); those by experts are written where ``by_experts`` are."""
    w_in, _, w_gate, _, w_out, _ = experts
    token, order, of_each, *kept = kept
    parts, scale = parts_of(of_each, w_in, w_out), weights.flatten()[order]
    by_w_in, by_b_in, by_w_gate, by_b_gate, by_w_out, by_b_out = by_experts
    by_tokens = torch.zeros_like(tokens) if by_tokens_too else None
    by_scale, kept, done = torch.empty_like(weights.flatten()), iter(kept), 0
    (room,) = rooms_for(parts, w_in, 1)
    for part in parts:
        for gradient in by_experts:
            if gradient is not None and done < part.experts.start:
                gradient[done : part.experts.start].zero_()
        done = part.experts.stop
        of_part, own, ends = token[part.rows], part.experts, part.ends
        x = tokens.index_select(0, of_part)
        value, gates, said = next(kept), None if w_gate is None else next(kept), next(kept)
        back = by_y.index_select(0, of_part)
        by_scale[order[part.rows]] = (said * back).sum(-1)
        back.mul_(scale[part.rows].unsqueeze(-1))
        by_neurons = product(back, w_out[own].mT, ends, room)
        neurons, by_value, by_gates = fire_back(activation, value, gates, by_neurons)
        give(by_w_out, neurons, back, part)
        give(by_w_in, by_value, x, part)
        give_bias(by_b_out, back, part)
        give_bias(by_b_in, by_value, part)
        if gates is not None:
            give(by_w_gate, by_gates, x, part)
            give_bias(by_b_gate, by_gates, part)
        if by_tokens_too:
            by_x = product(by_value, w_in[own], ends)
            if gates is not None:
                by_x += product(by_gates, w_gate[own], ends)
            by_tokens.index_add_(0, of_part, by_x)
    for gradient in by_experts:
        if gradient is not None and done < len(gradient):
            gradient[done:].zero_()
    return by_tokens, by_scale.view_as(weights)


def give(gradient: Tensor, left: Tensor, right: Tensor, part: Part) -> None:
    """The gradient of each expert's matrix: its rows of left, transposed, times its rows of right."""
    of_each = zip(gradient[part.experts].unbind(), left.mT.split(part.counts, 1), right.split(part.counts), strict=True)
    for own, columns, rows in of_each:
        if len(rows):
            torch.mm(columns, rows, out=own)
        else:
            own.zero_()


def give_bias(gradient: Tensor | None, rows: Tensor, part: Part) -> None:
    if gradient is not None:
        for own, of_own in zip(gradient[part.experts].unbind(), rows.split(part.counts), strict=True):
            torch.sum(of_own, 0, out=own)
