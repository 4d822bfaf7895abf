"""Argument checks of the layers: an error names the argument, its value and what is allowed.

All checks look at types, shapes and dtypes, never at the numbers in a tensor, so they also work under ``torch.vmap``.
"""

import math
from collections.abc import Iterable
from numbers import Integral, Real

import torch
from torch import Tensor

CASTS = {torch.float32: "float()", torch.float64: "double()", torch.bfloat16: "bfloat16()", torch.float16: "half()"}


def check_count(name: str, value: object, low: int = 1, high: int | None = None, high_name: str = "") -> int:
    """``value`` as an int from ``low`` to ``high`` (both allowed); TypeError or ValueError otherwise."""
    upper = "" if high is None else f" to {high_name + ' = ' if high_name else ''}{high}"
    allowed = f"an integer from {low}{upper}" if upper else f"an integer of at least {low}"
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return int(value)


def check_number(name: str, value: object, low: float = 0.0, allowed: str = "a finite number of at least 0") -> float:
    """``value`` as a finite float of at least ``low``; TypeError or ValueError otherwise."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    if not math.isfinite(value) or value < low:
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return float(value)


def check_positive(name: str, value: object) -> float:
    """``value`` as a finite float above 0; TypeError or ValueError otherwise."""
    return check_number(name, value, low=math.ulp(0.0), allowed="a finite number above 0")


def check_choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """``value`` if it is one of ``allowed``; ValueError otherwise."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def as_tokens(x: object, d_model: int) -> Tensor:
    """``x`` (..., d_model) as tokens (T, d_model); TypeError if it is not a floating-point tensor,
    ValueError if its last dimension is not ``d_model``.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a floating-point tensor of shape (..., {d_model}), got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"x must be a floating-point tensor, got dtype {x.dtype}")
    shape = x.shape
    if not shape or shape[-1] != d_model:
        raise ValueError(f"x must have shape (..., d_model = {d_model}), got {tuple(shape)}")
    return x if len(shape) == 2 else x.reshape(-1, d_model)


def as_precise_tokens(x: object, d_model: int) -> Tensor:
    """``as_tokens`` in float32 or a wider dtype: in bfloat16, close logits tie."""
    tokens = as_tokens(x, d_model)
    return tokens if tokens.dtype is torch.float32 else tokens.to(torch.promote_types(tokens.dtype, torch.float32))


def autocasts(x: Tensor) -> bool:
    """Whether autocast is enabled for the device of ``x``."""
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def check_dtype(x: Tensor, weight: Tensor) -> None:
    """Raise TypeError if ``x`` and a layer's weights differ in dtype.

    Autocast casts both, so under it they may differ, unless one is float64, which autocast does not cast.
    """
    given, own = x.dtype, weight.dtype
    if given is own or (torch.float64 not in (given, own) and autocasts(x)):
        return
    of_x, of_layer = (CASTS.get(dtype, f"to({dtype})") for dtype in (own, given))
    given, own = (str(dtype).removeprefix("torch.") for dtype in (given, own))
    raise TypeError(f"x is {given} and the layer's weights are {own}: call x.{of_x}, or layer.{of_layer}")
