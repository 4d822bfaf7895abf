"""`make test` looks at some pages in some looks, `make nightly` at all in all."""

from collections.abc import Collection, Iterable

import pytest


def sampled(values: Iterable, kept: Collection) -> list:
    """Parameters of which only those that are ``kept`` are for `make test`, and all for the nightly tests."""
    marked = []
    for value in values:
        arguments = value if isinstance(value, tuple) else (value,)
        marked.append(pytest.param(*arguments, marks=() if value in kept else pytest.mark.nightly))
    return marked


def every(n: int, values: Iterable) -> list:
    """Each n-th of these is for `make test`, all are for the nightly tests."""
    values = list(values)
    return sampled(values, kept=values[::n])


LOOKS = [(width, theme) for width in (1280, 360) for theme in ("light", "dark")]
TWO_LOOKS = [(1280, "dark"), (360, "light")]  # each width and each theme once
