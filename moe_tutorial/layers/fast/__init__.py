"""Compiled kernels, for speed alone: a mixture's sparse dispatch, and a tree's hard and soft descent.

``mixture.py`` and ``tree.py`` compute the same in plain PyTorch, and tests hold the two equal. The functions here do
not know the layers: they take float32 tensors on the CPU, and int64 indices.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch._C import _are_functorch_transforms_active as are_transforms_active
from torch.compiler import is_compiling
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

__all__ = ["CannotServe", "compile_kernels", "descend", "mix", "serves", "soften"]

HAS_NUMBA = find_spec("numba") is not None


def serves(under_vmap: bool = False) -> bool:
    """Whether kernels can be called now: not inside ``torch.compile``, a transform of ``torch.func``, or a
    ``TorchDispatchMode`` such as ``FlopCounterMode``. They check their tensors themselves (``CannotServe``).

    ``soften`` can be called inside ``torch.vmap``, too: pass ``under_vmap=True`` for it.
    """
    return (
        HAS_NUMBA
        and not (is_compiling() or is_in_torch_dispatch_mode())
        and (under_vmap or not are_transforms_active())
    )


def __getattr__(name: str) -> Any:
    """Import what needs numba at its first use, as that takes a second."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    found = globals()[name] = getattr(import_module(f".{LAZY[name]}", __name__), name)
    return found


LAZY = {"CannotServe": "arrays", "mix": "mixing", "descend": "descent", "soften": "softening"}


def compile_kernels() -> None:
    """Compile the kernels, so that no later process waits for them."""
    x, w, b = torch.zeros(4, 2), torch.zeros(2, 2, 2), torch.zeros(2, 2)
    chosen, ones = torch.zeros(4, 1, dtype=torch.int64), torch.ones(4, 1)
    with torch.no_grad():
        __getattr__("mix")(x, chosen, ones, w, b, None, None, w, b, "relu")
        __getattr__("descend")(x, (torch.zeros(1, 2), torch.zeros(1), w, b, w, b), "relu")
    w.requires_grad_()
    __getattr__("mix")(x, chosen, ones, w, b, None, None, w, b, "relu").sum().backward()
    __getattr__("soften")(x, torch.zeros(4, 1), w, b, w, b, "relu")[0].sum().backward()
