"""`make test` looks at some pages in some looks, `make nightly` at all in all."""

from collections.abc import Collection, Iterable

import pytest


def sampled(values: Iterable, kept: Collection) -> list:
    """Parameters of which only those that are ``kept`` are for `make test`, and all for the nightly tests."""
    rows = [(value, value if isinstance(value, tuple) else (value,)) for value in values]
    return [pytest.param(*row, marks=() if value in kept else pytest.mark.nightly) for value, row in rows]
