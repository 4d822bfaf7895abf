# <layer=mixture>
# A mixture of experts, trained as the page trains it: from the same random numbers, in the same steps.
# </layer=mixture>
# <layer=tree>
# A fast feedforward tree, trained as the page trains it: from the same random numbers, in the same steps.
# </layer=tree>
# It needs only PyTorch, and contains only what this run uses. The run in the page:
# LINK
import math

import torch
import torch.nn.functional as F
from torch import nn

# <run>
# This is a template, not a module: pytorch.js writes a run here, and removes the sections that the run does not use.
settings = {"layer": "mixture", "data": "regimes", "seed": 0}
CHANGES = [(600, "balance", "switch")]
STEPS = 1200
# </run>

torch.set_default_dtype(torch.float64)  # as JavaScript computes
torch.set_num_threads(1)  # too little work to share among threads


class Random:
    """The page's random numbers (sfc32): a seed, and a stream for each purpose."""

    def __init__(self, seed, stream):
        self.state = seed, 0, stream, 1
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

    # <gate=hash or noise>
    def normal(self, n):
        """n standard normal numbers, two from two uniform ones (Box and Muller)."""
        u, v = self.uniform(n + n % 2).view(-1, 2).T
        r, angle = (-2 * (1 - u).log()).sqrt(), 2 * math.pi * v
        return torch.stack([r * angle.cos(), r * angle.sin()], dim=1).flatten()[:n]

    # </gate=hash or noise>


points = Random(settings["seed"], 1)


def draw(n):
    """n points of the plane (n, 2) and their classes (n,)."""
    u = points.uniform(3 * n).view(n, 3).T
    # <data=regimes>
    if settings["data"] == "regimes":
        # Four quadrants, each split by a line, which turns by 45 degrees from one quadrant to the next.
        x = 2 * u[:2].T - 1
        right, upper = (x > 0).long().T
        angle = math.pi * (0.25 * (2 * upper + (right ^ upper)) + 0.125)
        across, up = (x - torch.where(x > 0, 0.5, -0.5)).T
        y = across * angle.cos() + up * angle.sin() > 0
    # </data=regimes>
    # <data=spirals>
    if settings["data"] == "spirals":
        # Four arms of half a turn, in two alternating classes.
        arm, r = (4 * u[0]).floor(), 0.1 + 0.85 * u[1]
        angle = math.pi * (arm / 2 + u[1]) + 0.5 * (u[2] - 0.5)
        x = torch.stack([r * angle.cos(), r * angle.sin()], dim=1)
        y = arm % 2
    # </data=spirals>
    # <data=checkerboard>
    if settings["data"] == "checkerboard":
        # Four by four squares.
        x = 2 * u[:2].T - 1
        y = (4 * u[:2]).floor().sum(0) % 2
    # </data=checkerboard>
    # <data=clusters>
    if settings["data"] == "clusters":
        # Six clusters, the largest ten times the smallest; a line splits each between two of three classes.
        cluster = (u[0] >= torch.tensor([[0.4], [0.65], [0.8], [0.9], [0.96]])).sum(0)
        place, turn = math.pi / 3 * cluster, 0.7 + 2.4 * cluster
        r, angle = 0.26 * u[1].sqrt(), 2 * math.pi * u[2]
        dx, dy = r * angle.cos(), r * angle.sin()
        x = torch.stack([0.72 * place.cos() + dx, 0.72 * place.sin() + dy], dim=1)
        y = (cluster + (dx * turn.cos() + dy * turn.sin() > 0)) % 3
    # </data=clusters>
    return x, y.long()


(x, y), (x_test, y_test) = draw(512), draw(1024)
move = -x.mean(0)  # the training points' mean goes to the origin
# <centred=false>
if not settings["centred"]:
    move = move + torch.tensor([2, 1.5])  # and then away from it
# </centred=false>
x, x_test = x + move, x_test + move


def parameter(*shape, inputs):
    """A parameter that starts as in nn.Linear: uniform between -1 / sqrt(inputs) and 1 / sqrt(inputs)."""
    return nn.Parameter((2 * start.uniform(math.prod(shape)) - 1).view(shape) / math.sqrt(inputs))


