"""Answers to lesson 01's exercises: what a learner may write."""

import torch
from answers import right, wrong
from torch import nn

from moe_tutorial.study import train


@right("01.contribution")
def neuron_by_neuron(x, w_in, b_in, w_out):
    columns = [(x @ w_in[j] + b_in[j]).clamp(min=0) * w_out[:, j].norm() for j in range(len(w_in))]
    return torch.stack(columns, dim=1)


@right("01.contribution")
def by_linear(x, w_in, b_in, w_out):
    hidden = nn.functional.linear(x, w_in, b_in)
    return torch.where(hidden > 0, hidden, 0.0) * w_out.square().sum(0).sqrt()


@right("01.contribution")
def by_einsum_in_double(x, w_in, b_in, w_out):
    hidden = torch.einsum("nd,hd->nh", x, w_in).double() + b_in
    return torch.maximum(hidden, torch.zeros(1)) * torch.linalg.vector_norm(w_out, dim=0)


@wrong("01.contribution", "cancel")
def neurons_written_one_by_one(x, w_in, b_in, w_out):
    return torch.stack([(x @ w_in[j] + b_in[j]).relu() * sum(row[j] for row in w_out) for j in range(len(w_in))], 1)


@right("01.keep_top")
def by_ranks(contribution, n):
    return (contribution.argsort(descending=True).argsort() < n).float()


@right("01.keep_top")
def digit_by_digit(contribution, n):
    kept = torch.zeros(contribution.shape)
    for row, own in zip(kept, contribution, strict=True):
        row[own.argsort(descending=True)[:n]] = 1
    return kept


@right("01.keep_top")
def by_one_hot(contribution, n):
    return nn.functional.one_hot(contribution.topk(n).indices, contribution.shape[1]).sum(1)


def network(width, *last, bias=True):
    return nn.Sequential(nn.Linear(64, width, bias), nn.ReLU(), nn.Linear(width, 10, bias), *last)


@right("01.train_small")
def with_a_slope_and_fast(data, width, seeds, steps):
    def build():
        return nn.Sequential(nn.Linear(64, width), nn.PReLU(), nn.Linear(width, 10))

    return train(build, data, seeds, steps=steps, learning_rate=1e-1)


@right("01.train_small")
def without_biases(data, width, seeds, steps):
    return train(lambda: network(width, bias=False), data, seeds, steps=steps)


@right("01.train_small")
def with_a_class(data, width, seeds, steps):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(width, int(data.y_train.max()) + 1, bias=False)
            self.hidden = nn.Linear(data.x_train.shape[1], width)

        def forward(self, x):
            return self.out(nn.functional.gelu(self.hidden(x)))

    return train(Small, data, seeds, steps=steps)


@wrong("01.train_small", "It learned the test data")
def on_the_test_data(data, width, seeds, steps):
    swapped = data._replace(x_train=data.x_test, y_train=data.y_test)
    return train(lambda: network(width), swapped, seeds, steps=steps)


@wrong("01.train_small", "make a new one each time")
def one_network_for_all_seeds(data, width, seeds, steps):
    one = network(width)
    return train(lambda: one, data, seeds, steps=steps)
