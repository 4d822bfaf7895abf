"""My mixture of experts: what I wrote in the course, and below it what joins it. It needs PyTorch alone.

    python my_moe.py                      trains it on points of the plane
    python my_moe.py train FILE [STEPS]   trains a GPT with such mixtures on a text, and saves it in my_moe.pt;
                                          it goes on with the GPT that is there, if it was stopped or has more to learn
    python my_moe.py write "BEGINNING"    goes on writing, each character in the colour of the expert that reads it

`moe-tutorial my-moe` collects it anew, and keeps what stood here before in the folder `old`.
"""

import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

# %%
# What joins them, from the course


@dataclass
class Routing:
    """What a router says of T tokens: logits and probs (T, E), the chosen and their weights (T, k)."""

    logits: torch.Tensor
    probs: torch.Tensor
    indices: torch.Tensor
    weights: torch.Tensor

    def __iter__(self):
        return iter((self.indices, self.weights))  # chosen, weights = routing


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
        """x (..., d_model) -> y (..., d_out), and the `Routing` of all T tokens, in one row after the other."""
        tokens = x.flatten(0, -2)
        routing = self.choose(tokens)
        rows, said = [], []
        for i in routing.indices.unique().tolist():  # an expert reads the tokens that chose it, and no others
            mine, place = (routing.indices == i).nonzero(as_tuple=True)
            first, weights = torch.zeros_like(mine)[:, None], routing.weights[mine, place][:, None]
            said.append(my_mixture(tokens[mine], first, weights, [self.experts[i]]))
            rows.append(mine)
        said = torch.cat(said).to(x)
        y = said.new_zeros(len(tokens), said.shape[-1]).index_add(0, torch.cat(rows), said)
        return y.unflatten(0, x.shape[:-1]), routing

    def choose(self, x):
        """Tokens (T, d_model) -> `Routing`."""
        logits = x @ self.router.T
        return Routing(logits, logits.softmax(-1), *route(x, self.router, self.top_k))


def train(moe, x, y, steps=500, batch=64, lr=0.02):
    """Teach it the classes y (N,) of the inputs x (N, d_model), by `training_step` on random batches."""
    optimizer = torch.optim.Adam(moe.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,))
        training_step(moe, optimizer, x[rows], y[rows])


# %%
# What balances them, from the course


class BalancedMoE(MyMoE):
    """A mixture whose choice has a bias, and noise by `noisy_topk` while it trains: then take a top_k of 2 or more."""

    def __init__(self, d_model, d_hidden, n_experts, top_k, d_out, noise=0.0):
        super().__init__(d_model, d_hidden, n_experts, top_k, d_out)
        self.noise = noise
        self.register_buffer("bias", torch.zeros(n_experts))

    def choose(self, x):
        """As in `MyMoE`. The bias changes the choice alone."""
        logits = x @ self.router.T
        probs = logits.softmax(-1)
        if self.noise:
            chosen, weights = noisy_topk(logits + self.bias, self.noise, self.top_k, self.training)
            weights = F.normalize(weights / self.bias.exp()[chosen], p=1, dim=-1)  # as they are without the bias
        else:
            chosen = (probs + self.bias).topk(self.top_k).indices
            weights = probs.gather(-1, chosen)
        return Routing(logits, probs, chosen, weights)


def train_balanced(moe, x, y, penalty=0.0, rate=0.0, steps=500, batch=64, lr=0.02):
    """As `train`, with `penalty` times `switch_loss` in the loss, and a bias that moves by `rate` after each step.

    rate: or "quantile", which sets the bias by `quantile` after each step.
    """
    optimizer = torch.optim.Adam(moe.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,))
        scores, routing = moe(x[rows])
        loss = F.cross_entropy(scores, y[rows]) + penalty * switch_loss(routing.probs, routing.indices)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rate == "quantile":
            moe.bias = quantile(routing.probs.detach(), moe.bias, moe.top_k)
        else:
            moe.bias = bias_update(moe.bias, routing.indices, rate)


# %%
# What grows from one network, from the course


def upcycled(dense, n_experts, top_k):
    """A `MyMoE` with a new router, whose experts `upcycle` makes from a dense network of two layers."""
    first, last = dense[0], dense[-1]
    moe = MyMoE(first.in_features, first.out_features, n_experts, top_k, last.out_features)
    moe.experts = upcycle(dense, n_experts)
    return moe


