"""Answers to lesson 01's exercises: what a learner may write."""

import torch
from answers import right, wrong
from torch import nn

from moe_tutorial.study import train

# ── contribution ──


@wrong("01.contribution", "norm of the output weights is missing")
def norm_forgotten(x, w_in, b_in, w_out):
    return torch.relu(x @ w_in.T + b_in)


@wrong("01.contribution", "wrong axis")
def wrong_axis(x, w_in, b_in, w_out):
    return torch.relu(x @ w_in.T + b_in) * w_out.norm(dim=1)


@wrong("01.contribution", "The relu is missing")
def relu_forgotten(x, w_in, b_in, w_out):
    return (x @ w_in.T + b_in) * w_out.norm(dim=0)


@wrong("01.contribution", "before the relu")
def size_before_the_relu(x, w_in, b_in, w_out):
    return (x @ w_in.T + b_in).abs() * w_out.norm(dim=0)


@wrong("01.contribution", "bias b_in is missing")
def bias_forgotten(x, w_in, b_in, w_out):
    return (x @ w_in.T).relu() * w_out.norm(dim=0)


@wrong("01.contribution", "sums of squares")
def squared(x, w_in, b_in, w_out):
    return (x @ w_in.T + b_in).relu() * (w_out**2).sum(0)


@wrong("01.contribution", "cancel")
def summed(x, w_in, b_in, w_out):
    return (x @ w_in.T + b_in).relu() * w_out.sum(0)


@wrong("01.contribution", "turn it, w_in.T")
def not_turned(x, w_in, b_in, w_out):
    return (x @ w_in + b_in).relu() * w_out.norm(dim=0)


@wrong("01.contribution", "comes before the relu")
def bias_after_the_relu(x, w_in, b_in, w_out):
    return ((x @ w_in.T).relu() + b_in) * w_out.norm(dim=0)


@wrong("01.contribution", "one norm for all")
def norm_of_the_matrix(x, w_in, b_in, w_out):
    return (x @ w_in.T + b_in).relu() * w_out.norm()


@wrong("01.contribution", "sum of sizes")
def sizes_added(x, w_in, b_in, w_out):
    return (x @ w_in.T + b_in).relu() * w_out.norm(1, dim=0)


@right("01.contribution")
def neuron_by_neuron(x, w_in, b_in, w_out):
    columns = [(x @ w_in[j] + b_in[j]).clamp(min=0) * w_out[:, j].norm() for j in range(len(w_in))]
    return torch.stack(columns, dim=1)


@right("01.contribution")
def by_linear(x, w_in, b_in, w_out):
    hidden = nn.functional.linear(x, w_in, b_in)
    return torch.where(hidden > 0, hidden, 0.0) * w_out.square().sum(0).sqrt()


# ── keep_top ──


@wrong("01.keep_top", "goes over the batch")
def over_the_batch(contribution, n):
    return torch.zeros_like(contribution).scatter(0, contribution.topk(n, dim=0).indices, 1.0)


@wrong("01.keep_top", "numbers of the neurons")
def indices(contribution, n):
    return contribution.topk(n).indices


@wrong("01.keep_top", "n largest contributions")
def values(contribution, n):
    return contribution.topk(n).values


@wrong("01.keep_top", "keep the contributions themselves")
def masked(contribution, n):
    least = contribution.topk(n).values[:, -1:]
    return torch.where(contribution >= least, contribution, 0.0)


@wrong("01.keep_top", "contribute least")
def least(contribution, n):
    return torch.zeros_like(contribution).scatter(-1, contribution.topk(n, largest=False).indices, 1.0)


@wrong("01.keep_top", "changed places")
def dropped(contribution, n):
    return torch.ones_like(contribution).scatter(-1, contribution.topk(n).indices, 0.0)


@wrong("01.keep_top", "the best on average")
def same_for_all(contribution, n):
    average = contribution.mean(0, keepdim=True)
    return torch.zeros_like(average).scatter(-1, average.topk(n).indices, 1.0).expand_as(contribution)


@wrong("01.keep_top", "is of dtype torch.bool; torch.float32 is expected")
def mask(contribution, n):
    return contribution >= contribution.sort(descending=True).values[:, n - 1 : n]


@wrong("01.keep_top", "does not give each neuron's rank")
def places_for_ranks(contribution, n):
    return (contribution.argsort(descending=True) < n).float()


@wrong("01.keep_top", "contribute least")
def mask_of_the_least(contribution, n):
    return contribution <= contribution.sort().values[:, n - 1 : n]


@wrong("01.keep_top", "one too few")
def above_the_last(contribution, n):
    return (contribution > contribution.topk(n).values[:, -1:]).float()


@wrong("01.keep_top", "one too many")
def ranks_to_n(contribution, n):
    return (contribution.argsort(descending=True).argsort() <= n).float()


@wrong("01.keep_top", "leaves the old one")
def scatter_lost(contribution, n):
    kept = torch.zeros_like(contribution)
    kept.scatter(-1, contribution.topk(n).indices, 1.0)
    return kept


@wrong("01.keep_top", "keep their contribution")
def scattered_into_the_contribution(contribution, n):
    return contribution.scatter(-1, contribution.topk(n).indices, 1.0)


@wrong("01.keep_top", "what any digit keeps")
def in_every_row(contribution, n):
    kept = torch.zeros_like(contribution)
    kept[:, contribution.topk(n).indices] = 1
    return kept


@wrong("01.keep_top", "You look for digits")
def rows_named(contribution, n):
    kept = torch.zeros_like(contribution)
    kept[contribution.topk(n).indices] = 1
    return kept


@wrong("01.keep_top", "You look for digits")
def scattered_along_the_digits(contribution, n):
    return torch.zeros_like(contribution).scatter(0, contribution.topk(n).indices, 1.0)


