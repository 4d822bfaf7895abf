"""Measurements: data, training of many seeds at once, usage, cost and claims."""

from moe_tutorial.study.claims import ClaimFailed, claim
from moe_tutorial.study.data import (
    CHARACTER_CLASSES,
    CHARACTERS,
    Dataset,
    Texts,
    character_class,
    decode,
    digits,
    digits4,
    encode,
    put_aside,
    regimes_2d,
    texts,
)
from moe_tutorial.study.environment import seeds
from moe_tutorial.study.estimates import estimate
from moe_tutorial.study.language import loss_by_domain, missed, route_text, train_gpt, windows
from moe_tutorial.study.rules import above, below, between, exactly, in_every_seed, in_the_median
from moe_tutorial.study.scores import score
from moe_tutorial.study.systems.cost import (
    bytes_per_token,
    count_parameters,
    distinct_experts,
    multiplications,
    multiplications_per_token,
    parameters,
    parts,
    published,
)
from moe_tutorial.study.training import Seeds, TrainingDiverged, progress, train
from moe_tutorial.study.usage import cv2, dead, entropy, max_share, share, specialisation, strength

__all__ = [
    "CHARACTERS",
    "CHARACTER_CLASSES",
    "ClaimFailed",
    "Dataset",
    "Seeds",
    "Texts",
    "TrainingDiverged",
    "above",
    "below",
    "between",
    "bytes_per_token",
    "character_class",
    "claim",
    "count_parameters",
    "cv2",
    "dead",
    "decode",
    "digits",
    "digits4",
    "distinct_experts",
    "encode",
    "entropy",
    "estimate",
    "exactly",
    "in_every_seed",
    "in_the_median",
    "loss_by_domain",
    "max_share",
    "missed",
    "multiplications",
    "multiplications_per_token",
    "parameters",
    "parts",
    "progress",
    "published",
    "put_aside",
    "regimes_2d",
    "route_text",
    "score",
    "seeds",
    "share",
    "specialisation",
    "strength",
    "texts",
    "train",
    "train_gpt",
    "windows",
]
