"""The ground floor: the layers that the course teaches, in plain PyTorch. No data, no plots, no notebooks."""

from .balance import (
    BiasBalancer,
    ExpertChoiceRouter,
    HashRouter,
    importance,
    importance_loss,
    load_estimate,
    load_loss,
    switch_loss,
    z_loss,
)
from .experts import Experts
from .gpt import GPT, GPTConfig
from .interop import from_transformers
from .mixture import MixtureOfExperts
from .routing import Router, Routing

__all__ = [
    "GPT",
    "BiasBalancer",
    "ExpertChoiceRouter",
    "Experts",
    "GPTConfig",
    "HashRouter",
    "MixtureOfExperts",
    "Router",
    "Routing",
    "from_transformers",
    "importance",
    "importance_loss",
    "load_estimate",
    "load_loss",
    "switch_loss",
    "z_loss",
]