@wrong("01.keep_top", "neurons of the first")
def best_of_the_first(contribution, n):
    kept = torch.zeros_like(contribution)
    kept[:, contribution[0].topk(n).indices] = 1
    return kept


@right("01.keep_top")
def threshold(contribution, n):
    return mask(contribution, n).float()


@right("01.keep_top")
def digit_by_digit(contribution, n):
    kept = torch.zeros(contribution.shape)
    for row, own in zip(kept, contribution, strict=True):
        row[own.argsort(descending=True)[:n]] = 1
    return kept


# ── train_small ──


def network(n_neurons):
    return nn.Sequential(nn.Linear(64, n_neurons), nn.ReLU(), nn.Linear(n_neurons, 10))


@wrong("01.train_small", "the sizes are 64, 16 and 10; yours are [10, 64, 512]")
def width_ignored(data, n_neurons, seeds, steps):
    return train(lambda: network(512), data, seeds, steps=steps)  # the lesson's own build


@wrong("01.train_small", "steps; 100 were asked for")
def steps_ignored(data, n_neurons, seeds, steps):
    return train(lambda: network(n_neurons), data, seeds, steps=300)


@wrong("01.train_small", "It trains 1 networks for 2 seeds")
def one_seed(data, n_neurons, seeds, steps):
    return train(lambda: network(n_neurons), data, seeds[:1], steps=steps)


@wrong("01.train_small", "It learned the test data")
def on_the_test_data(data, n_neurons, seeds, steps):
    swapped = data._replace(x_train=data.x_test, y_train=data.y_test)
    return train(lambda: network(n_neurons), swapped, seeds, steps=steps)


@wrong("01.train_small", "It has not learned")
def hardly_trained(data, n_neurons, seeds, steps):
    return train(lambda: network(n_neurons), data, seeds, steps=steps, learning_rate=1e-9)


@wrong("01.train_small", "Your network is linear")
def linear(data, n_neurons, seeds, steps):
    return train(lambda: nn.Sequential(nn.Linear(64, n_neurons), nn.Linear(n_neurons, 10)), data, seeds, steps=steps)


@wrong("01.train_small", "It returns a Tensor")
def the_accuracy(data, n_neurons, seeds, steps):
    return with_gelu_and_sizes(data, n_neurons, seeds, steps).accuracy(data.x_test, data.y_test)


@wrong("01.train_small", "the sizes are 64, 16 and 10; yours are [16, 64]")
def one_layer(data, n_neurons, seeds, steps):
    return train(lambda: nn.Sequential(nn.Linear(64, n_neurons), nn.ReLU()), data, seeds, steps=steps)


@wrong("01.train_small", "a relu or a softmax behind the last layer")
def softmax_last(data, n_neurons, seeds, steps):
    return train(lambda: nn.Sequential(network(n_neurons), nn.Softmax(-1)), data, seeds, steps=steps)


@wrong("01.train_small", "a relu or a softmax behind the last layer")
def relu_last(data, n_neurons, seeds, steps):
    return train(lambda: nn.Sequential(network(n_neurons), nn.ReLU()), data, seeds, steps=steps)


@wrong("01.train_small", "as a new network does")
def one_network_for_all_seeds(data, n_neurons, seeds, steps):
    one = network(n_neurons)
    return train(lambda: one, data, seeds, steps=steps)


@wrong("01.train_small", "wants a function")
def build_called(data, n_neurons, seeds, steps):
    return train(network(n_neurons), data, seeds, steps=steps)


@wrong("01.train_small", "Your build() returns nothing")
def build_without_return(data, n_neurons, seeds, steps):
    def build():
        network(n_neurons)

    return train(build, data, seeds, steps=steps)


@wrong("01.train_small", "nn.ReLU is a class")
def relu_not_made(data, n_neurons, seeds, steps):
    def build():
        return nn.Sequential(nn.Linear(64, n_neurons), nn.ReLU, nn.Linear(n_neurons, 10))

    return train(build, data, seeds, steps=steps)


@right("01.train_small")
def with_a_slope(data, n_neurons, seeds, steps):
    return train(
        lambda: nn.Sequential(nn.Linear(64, n_neurons), nn.PReLU(), nn.Linear(n_neurons, 10)), data, seeds, steps=steps
    )


@right("01.train_small")
def such_as_the_one_at_the_top(data, n_neurons, seeds, steps):
    def build():
        return nn.Sequential(nn.Linear(64, n_neurons), nn.ReLU(), nn.Linear(n_neurons, 10))

    return train(build, data, seeds, steps=steps, learning_rate=1e-3)


@right("01.train_small")
def slowly(data, n_neurons, seeds, steps):
    return train(lambda: network(n_neurons), data, seeds, steps=steps, learning_rate=3e-4)


@right("01.train_small")
def fast(data, n_neurons, seeds, steps):
    return train(lambda: network(n_neurons), data, seeds, steps=steps, learning_rate=1e-1)


@right("01.train_small")
def with_gelu_and_sizes(data, n_neurons, seeds, steps):
    def build():
        n_inputs, n_classes = data.x_train.shape[1], int(data.y_train.max()) + 1
        return nn.Sequential(nn.Linear(n_inputs, n_neurons), nn.GELU(), nn.Linear(n_neurons, n_classes))

    return train(build, data, seeds, steps=steps, learning_rate=3e-2)


@right("01.train_small")
def with_a_class(data, n_neurons, seeds, steps):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(64, n_neurons)
            self.out = nn.Linear(n_neurons, 10, bias=False)

        def forward(self, x):
            return self.out(self.hidden(x).relu())

    return train(Small, data, seeds, steps=steps)
