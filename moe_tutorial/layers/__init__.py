"""The ground floor: the layers that the course teaches, in plain PyTorch. No data, no plots, no notebooks."""

from .experts import Experts
from .interop import from_transformers
from .mixture import MixtureOfExperts
from .routing import Router, Routing

__all__ = ["Experts", "MixtureOfExperts", "Router", "Routing", "from_transformers"]
