"""What is there for speed alone: the mixture's sparse way, and the tree's two descents.

``mixture.py`` and ``tree.py`` are whole without this folder: whatever is asked here has a plain way there, and tests
hold the two equal.
"""

from collections.abc import Callable

from . import operations as operations  # for torch.compile: importing it registers them
from .dispatch import descend, soften
from .mixing import mix

__all__ = ["descend", "mix", "on_compile", "soften"]

on_compile: Callable[[float], None] | None = None
"""Who wants to know that a kernel was compiled, and how many seconds that took: a first call waits for it."""
