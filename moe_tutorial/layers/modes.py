"""Evaluation for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``with evaluating(model):`` its modules are in evaluation, and afterwards in the model's own mode again."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