# %%
# What loads a published block, from the course

SOFTMAX = ("mixtral", "olmoe", "qwen3_moe")  # models by their model_type: `published_block` computes their blocks
SIGMOID = ("deepseek_v3", "kimi_k2", "glm4_moe", "glm_moe_dsa", "minimax_m2")  # and `deepseek_block` these
NAMES = {r"\.w1\.": ".gate_proj.", r"\.w2\.": ".down_proj.", r"\.w3\.": ".up_proj.", "^e_score": "gate.e_score"}


def family_of(config):
    """The model_type of a config.json.

    Raises ValueError if neither `published_block` nor `deepseek_block` computes such a model's blocks.
    """
    if (family := config.get("model_type")) not in SOFTMAX + SIGMOID:
        raise ValueError(f"model_type must be one of {', '.join(SOFTMAX + SIGMOID)}, got {family!r}")
    return family


def one_block(weights, layer):
    """The weights of one block in float32. Mixtral's and MiniMax-M2's get the names that the other models have."""
    starts = [name[: -len("gate.weight")] for name in weights if f".{name}".endswith(".gate.weight")]
    starts.sort(key=lambda start: [int(number) for number in re.findall(r"\d+", start)])  # 2 before 10
    if layer >= len(starts):
        raise ValueError(f"layer must be below {len(starts)}, which is how many gate.weight there are, got {layer}")
    start = starts[layer]
    block = {name[len(start) :]: kept.float() for name, kept in weights.items() if name.startswith(start)}
    for old, new in NAMES.items():
        block = {re.sub(old, new, name): kept for name, kept in block.items()}
    for name in [name for name in block if name.endswith("_scale_inv")]:  # float8: one for 128 x 128 numbers
        scale = block.pop(name).repeat_interleave(128, 0).repeat_interleave(128, 1)
        matrix = block[name.removesuffix("_scale_inv")]
        block[name.removesuffix("_scale_inv")] = matrix * scale[: matrix.shape[0], : matrix.shape[1]]
    return block


def load_block(weights, config, layer=0):
    """A published block x (T, d_model) -> y (T, d_model), by `published_block` or `deepseek_block`.

    weights: name -> tensor, of a whole checkpoint or of one block. config: its config.json, as a dict.
    layer: which of the weights' blocks, from 0.

    Raises ValueError for a model_type or a layer that is not there, or weights with other names.
    """
    family = family_of({"model_type": "mixtral", **config})
    if family in ("mixtral", "minimax_m2"):  # their files do not say so
        config = {"norm_topk_prob": True, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0, **config}
    block = one_block(weights, layer)
    names = {"gate.weight"}
    experts = [f"experts.{e}" for e in range(len(block["gate.weight"]))]
    if family in SIGMOID:
        names.add("gate.e_score_correction_bias")
        experts += ["shared_experts"] * bool(config.get("n_shared_experts"))
    names |= {f"{expert}.{part}_proj.weight" for expert in experts for part in ("gate", "up", "down")}
    for what, wrong in ("lack", names - block.keys()), ("must not have", block.keys() - names):
        if wrong:
            raise ValueError(f"weights of {family} {what} {', '.join(sorted(wrong)[:3])}")
    return lambda x: (deepseek_block if family in SIGMOID else published_block)(x, block, config)


# %%
# What reads and writes, from the course

penalty_of = switch_loss


def switch_loss(routing, *chosen):
    """Lesson 07's takes probs and chosen. In `lm_loss`, lesson 08 hands it a whole `Routing`."""
    return penalty_of(routing, *chosen) if chosen else penalty_of(routing.probs, routing.indices)


class Attention(nn.Module):
    """Each position reads itself and those before it."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = self.query_key_value(x).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Two norms, attention and a `MyMoE`, joined by `block`."""

    def __init__(self, d_model, n_heads, d_hidden, n_experts, top_k):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(d_model), nn.LayerNorm(d_model)])
        self.attend = Attention(d_model, n_heads)
        self.moe = MyMoE(d_model, d_hidden, n_experts, top_k, d_model)

    def forward(self, x):
        norms = [lambda x, norm=norm: norm(x.clone()) for norm in self.norms]  # a copy: `x += y` spoils no gradient
        return block(x, norms, self.attend, self.moe)


