"""My mixture of experts: what I wrote in the course, and below it what joins it. It needs PyTorch alone.

`python my_moe.py` trains it on points of the plane. `moe-tutorial my-moe` collects it anew, and keeps what stood here
before in the folder `old`.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

# %%
# What joins them, from the course


class MyMoE(nn.Module):
    """A router's matrix and its experts, joined by `route` and `my_mixture`."""

    def __init__(self, d_model, d_hidden, n_experts, top_k, d_out):
        super().__init__()
        self.top_k = top_k
        self.router = nn.Parameter(torch.randn(n_experts, d_model) / d_model**0.5)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(d_model, d_hidden), nn.ReLU(), nn.Linear(d_hidden, d_out)) for _ in range(n_experts)
        )

    def forward(self, x):
        """x (T, d_model) -> y (T, d_out), and what the router says: chosen and weights, both (T, top_k)."""
        chosen, weights = route(x, self.router, self.top_k)
        return my_mixture(x, chosen, weights, list(self.experts)), (chosen, weights)


def train(moe, x, y, steps=500, batch=64, lr=0.02):
    """Teach it the classes y (N,) of the inputs x (N, d_model), by `training_step` on random batches."""
    optimizer = torch.optim.Adam(moe.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,))
        training_step(moe, optimizer, x[rows], y[rows])


# %%
# What balances them, from the course


class BalancedMoE(MyMoE):
    """A mixture whose choice has a bias; or, while it trains, noise by `noisy_topk`: then take a top_k of 2 or more."""

    def __init__(self, d_model, d_hidden, n_experts, top_k, d_out, noise=0.0):
        super().__init__(d_model, d_hidden, n_experts, top_k, d_out)
        self.noise = noise
        self.register_buffer("bias", torch.zeros(n_experts))

    def forward(self, x):
        """As in `MyMoE`. The bias changes the choice alone."""
        logits = x @ self.router.T
        if self.noise:
            chosen, weights = noisy_topk(logits, self.noise, self.top_k, self.training)
        else:
            probs = logits.softmax(-1)
            chosen = (probs + self.bias).topk(self.top_k).indices
            weights = probs.gather(-1, chosen)
        return my_mixture(x, chosen, weights, list(self.experts)), (chosen, weights)


def train_balanced(moe, x, y, penalty=0.0, rate=0.0, steps=500, batch=64, lr=0.02):
    """As `train`, with `penalty` times `switch_loss` in the loss, and a bias that moves by `rate` after each step."""
    optimizer = torch.optim.Adam(moe.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,))
        scores, (chosen, _) = moe(x[rows])
        probs = (x[rows] @ moe.router.T).softmax(-1)
        loss = F.cross_entropy(scores, y[rows]) + penalty * switch_loss(probs, chosen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        moe.bias = bias_update(moe.bias, chosen, rate)


# %%
# What grows from one network, from the course


def upcycled(dense, n_experts, top_k):
    """A `MyMoE` with a new router, whose experts `upcycle` makes from a dense network of two layers."""
    first, last = dense[0], dense[-1]
    moe = MyMoE(first.in_features, first.out_features, n_experts, top_k, last.out_features)
    moe.experts = upcycle(dense, n_experts)
    return moe


# %%
# What shows it, from the course


def plane(n):
    """Points of a square (n, 2) and their classes (n,), divided by another straight line in each quarter."""
    x = 2 * torch.rand(n, 2) - 1
    angle = math.pi / 4 * ((x[:, 0] > 0) + 2 * (x[:, 1] > 0))
    across, up = (x - x.sign() / 2).T
    return x, (across * angle.cos() + up * angle.sin() > 0).long()


if __name__ == "__main__":
    torch.set_num_threads(1)  # small models are fastest on one thread
    torch.manual_seed(0)
    moe = MyMoE(d_model=2, d_hidden=8, n_experts=4, top_k=1, d_out=2)
    train(moe, *plane(1000))
    x, y = plane(1000)
    scores, (chosen, _) = moe(x)
    print(f"{(scores.argmax(-1) == y).double().mean():.0%} of new points are right")
    print("points of each expert:", chosen.flatten().bincount(minlength=4).tolist())
