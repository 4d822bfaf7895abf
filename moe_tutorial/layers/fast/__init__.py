"""What is there for speed alone: the tree's two descents, compiled for processors.

``tree.py`` is whole without this folder: whatever is asked here has a plain way there, which takes over where no kernel
fits, and a test holds the two equal.
"""

from collections.abc import Callable

from .dispatch import descend, soften

__all__ = ["descend", "on_compile", "soften"]

on_compile: Callable[[float], None] | None = None
"""Who wants to know that a kernel was compiled, and how many seconds that took: a first call waits for it."""