class GPT(nn.Module):
    """It reads a text character by character, and scores the next."""

    def __init__(self, characters, context=64, n_blocks=2, d_model=64, n_heads=4, d_hidden=128, n_experts=8, top_k=1):
        super().__init__()
        self.config = SimpleNamespace(characters=characters, vocab_size=len(characters), context=context)
        self.token = nn.Embedding(len(characters), d_model)
        self.position = nn.Embedding(context, d_model)
        self.blocks = nn.ModuleList(Block(d_model, n_heads, d_hidden, n_experts, top_k) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, len(characters), bias=False)
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.1)

    def forward(self, tokens, targets=None):
        """tokens (B, T) -> scores (B, T, vocab_size), with targets the mean cross-entropy, each block's `Routing`."""
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        records = []
        for part in self.blocks:
            x, routing = part(x)
            records.append(routing)
        scores = self.head(self.norm(x))
        loss = None if targets is None else F.cross_entropy(scores.flatten(0, 1), targets.flatten())
        return scores, loss, records

    def encode(self, text):
        """A text -> its tokens (T,), the numbers of its characters."""
        return torch.tensor([self.config.characters.index(character) for character in text])

    @torch.no_grad()
    def write(self, text, n=300, temperature=0.7):
        """The text, and n characters more; the lower the temperature, the likelier they are."""
        for _ in range(n):
            scores, _, _ = self(self.encode(text[-self.config.context :])[None])
            text += self.config.characters[(scores[0, -1] / temperature).softmax(-1).multinomial(1)]
        return text

    @torch.no_grad()
    def readers(self, text):
        """The expert of the first block that reads each character of a text, a list."""
        pieces = self.encode(text).split(self.config.context)
        return [i for piece in pieces for i in self(piece[None])[2][0].indices[:, 0].tolist()]


def train_text(text, steps, c=0.01, batch=16, lr=3e-3, begun=None, keep=lambda checkpoint: None):
    """A `GPT` that learns a text, whose last tenth is held out. Its loss there is printed beside a table's.

    begun: a checkpoint that goes on; otherwise the GPT is new. keep: is called with a checkpoint, twenty times.
    """
    gpt = loaded(begun) if begun else GPT("".join(sorted(set(text))))
    n, T, tokens = gpt.config.vocab_size, gpt.config.context, gpt.encode(text)
    rest = min(len(tokens) // 10, 100 * T)
    learned, held_out = tokens[:-rest], tokens[-rest:].unfold(0, T + 1, T)
    ahead = sum(bool(peeks(gpt, held_out[:1, :T], t)) for t in range(1, T))
    print(f"{len(text):,} characters, {n} different; the GPT looks ahead at {ahead} of {T - 1} places")
    pieces = learned.unfold(0, T + 1, 1)
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=lr, weight_decay=1.0)  # or a short text is learned by heart
    if begun:
        optimizer.load_state_dict(optimizer.state_dict() | {"state": begun["moments"]})
    schedule = torch.optim.lr_scheduler.LambdaLR(  # up for a tenth of the steps, and then down
        optimizer, lambda step: min(10 * (step + 1) / steps, 1 - step / steps)
    )
    for step in range(1, steps + 1):
        loss = lm_loss(gpt, pieces[torch.randint(len(pieces), (batch,))], c)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if 20 * step % steps < 20:  # twenty times
            with torch.no_grad():
                loss = lm_loss(gpt, held_out, c=0.0)
            print(f"\r[{20 * step // steps * '#':20}] step {step} of {steps}, held out {loss:.2f}", end="", flush=True)
            moments = optimizer.state_dict()["state"]
            keep({"characters": gpt.config.characters, "weights": gpt.state_dict(), "moments": moments})
    pairs = (n * learned[:-1] + learned[1:]).bincount(minlength=n * n).view(n, n) + 1  # one more of each
    table = -(pairs / pairs.sum(1, keepdim=True)).log()[held_out[:, :-1], held_out[:, 1:]].mean()
    print(f"\nloss on the last tenth, in nats a character: {loss:.2f}; of a table of pairs: {table:.2f}")
    read, chosen = held_out[:, :-1].flatten(), gpt(held_out[:, :-1])[2][0].indices[:, 0]
    for expert in chosen.unique().tolist():
        times = read[chosen == expert].bincount(minlength=n)
        often = [gpt.config.characters[i] for i in times.argsort(descending=True)[: min(6, times.count_nonzero())]]
        print(f"expert {expert} of the first block takes most often:", *map(repr, often))
    return gpt


