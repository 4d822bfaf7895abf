"""How it is measured: data, training of many seeds at once, usage, cost and claims."""

from moe_tutorial.study.claims import ClaimFailed, claim, estimate
from moe_tutorial.study.cost import multiplications, parameters
from moe_tutorial.study.data import Dataset, digits, digits4, regimes_2d
from moe_tutorial.study.training import Seeds, TrainingDiverged, seeds, train
from moe_tutorial.study.usage import cv2, dead, entropy, max_share, share, specialisation

__all__ = [
    "ClaimFailed",
    "Dataset",
    "Seeds",
    "TrainingDiverged",
    "claim",
    "cv2",
    "dead",
    "digits",
    "digits4",
    "entropy",
    "estimate",
    "max_share",
    "multiplications",
    "parameters",
    "regimes_2d",
    "seeds",
    "share",
    "specialisation",
    "train",
]
