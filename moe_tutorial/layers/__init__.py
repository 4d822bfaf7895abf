"""The ground floor: the layers that the course teaches, in plain PyTorch. No data, no plots, no notebooks."""

from .balance import (
    BiasBalancer,
    ExpertChoiceRouter,
    HashRouter,
    QuantileBalancer,
    importance,
    importance_loss,
    load_estimate,
    switch_loss,
)
from .experts import ClampedSwiGLU, Experts
from .gpt import GPT, GPTConfig
from .interop import from_transformers
from .mixture import MixtureOfExperts
from .path import PathLayer
from .routing import Router, Routing
from .tree import Descent, FastFeedForward, hardening_loss, hardening_ramp, node_balance_loss

__all__ = [
    "GPT",
    "BiasBalancer",
    "ClampedSwiGLU",
    "Descent",
    "ExpertChoiceRouter",
    "Experts",
    "FastFeedForward",
    "GPTConfig",
    "HashRouter",
    "MixtureOfExperts",
    "PathLayer",
    "QuantileBalancer",
    "Router",
    "Routing",
    "from_transformers",
    "hardening_loss",
    "hardening_ramp",
    "importance",
    "importance_loss",
    "load_estimate",
    "node_balance_loss",
    "switch_loss",
]
