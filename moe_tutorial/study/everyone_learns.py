"""A control: a mixture in which every expert learns from every input, whether it is asked or not."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_tutorial.layers import MixtureOfExperts, Routing
from moe_tutorial.study.data import Dataset


class EveryoneLearns(nn.Module):
    """A mixture whose loss teaches its router alone; each expert has a loss of its own, that of its answer.

    ``x`` (T, d + classes) are inputs with their labels beside them, see `with_labels`. The second output is a routing
    with these losses, (T, E), in place of logits. The penalty to train with is their mean over the tokens, added up.
    """

    def __init__(self, moe: MixtureOfExperts):
        super().__init__()
        self.moe = moe

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        """Scores (T, classes), and the routing with the experts' losses."""
        d = self.moe.router.weight.shape[-1]
        inputs, label = x[:, :d], x[:, d:]
        routing = self.moe.router(inputs)
        answers = self.moe.experts(inputs)  # (T, E, classes)
        own = -(answers.log_softmax(-1) * label[:, None]).sum(-1)  # (T, E)
        weights = torch.zeros_like(routing.probs).scatter(-1, routing.indices, routing.weights)
        # The mixture's loss does not reach the experts.
        scores = (answers.detach() * weights[..., None]).sum(1)
        return scores, routing._replace(logits=own)


def with_labels(data: Dataset) -> Dataset:
    """The same data with each label beside its input, as one number a class of which one is 1: x (N, d + classes)."""
    classes = int(data.y_train.max()) + 1
    return data._replace(
        x_train=torch.cat([data.x_train, F.one_hot(data.y_train, classes)], -1),
        x_test=torch.cat([data.x_test, F.one_hot(data.y_test, classes)], -1),
    )
