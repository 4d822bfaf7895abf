"""Answers to lesson 08's exercises in other styles."""

import math

import torch
import torch.nn.functional as F
from answers import right, wrong

from moe_tutorial.layers import switch_loss as penalty


@right("08.block")
def by_halves(x, norms, attend, moe):
    half = attend(norms[0](x)) + x
    answers = moe(norms[1](half))
    return half.add(answers[0]), answers[1]


@right("08.block")
def in_place_of_a_sum(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    y, routing = moe(norms[-1](x))
    x += y
    return x, routing


@right("08.lm_loss")
def by_logits(model, tokens, c):
    logits, _, records = model(tokens[:, :-1])
    loss = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:])
    for routing in records:
        loss = loss + c * penalty(routing)
    return loss


@right("08.lm_loss")
def by_hand(model, tokens, c):
    _, loss, records = model(tokens[..., :-1], tokens[..., 1:])
    for r in records:
        f = F.one_hot(r.indices, r.probs.shape[-1]).float().mean((0, 1))
        loss = loss + c * len(f) * (f * r.probs.mean(0)).sum()
    return loss


def other_text(model, tokens, t):
    return torch.cat([tokens[:, :t], (tokens[:, t:] + 1) % model.config.vocab_size], dim=1)


@wrong("08.peeks", "Does your second text differ")
def rolled(model, tokens, t):
    other = tokens.clone()
    other[:, t:] = other[:, t:].roll(1, 1)
    return not torch.allclose(model(other)[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)


@right("08.peeks")
def by_clone(model, tokens, t):
    new = tokens.clone()
    new[:, t:] = (new[:, t:] + 2) % model.config.vocab_size
    return bool((model(new)[0] - model(tokens)[0])[:, :t].abs().max() > 1e-4)


@right("08.peeks")
def cut_off(model, tokens, t):
    return not torch.allclose(model(tokens[:, :t])[0], model(tokens)[0][:, :t], atol=1e-5)


def entropy(numbers):
    return torch.special.entr(numbers.bincount() / len(numbers)).sum() / math.log(2)


@right("08.block")
def flattened(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    y, routing = moe(norms[1](x).flatten(0, 1))
    return x + y.view_as(x), routing


@right("08.lm_loss")
def one_loss_after_another(model, tokens, c):
    read, targets = tokens[:, :-1], tokens[:, 1:]
    logits, _, records = model(read)
    chances = logits.log_softmax(-1).gather(-1, targets[..., None])
    return -chances.mean() + c * torch.stack([penalty(routing) for routing in records]).sum()


@right("08.peeks")
def by_slopes(model, tokens, t):
    others = [(tokens[:, t:] + i) % model.config.vocab_size for i in (1, 2)]
    one, two = (model(torch.cat([tokens[:, :t], other], 1))[0][0, :t] for other in others)
    return any((a - b).abs().max().item() > 1e-4 for a, b in zip(one, two, strict=True))