# <layer=mixture>
if settings["layer"] == "mixture":
    start, batches = Random(settings["seed"], 2), Random(settings["seed"], 3)
    E, H, C = settings["E"], settings["width"], int(y.max()) + 1  # experts, neurons of each, classes
    weight = parameter(E, 2, inputs=2)  # the router
    w_in, b_in = parameter(E, H, 2, inputs=2), parameter(E, H, inputs=2)  # the experts
    w_out, b_out = parameter(E, H, C, inputs=H), parameter(E, C, inputs=H)
    parameters = [weight, w_in, b_in, w_out, b_out]
    # <gate=hash>
    direction = start.normal(2)  # of the hash
    # </gate=hash>
    # <balance=bias>
    bias = torch.zeros(E)  # on the choice
    # </balance=bias>
    # <noise>
    draws = Random(settings["seed"], 4)
    # </noise>
# </layer=mixture>
# <layer=tree>
if settings["layer"] == "tree":
    start, batches = Random(settings["seed"], 5), Random(settings["seed"], 6)
    E, H, C = 2 ** settings["depth"], settings["leaf_width"], int(y.max()) + 1  # leaves, neurons of each, classes
    node_weight, node_bias = parameter(E - 1, 2, inputs=2), parameter(E - 1, inputs=2)  # the decisions
    w_in, b_in = parameter(E, H, 2, inputs=2), parameter(E, H, inputs=2)  # the leaves
    w_out, b_out = parameter(E, H, C, inputs=H), parameter(E, C, inputs=H)
    parameters = [node_weight, node_bias, w_in, b_in, w_out, b_out]
# </layer=tree>
optimizer = torch.optim.Adam(parameters, lr=settings["rate"])


def mix(x, weights):
    """Scores of the classes (T, C): the answers of E networks with a hidden layer, each times its weight (T, E)."""
    hidden = torch.einsum("td,ehd->teh", x, w_in).add(b_in).relu()
    answers = torch.einsum("teh,ehc->tec", hidden, w_out) + b_out
    return torch.einsum("te,tec->tc", weights, answers)


# <layer=mixture>
# <out>
def alive():
    """The experts that are not knocked out."""
    return [e for e in range(E) if e not in settings["out"]]


# </out>
def router(x):
    """The logit of each expert for each point (T, E)."""
    # <gate=softmax_topk,topk_softmax,sigmoid_topk>
    if settings["gate"] != "hash":
        logits = x @ weight.T
    # </gate=softmax_topk,topk_softmax,sigmoid_topk>
    # <gate=hash>
    if settings["gate"] == "hash":
        # A hash of the point, which learns nothing, picks the first expert; the next by number follow.
        first = (x * (10000 * direction) + 0.5).floor().sum(1, keepdim=True)
        logits = -((torch.arange(E) - first) % E)
    # </gate=hash>
    # <out>
    logits[:, settings["out"]] = -torch.inf  # never chosen, and of probability 0
    # </out>
    return logits


def choose(logits):
    """The top-k: the k experts that each point goes to, best first (T, k)."""
    # <no out>
    k = settings["k"]
    # </no out>
    # <out>
    k = min(settings["k"], len(alive()))
    # </out>
    # <balance=bias>
    if settings["balance"] == "bias":
        # <gate=softmax_topk>
        if settings["gate"] == "softmax_topk":
            ranking = logits.softmax(-1) + bias
        # </gate=softmax_topk>
        # <gate=topk_softmax>
        if settings["gate"] == "topk_softmax":
            ranking = logits + bias
        # </gate=topk_softmax>
        # <gate=sigmoid_topk>
        if settings["gate"] == "sigmoid_topk":
            ranking = logits.sigmoid() + bias
        # </gate=sigmoid_topk>
        # <gate=hash>
        if settings["gate"] == "hash":
            ranking = logits.clone()
        # </gate=hash>
        # <out>
        ranking[:, settings["out"]] = -torch.inf
        # </out>
        return ranking.argsort(dim=1, descending=True, stable=True)[:, :k]  # ties go to the first
    # </balance=bias>
    # <balance=none,switch,importance>
    return logits.topk(k).indices
    # </balance=none,switch,importance>


