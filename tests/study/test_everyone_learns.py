"""Each expert learns by its own loss, the router by the mixture's."""

import torch
import torch.nn.functional as F

from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.study import digits
from moe_tutorial.study.everyone_learns import EveryoneLearns, with_labels


def test_it_answers_as_the_mixture_and_its_losses_are_those_of_each_expert():
    torch.manual_seed(0)
    data, moe = digits("raw"), MixtureOfExperts(64, 8, 4, 2, d_out=10)
    x, y = with_labels(data).x_train[:32], data.y_train[:32]
    scores, routing = EveryoneLearns(moe)(x)
    assert torch.allclose(scores, moe(data.x_train[:32])[0], atol=1e-6)
    answers = moe.experts(data.x_train[:32])
    for expert in range(4):
        own = F.cross_entropy(answers[:, expert], y, reduction="none")
        assert torch.allclose(routing.logits[:, expert], own, atol=1e-6)


def test_the_mixtures_loss_reaches_the_router_and_their_own_every_expert():
    torch.manual_seed(0)
    data, moe = digits("raw"), MixtureOfExperts(64, 8, 4, 1, d_out=10)
    scores, routing = EveryoneLearns(moe)(with_labels(data).x_train[:32])
    F.cross_entropy(scores, data.y_train[:32]).backward(retain_graph=True)
    assert moe.router.weight.grad.abs().sum() > 0
    assert moe.experts.w_in.grad is None
    routing.logits.mean(0).sum().backward()
    assert (moe.experts.w_in.grad.abs().amax((1, 2)) > 0).all()
