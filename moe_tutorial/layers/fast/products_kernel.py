"""A soft tree's two matrix products by our own loops, where they are quicker than BLAS (``blas.own_loops``)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active as are_transforms_active
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from .blas import own_loops
from .blocks import ROWS, add
from .kernels import addresses, kernel, run
from .mixture_kernel import NEAR, biases, read, write
from .slices_kernel import floats, give_fours

SECOND = 2**16  # numbers of a matrix at a time that all tokens ask for: they stay in the second cache


@kernel()
def times_turned(n, d, m, x, w, b, y):
    """y (n, m) = x (n, d) times w (m, d) transposed, and b (m,) added where it is there."""
    x, w, y = floats(x, n, d), floats(w, m, d), floats(y, n, m)
    near, second = max(ROWS, NEAR // d // ROWS * ROWS), max(ROWS, SECOND // d // ROWS * ROWS)
    fours = n - n % ROWS
    for j in range(0, m, second):
        part, to = w[j : j + second], y[:, j : j + second]
        for r in range(0, fours, near):
            read(x[r : r + near], part, min(near, fours - r), to[r : r + near])
        for r in range(fours, n):
            read(x[r : r + 1], part, 1, to[r : r + 1])
    if b:
        biases(floats(b, 1, m)[0], n, y)


@kernel()
def times_added(n, d, m, x, w, y):
    """x (n, d) times w (d, m), added to y (n, m)."""
    x, w, y = floats(x, n, d), floats(w, d, m), floats(y, n, m)
    fours = n - n % ROWS
    write(x, w, fours, y)
    for r in range(fours, n):
        write(x[r : r + 1], w, 1, y[r : r + 1])


@kernel()
def turned_times(n, d, m, x, w, y):
    """y (d, m) = x (n, d) transposed times w (n, m)."""
    x, w, y = floats(x, n, d), floats(w, n, m), floats(y, d, m)
    fours = n - n % ROWS
    give_fours(x[:fours], w[:fours], y, False)
    for i in range(d):
        for r in range(fours, n):
            add(y[i], x[r, i], w[r])


def can(tensors: Sequence[Tensor]) -> bool:
    """Whether these are tensors for the loops, which use one thread, and nobody watches the operations."""
    return (
        own_loops()
        and torch.get_num_threads() == 1
        and not are_transforms_active()
        and not is_in_torch_dispatch_mode()
        and all(t.dtype is torch.float32 and t.is_cpu and t.is_contiguous() for t in tensors)
    )


def turned(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    y = x.new_empty(len(x), len(w))
    run(times_turned, 1, *x.shape, len(w), *addresses((x, w, b, y)))
    return y


def added(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    run(times_added, 1, *x.shape, w.shape[1], *addresses((x, w, y)))
    return y


def gradient(x: Tensor, by: Tensor) -> Tensor:
    """By a matrix, from its rows' inputs and the gradients by its rows' outputs."""
    y = x.new_empty(x.shape[1], by.shape[1])
    run(turned_times, 1, *x.shape, by.shape[1], *addresses((x, by, y)))
    return y


class Linear(torch.autograd.Function):
    """``F.linear``: x (n, d), w (m, d), b (m,) -> (n, m)."""

    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return turned(x, w, b)

    @staticmethod
    def backward(ctx, by: Tensor):
        x, w = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient of a gradient is asked for
            return by @ w, by.mT @ x, by.sum(0)
        by = by.contiguous()
        by_x = added(by, w, torch.zeros_like(x)) if ctx.needs_input_grad[0] else None
        return by_x, gradient(by, x), by.sum(0)


class TwoProducts(torch.autograd.Function):
    """a u + b v: (n, i), (i, m), (n, j), (j, m) -> (n, m)."""

    @staticmethod
    def forward(ctx, a: Tensor, u: Tensor, b: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(a, u, b, v)
        return added(b, v, added(a, u, a.new_zeros(len(a), u.shape[1])))

    @staticmethod
    def backward(ctx, by: Tensor):
        a, u, b, v = ctx.saved_tensors
        if torch.is_grad_enabled():
            return by @ u.mT, a.mT @ by, by @ v.mT, b.mT @ by
        by = by.contiguous()
        return turned(by, u), gradient(a, by), turned(by, v), gradient(b, by)