def gate(logits, chosen):
    """The weight of each expert's answer (T, E): 0 if it is not chosen."""
    # <gate=softmax_topk>
    if settings["gate"] == "softmax_topk":
        weights = logits.softmax(-1).gather(1, chosen)  # softmax, then top-k: they sum to at most 1
    # </gate=softmax_topk>
    # <gate=topk_softmax>
    if settings["gate"] == "topk_softmax":
        weights = logits.gather(1, chosen).softmax(-1)  # top-k, then softmax: they sum to 1
    # </gate=topk_softmax>
    # <gate=sigmoid_topk>
    if settings["gate"] == "sigmoid_topk":
        weights = logits.gather(1, chosen).sigmoid()  # independent of the other experts
    # </gate=sigmoid_topk>
    # <gate=hash>
    if settings["gate"] == "hash":
        weights = torch.full(chosen.shape, 1 / chosen.shape[1])  # all the same
    # </gate=hash>
    return torch.zeros(logits.shape).scatter(1, chosen, weights)


def load(chosen):
    """How often each expert was chosen (E,)."""
    return chosen.flatten().bincount(minlength=E)


# <balance=switch>
def switch_loss(logits, chosen):
    """E times the sum over the experts of the share of the choices (a constant) times the mean probability."""
    # <gate=softmax_topk,topk_softmax,hash>
    probs = logits.softmax(-1)
    # </gate=softmax_topk,topk_softmax,hash>
    # <gate=sigmoid_topk>
    if settings["gate"] == "sigmoid_topk":
        probs = logits.sigmoid() / logits.sigmoid().sum(-1, keepdim=True)
    # </gate=sigmoid_topk>
    # <no out>
    return E * (load(chosen) / chosen.numel() * probs.mean(0)).sum()
    # </no out>
    # <out>
    return len(alive()) * (load(chosen) / chosen.numel() * probs.mean(0)).sum()
    # </out>


# </balance=switch>
# <balance=importance>
def importance_loss(weights):
    """The squared coefficient of variation of the experts' importance, which is the sum of their weights."""
    importance = weights.sum(0)
    # <out>
    importance = importance[alive()]
    # </out>
    return (importance / importance.mean() - 1).square().mean()


# </balance=importance>
# </layer=mixture>
# <layer=tree>
def decide(x):
    """The logit of each node's decision for each point (T, nodes): right where it is 0 or more."""
    return x @ node_weight.T + node_bias


def descend(logits):
    """The part of each point that reaches each node and each leaf by soft decisions (T, nodes + leaves).

    Node n has the children 2n + 1 (left) and 2n + 2 (right).
    """
    arriving = [torch.ones(len(logits), 1)]
    for level in range(settings["depth"]):
        right = logits[:, 2**level - 1 : 2 ** (level + 1) - 1].sigmoid()
        arriving.append(torch.stack([arriving[-1] * (1 - right), arriving[-1] * right], dim=-1).flatten(1))
    return torch.cat(arriving, dim=1)


def follow(logits):
    """The leaf that each point reaches by hard decisions (T,)."""
    node = torch.zeros(len(logits), 1, dtype=torch.long)
    for _ in range(settings["depth"]):
        node = 2 * node + 1 + (logits.gather(1, node) >= 0)
    return node.squeeze(1) - (E - 1)


# <hardening>
def hardening_loss(logits):
    """The mean entropy of the decisions: a decision's cross-entropy with itself."""
    return F.binary_cross_entropy_with_logits(logits, logits.sigmoid())


# </hardening>
# <node_balance>
def node_balance_loss(arriving):
    """The mean square of each node's (right - left) / (right + left), the loads of its two children."""
    load = arriving.mean(0)
    left, right = load[1::2], load[2::2]  # of each node
    return ((right - left) / (left + right).clamp_min(1e-6)).square().mean()


