"""What is there for speed alone: the router's choice, the mixture's sparse way, and the tree's two descents.

``routing.py``, ``mixture.py`` and ``tree.py`` are whole without this folder: whatever is asked here has a plain way
there, and tests hold the two equal.
"""

from collections.abc import Callable

import torch

from . import groups
from . import operations as operations  # for torch.compile: importing it registers them
from .dispatch import descend, soften
from .mixing import mix
from .picking import pick

__all__ = ["compile_kernels", "descend", "mix", "on_compile", "pick", "soften"]

on_compile: Callable[[float], None] | None = None
"""Who wants to know that a kernel was compiled, and how many seconds that took: a first call waits for it."""


def compile_kernels() -> None:
    """Compile the kernels of the mixture and of the tree for one thread, so that no later process waits for them."""
    from ..mixture import MixtureOfExperts
    from ..tree import FastFeedForward

    torch.set_num_threads(1)
    x = torch.zeros(4, 2)
    for tokens in (x, torch.zeros(100, 2)):  # few for an expert, and many
        MixtureOfExperts(2, 2, 1, 1)(tokens)[0].sum().backward()
    groups.sort(torch.zeros(1, 1, dtype=torch.int64), 1)  # with more threads it is asked
    tree = FastFeedForward(2, 2, 1, 2)
    tree(x)[0].sum().backward()
    tree.eval()(x)
