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
