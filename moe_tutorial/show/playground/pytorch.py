"""Train a mixture of experts, or a fast feedforward tree, exactly as the playground does in its page.

The script draws the same random numbers and takes the same steps, so the losses agree with the page to six decimals.
It needs only PyTorch. Change the settings and run it again.

The run in the page: playground.html
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

settings = {
    "layer": "mixture",  # or "tree"
    "data": "regimes",  # or "spirals", "checkerboard", "clusters"
    "centred": True,  # whether to subtract the mean of the training points
    "seed": 0,
    "rate": 0.01,  # Adam's learning rate
    "batch": 128,  # points in each step
    # Of a mixture:
    "E": 8,  # experts
    "k": 1,  # experts chosen for each point
    "width": 8,  # neurons of each expert
    "gate": "softmax_topk",  # or "topk_softmax", "sigmoid_topk", "hash"
    "noise": 0,  # standard deviation of the noise on the logits
    "balance": "none",  # or "switch", "importance", "bias"
    "coefficient": 0.1,  # of the balance loss; with "bias", the step of the bias
    "out": [],  # experts that are knocked out
    # Of a tree:
    "depth": 3,
    "leaf_width": 4,  # neurons of each leaf
    "hardening": 0,  # coefficient of the hardening loss
    "node_balance": 0,  # coefficient of the node-balance loss
    # Of the run; changes during training are (step, setting, value):
    "steps": 600,
    "changes": [],
}

torch.set_default_dtype(torch.float64)  # as JavaScript computes
torch.set_num_threads(1)  # too little work to share among threads


class Random:
    """The page's random numbers (sfc32), in one stream for each purpose."""

    def __init__(self, stream):
        self.state = settings["seed"], 0, stream, 1
        self.uniform(12)  # discarded, so that similar seeds diverge

    def uniform(self, n):
        """n uniform numbers in [0, 1)."""
        a, b, c, d = self.state
        numbers = []
        for _ in range(n):
            t = (a + b + d) % 2**32
            a, b, c, d = b ^ (b >> 9), 9 * c % 2**32, ((c << 21 | c >> 11) + t) % 2**32, (d + 1) % 2**32
            numbers.append(t / 2**32)
        self.state = a, b, c, d
        return torch.tensor(numbers)

    def normal(self, n):
        """n standard normal numbers, two from two uniform ones (Box and Muller)."""
        u, v = self.uniform(n + n % 2).view(-1, 2).T
        r, angle = (-2 * (1 - u).log()).sqrt(), 2 * math.pi * v
        return torch.stack([r * angle.cos(), r * angle.sin()], dim=1).flatten()[:n]

    def parameter(self, *shape, fan_in):
        """A parameter that starts as in nn.Linear: uniform between -1 / sqrt(fan_in) and 1 / sqrt(fan_in)."""
        return nn.Parameter((2 * self.uniform(math.prod(shape)) - 1).view(shape) / math.sqrt(fan_in))


def regimes(u):
    """Four quadrants, each split by a line that turns by 45 degrees from one quadrant to the next."""
    x = 2 * u[:2].T - 1
    right, upper = (x > 0).long().T
    angle = math.pi * (0.25 * (2 * upper + (right ^ upper)) + 0.125)
    across, up = (x - torch.where(x > 0, 0.5, -0.5)).T
    return x, across * angle.cos() + up * angle.sin() > 0


def spirals(u):
    """Four arms of half a turn, in two alternating classes."""
    arm, r = (4 * u[0]).floor(), 0.1 + 0.85 * u[1]
    angle = math.pi * (arm / 2 + u[1]) + 0.5 * (u[2] - 0.5)
    return torch.stack([r * angle.cos(), r * angle.sin()], dim=1), arm % 2


def checkerboard(u):
    """Four by four squares."""
    return 2 * u[:2].T - 1, (4 * u[:2]).floor().sum(0) % 2


def clusters(u):
    """Six clusters, the largest ten times the smallest; a line splits each between two of three classes."""
    cluster = (u[0] >= torch.tensor([[0.4], [0.65], [0.8], [0.9], [0.96]])).sum(0)
    place, turn = math.pi / 3 * cluster, 0.7 + 2.4 * cluster
    r, angle = 0.26 * u[1].sqrt(), 2 * math.pi * u[2]
    dx, dy = r * angle.cos(), r * angle.sin()
    x = torch.stack([0.72 * place.cos() + dx, 0.72 * place.sin() + dy], dim=1)
    return x, (cluster + (dx * turn.cos() + dy * turn.sin() > 0)) % 3


# Each function turns uniform random numbers (3, N) into points (N, 2) and their classes (N,).
DATA_SETS = {"regimes": regimes, "spirals": spirals, "checkerboard": checkerboard, "clusters": clusters}


