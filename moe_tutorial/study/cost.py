"""What a model costs: the numbers it keeps, and the multiplications it does.

Two words recur in every paper on experts. **Total** parameters are all that have to be stored. **Active** parameters
are those that one token meets on its way, and they set how much arithmetic it needs.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(model: nn.Module) -> int:
    """How many parameters the model holds: the total."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiplications(model: Callable[[Tensor], Any], x: Tensor) -> int:
    """How many multiplications the matrix products of ``model(x)`` do, counted while they run.

    PyTorch's own counter watches each matrix product and reports floating-point operations; half of them are
    multiplications, the other half additions. Activations, softmax and sorting are not counted.

    Args:
        model: a module, or any function of x.
        x: its input, (..., d). The count is for the whole batch.
    """
    with FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops() // 2