def loaded(checkpoint):
    """The `GPT` of a checkpoint."""
    gpt = GPT(checkpoint["characters"])
    gpt.load_state_dict(checkpoint["weights"])
    return gpt


def stop_at_unknown(checkpoint, text):
    """End with a message if the GPT does not know a character of the text."""
    if unknown := sorted(set(text) - set(checkpoint["characters"])):
        sys.exit(f"the text that it learned has no {' '.join(map(repr, unknown))}")


def train_file(saved, file, steps=400):
    """Train a `GPT` on a file, from the checkpoint if there is one, and save it on the way."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        sys.exit(f"{file} is not a text in UTF-8")
    except OSError as error:
        sys.exit(f"{file} cannot be read: {error.strerror}")
    if len(text) < 1000:
        sys.exit(f"{file} is too short: it has {len(text)} characters, and at least 1000 are needed")
    begun = torch.load(saved, weights_only=True) if saved.exists() else None
    if begun:
        print(f"goes on with {saved.name}; to begin anew, rename it")
        stop_at_unknown(begun, text)

    def keep(checkpoint):
        new = saved.with_suffix(".new")
        torch.save(checkpoint, new)
        new.replace(saved)  # so that a stop never leaves half of a file

    try:
        train_text(text, steps, begun=begun, keep=keep)
    except KeyboardInterrupt:
        sys.exit("\nstopped" + "; the same command goes on with what it learned until the last #" * saved.exists())
    print(f'saved in {saved.name}; it goes on writing: python my_moe.py write "BEGINNING"')


COLORS = (33, 208, 79, 162, 141, 142, 37, 174)  # a terminal's, of eight experts


def write_on(saved, beginning):
    """Go on writing, with the `GPT` that was saved. In a terminal a character has the colour of its expert."""
    if not saved.exists():
        sys.exit(f"there is no {saved.name} yet; this makes it: python my_moe.py train FILE")
    checkpoint = torch.load(saved, weights_only=True)
    stop_at_unknown(checkpoint, beginning)
    gpt = loaded(checkpoint)
    text = gpt.write(beginning)
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return print(text)
    for expert, character in zip(gpt.readers(text), text, strict=True):
        print(f"\033[38;5;{COLORS[expert]}m{character}", end="")
    print("\n\033[0mread in the first block by", *(f"\033[38;5;{COLORS[i]}mexpert {i}" for i in range(8)), "\033[0m")


# %%
# What shows it, from the course


def plane(n):
    """Points of a square (n, 2) and their classes (n,), divided by another straight line in each quarter."""
    x = 2 * torch.rand(n, 2) - 1
    angle = math.pi / 4 * ((x[:, 0] > 0) + 2 * (x[:, 1] > 0))
    across, up = (x - x.sign() / 2).T
    return x, (across * angle.cos() + up * angle.sin() > 0).long()


def on_the_plane():
    """Train a mixture on points of the plane, and say what it gets right."""
    moe = MyMoE(d_model=2, d_hidden=8, n_experts=4, top_k=1, d_out=2)
    train(moe, *plane(1000))
    x, y = plane(1000)
    scores, (chosen, _) = moe(x)
    print(f"{100 * (scores.argmax(-1) == y).double().mean():.0f} % of new points are right")
    print("points of each expert:", chosen.flatten().bincount(minlength=4).tolist())


if __name__ == "__main__":
    torch.set_num_threads(1)  # small models are fastest on one thread
    saved = Path(__file__).with_name("my_moe.pt")
    match sys.argv[1:]:
        case []:
            torch.manual_seed(0)
            on_the_plane()
        case ["-h" | "--help"]:
            print(__doc__)
        case _ if "GPT" not in globals():
            sys.exit("lesson 08 is not in this file yet: `moe-tutorial my-moe` collects it")
        case ["train", file]:
            train_file(saved, file)
        case ["train", file, steps] if steps.isdecimal() and int(steps):
            train_file(saved, file, int(steps))
        case ["write", beginning] if beginning:
            write_on(saved, beginning)
        case _:
            sys.exit(__doc__)