def points():
    """512 training points with their classes, and 1,024 held-out points with theirs."""
    random = Random(stream=1)
    data_set = DATA_SETS[settings["data"]]
    x, y = data_set(random.uniform(3 * 512).view(512, 3).T)
    x_test, y_test = data_set(random.uniform(3 * 1024).view(1024, 3).T)
    move = -x.mean(0)
    if not settings["centred"]:
        move = move + torch.tensor([2, 1.5])  # far from the origin, a router without bias separates points badly
    return x + move, y.long(), x_test + move, y_test.long()


x, y, x_test, y_test = points()


class Experts(nn.Module):
    """E small networks with one hidden layer of ReLU: a mixture's experts, or a tree's leaves."""

    def __init__(self, random, E, width):
        super().__init__()
        classes = int(y.max()) + 1
        self.w_in = random.parameter(E, width, 2, fan_in=2)
        self.b_in = random.parameter(E, width, fan_in=2)
        self.w_out = random.parameter(E, width, classes, fan_in=width)
        self.b_out = random.parameter(E, classes, fan_in=width)

    def forward(self, x, weights):
        """The scores of the classes (T, C): those of all networks, each times its weight (T, E), summed up."""
        hidden = (torch.einsum("td,ehd->teh", x, self.w_in) + self.b_in).relu()
        scores = torch.einsum("teh,ehc->tec", hidden, self.w_out) + self.b_out
        return torch.einsum("te,tec->tc", weights, scores)


class Mixture(nn.Module):
    """A mixture of experts: a router chooses k of E experts for each point."""

    def __init__(self):
        super().__init__()
        random = Random(stream=2)
        self.weight = random.parameter(settings["E"], 2, fan_in=2)  # of the router
        self.experts = Experts(random, settings["E"], settings["width"])
        self.direction = random.normal(2)  # of the hash
        self.bias = torch.zeros(settings["E"])  # on the choice; stays zero unless balance is "bias"
        self.noise = Random(stream=4)

    def alive(self):
        """Mask of the experts that are not knocked out (E,)."""
        return torch.tensor([e not in settings["out"] for e in range(settings["E"])])

    def router(self, x):
        """The logits of the experts (T, E), minus infinity for those that are knocked out."""
        if settings["gate"] == "hash":
            # A hash of the point, which is not learned, gives the first expert; the next ones follow it.
            first = (x * (10000 * self.direction) + 0.5).floor().sum(1, keepdim=True)
            logits = -((torch.arange(settings["E"]) - first) % settings["E"])
        else:
            logits = x @ self.weight.T
        return logits.where(self.alive(), -torch.inf)

    def with_noise(self, logits):
        """The logits with noise, in training; a hash ignores the noise that is drawn."""
        if not self.training or settings["noise"] == 0:
            return logits
        noise = self.noise.normal(logits.numel()).view(logits.shape)
        return logits if settings["gate"] == "hash" else logits + settings["noise"] * noise

    def probabilities(self, logits):
        """The probability of each expert (T, E); sigmoids do not sum to 1."""
        return logits.sigmoid() if settings["gate"] == "sigmoid_topk" else logits.softmax(-1)

    def choose(self, logits):
        """The chosen experts, best first (T, k), and the weight of every expert, 0 if it is not chosen (T, E)."""
        k = min(settings["k"], int(self.alive().sum()))
        gate = settings["gate"]
        scores = self.probabilities(logits) if gate in ("softmax_topk", "sigmoid_topk") else logits
        ranking = logits  # probabilities have the same order
        if settings["balance"] == "bias" and gate != "hash":
            ranking = (scores + self.bias).where(self.alive(), -torch.inf)
        chosen = ranking.argsort(dim=1, descending=True, stable=True)[:, :k]  # ties go to the first

        weights = scores.gather(1, chosen)
        if gate == "topk_softmax":
            weights = weights.softmax(1)
        if gate == "hash":
            weights = torch.full(chosen.shape, 1 / k)
        return chosen, torch.zeros(logits.shape).scatter(1, chosen, weights)

    def balance_loss(self, logits, shares, weights):
        """The balance loss times its coefficient, from logits without noise (T, E), shares (E,) and weights (T, E)."""
        alive = self.alive()
        loss = torch.zeros(())
        if settings["balance"] == "switch":
            # E times the sum over the experts of their share of the choices, a constant, times their mean probability.
            probs = self.probabilities(logits)
            mean = (probs / probs.sum(1, keepdim=True)).mean(0)
            loss = alive.sum() * (shares * mean).sum()
        if settings["balance"] == "importance":
            # The squared coefficient of variation of the importance, which is the sum of an expert's weights.
            importance = weights.sum(0)[alive]
            loss = (importance / importance.mean() - 1).square().mean()
        return settings["coefficient"] * loss

    def forward(self, x):
        """x (T, 2) -> scores of the classes (T, C), each expert's share of the choices (E,), the balance loss."""
        logits = self.router(x)
        chosen, weights = self.choose(self.with_noise(logits))
        shares = chosen.flatten().bincount(minlength=settings["E"]) / chosen.numel()
        if self.training and settings["balance"] == "bias":
            # An expert with fewer choices than its fair share moves up in the ranking, one with more moves down.
            alive = self.alive()
            self.bias += settings["coefficient"] * (1 / alive.sum() - shares).sign() * alive
        return self.experts(x, weights), shares, self.balance_loss(logits, shares, weights)


