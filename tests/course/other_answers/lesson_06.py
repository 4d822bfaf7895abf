"""Answers to lesson 06's exercises: what a learner may write."""

import copy

import torch
from answers import right, wrong


@right("06.others_move")
def by_the_matrix(x, others, dL_dz, eta):
    step = -eta * dL_dz[:, None] * x  # how the rows move
    return others @ step.T


@right("06.others_move")
def one_by_one(x, others, dL_dz, eta):
    return torch.stack([torch.stack([-eta * g * torch.dot(other, x) for g in dL_dz]) for other in others])


@right("06.others_move")
def by_einsum(x, others, dL_dz, eta):
    return torch.einsum("nd,d,e->ne", others, x, dL_dz).mul(-eta)


def best(logits, k):
    values, chosen = logits.topk(k)
    return chosen, values.softmax(-1)


@right("06.noisy_topk")
def noisy(logits, std, k, training):
    return best(logits + std * torch.randn_like(logits) * training, k)


@right("06.noisy_topk")
def by_sorting(logits, std, k, training):
    noise = std * torch.normal(0.0, 1.0, logits.shape) if training else 0
    ranked = (logits + noise).sort(dim=1, descending=True)
    weights = ranked.values[:, :k].exp()
    return ranked.indices[:, :k], weights / weights.sum(1, keepdim=True)


@right("06.noisy_topk")
def token_by_token_in_double(logits, std, k, training):
    chosen, weights = [], []
    for row, width in zip(logits, torch.as_tensor(std).expand_as(logits), strict=True):
        row = row.double() + (torch.distributions.Normal(0.0, 1.0).sample(row.shape) * width if training else 0)
        chosen.append(row.argsort(descending=True)[:k])
        weights.append(row[chosen[-1]].softmax(-1))
    return torch.stack(chosen), torch.stack(weights)


@wrong("06.noisy_topk", "same noise")
def with_a_seed(logits, std, k, training):
    torch.manual_seed(7)
    return noisy(logits, std, k, training)


@wrong("06.noisy_topk", "from the same draw")
def best_of_two_draws(logits, std, k, training):
    chosen, _ = noisy(logits, std, k, training)
    return chosen, noisy(logits, std, k, training)[1]


@right("06.wavers")
def asked_twice(moe, x):
    mode = moe.training
    moe.eval()
    first, second = moe(x)[0], moe(x)[0]
    moe.train(mode)
    return bool((first != second).any())


@right("06.wavers")
def on_a_copy(moe, x):
    still = copy.deepcopy(moe).eval()
    return not torch.allclose(still(x)[0], still(x)[0], rtol=0, atol=0)


@right("06.wavers")
def asked_five_times(moe, x):
    mode = moe.training
    answers = torch.stack([moe.train(False)(x)[0] for _ in range(5)])
    moe.train(mode)
    return answers.std(0).max() > 0


@wrong("06.wavers", "in another mode than before")
def left_in_evaluation(moe, x):
    moe.eval()
    return not torch.equal(moe(x)[0], moe(x)[0])