# </node_balance>
# </layer=tree>
@torch.no_grad()
def report():
    """Shares and loss on the training points, and accuracy on points that were held out."""
    # <layer=mixture>
    if settings["layer"] == "mixture":
        logits, logits_test = router(x), router(x_test)
        chosen, chosen_test = choose(logits), choose(logits_test)
        shares = load(chosen) / chosen.numel()
        loss = F.cross_entropy(mix(x, gate(logits, chosen)), y)
        right = mix(x_test, gate(logits_test, chosen_test)).argmax(1) == y_test
        accuracy = right.double().mean()
        print(f"step {len(losses)}: loss {loss:.4f}, held-out accuracy {accuracy:.4f}, shares of the experts", end=" ")
    # </layer=mixture>
    # <layer=tree>
    if settings["layer"] == "tree":
        logits, logits_test = decide(x), decide(x_test)
        shares = follow(logits).bincount(minlength=E) / len(x)
        loss = F.cross_entropy(mix(x, descend(logits)[:, -E:]), y)
        soft = mix(x_test, descend(logits_test)[:, -E:])  # all leaves mixed
        hard = mix(x_test, F.one_hot(follow(logits_test), E).double())  # one leaf for each point
        accuracy = torch.stack([(scores.argmax(1) == y_test).double().mean() for scores in (soft, hard)])
        print(f"step {len(losses)}: loss {loss:.4f}, held-out accuracy {accuracy[0]:.4f} soft, ", end="")
        print(f"{accuracy[1]:.4f} hard, shares of the leaves", end=" ")
    # </layer=tree>
    print(*(f"{share:.4f}" for share in shares))
    return shares, accuracy, loss


losses = []  # the loss of each step's batch


def train(steps):
    """Train for this many steps, with one batch each."""
    for _ in range(steps):
        if len(losses) % 100 == 0:
            report()
        rows = (batches.uniform(settings["batch"]) * len(x)).long()
        # <layer=mixture>
        if settings["layer"] == "mixture":
            logits = router(x[rows])
            # <balance=switch>
            # <noise>
            clean = logits  # the Switch loss uses logits without noise
            # </noise>
            # </balance=switch>
            # <noise>
            if settings["noise"] > 0:
                noise = draws.normal(logits.numel()).view(logits.shape)
                # <gate=hash>
                noise = noise * (settings["gate"] != "hash")  # drawn, but not added to a hash
                # </gate=hash>
                logits = logits + settings["noise"] * noise
            # </noise>
            chosen = choose(logits)
            weights = gate(logits, chosen)
            loss = task = F.cross_entropy(mix(x[rows], weights), y[rows])
            # <balance=switch>
            if settings["balance"] == "switch":
                # <noise>
                loss = loss + settings["coefficient"] * switch_loss(clean, chosen)
                # </noise>
                # <no noise>
                loss = loss + settings["coefficient"] * switch_loss(logits, chosen)
                # </no noise>
            # </balance=switch>
            # <balance=importance>
            if settings["balance"] == "importance":
                loss = loss + settings["coefficient"] * importance_loss(weights)
            # </balance=importance>
        # </layer=mixture>
        # <layer=tree>
        if settings["layer"] == "tree":
            logits = decide(x[rows])
            arriving = descend(logits)
            loss = task = F.cross_entropy(mix(x[rows], arriving[:, -E:]), y[rows])
            # <hardening>
            if settings["hardening"] > 0:
                loss = loss + settings["hardening"] * hardening_loss(logits)
            # </hardening>
            # <node_balance>
            if settings["node_balance"] > 0:
                loss = loss + settings["node_balance"] * node_balance_loss(arriving)
            # </node_balance>
        # </layer=tree>
        optimizer.zero_grad()
        # <gate=hash>
        # <gate=softmax_topk,topk_softmax,sigmoid_topk>
        weight.grad = torch.zeros_like(weight)  # the hash gives no gradient, but Adam still counts its steps
        # </gate=softmax_topk,topk_softmax,sigmoid_topk>
        # </gate=hash>
        loss.backward()
        optimizer.step()
        # <balance=bias>
        if settings["balance"] == "bias":
            # An expert with too few choices moves up in the ranking, one with too many moves down.
            # <no out>
            bias.add_(settings["coefficient"] * (chosen.numel() / E - load(chosen)).sign())
            # </no out>
            # <out>
            there = alive()
            bias[there] += settings["coefficient"] * (chosen.numel() / len(there) - load(chosen)[there]).sign()
            # </out>
        # </balance=bias>
        losses.append(task.item())


# <changes>
for at, name, value in CHANGES:
    train(at - len(losses))
    settings[name] = value
    # <rate changes>
    optimizer.param_groups[0]["lr"] = settings["rate"]
    # </rate changes>
    # <balance=bias>
    # <balance=none,switch,importance>
    if settings["balance"] != "bias":
        bias.zero_()
    # </balance=none,switch,importance>
    # </balance=bias>
# </changes>
train(STEPS - len(losses))
shares, accuracy, loss = report()