class Tree(nn.Module):
    """A fast feedforward tree: decisions lead each point to a leaf. The children of node n are 2n + 1 and 2n + 2."""

    def __init__(self):
        super().__init__()
        random = Random(stream=5)
        self.leaves = 2 ** settings["depth"]
        self.node_weight = random.parameter(self.leaves - 1, 2, fan_in=2)
        self.node_bias = random.parameter(self.leaves - 1, fan_in=2)
        self.experts = Experts(random, self.leaves, settings["leaf_width"])

    def decide(self, x):
        """The logit of each node's decision (T, nodes); at least 0 means right."""
        return x @ self.node_weight.T + self.node_bias

    def descend(self, logits):
        """The part of each point that reaches each node and each leaf by soft decisions (T, nodes + leaves)."""
        arriving = [torch.ones(len(logits), 1)]
        for level in range(settings["depth"]):
            right = logits[:, 2**level - 1 : 2 ** (level + 1) - 1].sigmoid()
            arriving.append(torch.stack([arriving[-1] * (1 - right), arriving[-1] * right], dim=-1).flatten(1))
        return torch.cat(arriving, dim=1)

    def follow(self, logits):
        """The leaf that each point reaches by hard decisions (T,)."""
        node = torch.zeros(len(logits), 1, dtype=torch.long)
        for _ in range(settings["depth"]):
            node = 2 * node + 1 + (logits.gather(1, node) >= 0)
        return node.squeeze(1) - (self.leaves - 1)

    def hard(self, x):
        """The scores of the classes with one leaf for each point (T, C)."""
        return self.experts(x, F.one_hot(self.follow(self.decide(x)), self.leaves).double())

    def decision_losses(self, logits, arriving):
        """The hardening loss and the node-balance loss, times their coefficients."""
        # The mean entropy of the decisions: a decision's cross-entropy with itself.
        hardening = F.binary_cross_entropy_with_logits(logits, logits.sigmoid())
        # The mean square of each node's (right - left) / (right + left), the loads of its two children.
        load = arriving.mean(0)
        left, right = load[1::2], load[2::2]
        balance = ((right - left) / (left + right).clamp_min(1e-6)).square().mean()
        return settings["hardening"] * hardening + settings["node_balance"] * balance

    def forward(self, x):
        """x (T, 2) -> scores of the classes (T, C), each leaf's share by hard decisions (leaves,), the losses."""
        logits = self.decide(x)
        arriving = self.descend(logits)
        shares = self.follow(logits).bincount(minlength=self.leaves) / len(x)
        return self.experts(x, arriving[:, -self.leaves :]), shares, self.decision_losses(logits, arriving)


def accuracy(scores):
    """The share of the held-out points whose class has the highest score."""
    return (scores.argmax(1) == y_test).double().mean().item()


@torch.no_grad()
def report():
    """Print and return the loss on the training points, the accuracy on the held-out points, and the shares."""
    model.eval()
    scores, shares, _ = model(x)
    loss = F.cross_entropy(scores, y).item()
    accuracies = [accuracy(model(x_test)[0])]
    print(f"step {len(losses)}: loss {loss:.4f}, held-out accuracy {accuracies[0]:.4f}", end="")
    if is_tree:
        accuracies.append(accuracy(model.hard(x_test)))
        print(f", with one leaf for each point {accuracies[1]:.4f}", end="")
    print(", shares of the", "leaves" if is_tree else "experts", *(f"{share:.4f}" for share in shares))
    model.train()
    return loss, accuracies, shares


def train(steps):
    """Train for this many steps, with one batch each."""
    for _ in range(steps):
        if len(losses) % 100 == 0:
            report()
        rows = (batches.uniform(settings["batch"]) * len(x)).long()
        scores, _, penalty = model(x[rows])
        loss = F.cross_entropy(scores, y[rows])
        optimizer.zero_grad(set_to_none=False)
        (loss + penalty).backward()
        optimizer.step()
        losses.append(loss.item())


is_tree = settings["layer"] == "tree"
model = Tree() if is_tree else Mixture()
batches = Random(stream=6 if is_tree else 3)
optimizer = torch.optim.Adam(model.parameters(), lr=settings["rate"])
losses = []  # of each step's batch, without the penalty
for parameter in model.parameters():
    parameter.grad = torch.zeros_like(parameter)  # not None: Adam also updates a router while a hash replaces it

for step, name, value in settings["changes"]:
    train(step - len(losses))
    settings[name] = value
    if name == "rate":
        optimizer.param_groups[0]["lr"] = value
    if name == "balance" and value != "bias":
        model.bias.zero_()
train(settings["steps"] - len(losses))
loss, accuracies, shares = report()
