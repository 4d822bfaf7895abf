"""Lesson 08: a block with experts, a language model's loss, looking ahead, bits, and a few neurons for each token."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_tutorial.course.checks.vocabulary import Affine, Ask, checks, draw, verdicts
from moe_tutorial.course.running import NotYet
from moe_tutorial.layers import GPT, ExpertChoiceRouter, GPTConfig, switch_loss


class Experts(nn.Module):
    """The expert of the largest number answers, as a mixture does: its answer, and who was chosen."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        chosen = x.argmax(-1)
        return self.factor * x * (1 + chosen[..., None]), chosen

    def __repr__(self) -> str:
        return f"whoever's number is largest in x answers: expert i, with {self.factor:g} * (1 + i) * x"


def halves(x, norms, attend, moe, read=None, add=lambda x, y: x + y):
    """The reference; a mistake reads or adds something else in the second half."""
    x = x + attend(norms[0](x))
    y, chosen = moe(norms[1](x) if read is None else read(norms, x))
    return add(x, y), chosen


@checks(
    "08.block",
    hints=(
        "The second half is built as the first: normalise, ask, add. What is asked is the mixture.",
        "A mixture returns two things: `y, routing = moe(...)`. It reads what `norms[1]` makes of x.",
        "`y, routing = moe(norms[1](x))`, and then return `x + y` and the routing.",
    ),
    puzzle={
        "return y, routing": "The residual is lost: what the experts say is added to x.",
        "return norms[1](x) + y, routing": "It is added to x as it was, not to what was normalised.",
        "return norms[1](x + y), routing": "The norm stands before the mixture, not behind the sum.",
    },
)
def block(ask: Ask) -> None:
    mistakes = {
        "The mixture reads x as it is. It should read what `norms[1]` makes of it, and so should its router.": (
            lambda *given: halves(*given, read=lambda norms, x: x)
        ),
        "The residual is lost: what the experts say is added to x.": lambda *given: halves(*given, add=lambda x, y: y),
        "You add to the normalised x. It is added to x as it was before the norm.": lambda x, norms, attend, moe: (
            halves(x, norms, attend, moe, add=lambda x, y: norms[1](x) + y)
        ),
        "You normalise with `norms[0]`, the norm of the first half.": lambda *given: halves(
            *given, read=lambda norms, x: norms[0](x)
        ),
        "The norm stands behind the sum in your answer. It stands before the mixture, which reads what it makes.": (
            lambda x, norms, attend, moe: halves(x, norms, attend, moe, lambda _, x: x, lambda x, y: norms[1](x + y))
        ),
        "You normalise what the mixture says. Normalise what it reads.": (
            lambda x, norms, attend, moe: halves(x, norms, attend, moe, lambda _, x: x, lambda x, y: x + norms[1](y))
        ),
        "Your routing is of the changed x. Ask the mixture once, for both.": lambda x, norms, attend, moe: (
            (x := halves(x, norms, attend, moe)[0]),
            moe(norms[1](x))[1],
        ),
        "x is in your sum twice.": lambda *given: halves(*given, add=lambda x, y: 2 * x + y),
    }
    for seed, T, factor in ((1, 2, 1.0), (2, 3, -1.0), (3, 2, 0.0)):
        norms = [Affine(2.0, 1, 3), Affine(3.0, -1, 3)]
        given = {"x": draw(seed, 1, T, 3), "norms": norms, "attend": Affine(5.0, 0, 3), "moe": Experts(factor)}
        expected = dict(zip(("x", "routing"), halves(**given), strict=True))
        says = "x plus what the mixture says to the normalised x, and whom it asked"
        ask.gives(given, expected, says, mistakes)


class Small(GPT):
    """A GPT of two blocks, small enough for a check."""

    def __init__(self, seed: int) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            super().__init__(GPTConfig(5, 6, 2, 1, 4, "moe", d_hidden=3, n_experts=3))
            for block in self.blocks:
                nn.init.normal_(block.feed_forward.router.weight, std=3)

    def __repr__(self) -> str:
        return f"a GPT of {len(self.blocks)} blocks with three experts, context {self.config.context}"


def predicted(model, read, targets, c, penalty=lambda records: sum(map(switch_loss, records)), reduction="mean"):
    """The reference; a mistake has other targets, another penalty, or another mean."""
    logits, _, records = model(read)
    task = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)
    return task + c * penalty(records)


def shifted(model, tokens, c, **otherwise):
    return predicted(model, tokens[:, :-1], tokens[:, 1:], c, **otherwise)


@checks(
    "08.lm_loss",
    hints=(
        "It reads all characters but the last, `tokens[:, :-1]`, and should predict all but the first.",
        "`model(tokens[:, :-1], tokens[:, 1:])` returns logits, the mean cross-entropy, and a routing for each block.",
        "`_, loss, records = model(tokens[:, :-1], tokens[:, 1:])`, and then "
        "`loss + c * sum(switch_loss(routing) for routing in records)`.",
    ),
    puzzle={
        "return loss + sum(switch_loss(routing) for routing in records)": "The coefficient c is missing.",
        "return loss + c * switch_loss(records)": "Each block has a routing of its own: their Switch losses are added.",
        "return loss - c * sum(switch_loss(routing) for routing in records)": "A penalty is added.",
    },
)
def lm_loss(ask: Ask) -> None:
    mistakes = {
        "It should predict the character that it reads, in your answer. The NEXT one is asked for.": lambda m, t, c: (
            predicted(m, t[:, :-1], t[:, :-1], c)
        ),
        "It should predict the character before, in your answer. The one after it is asked for.": lambda m, t, c: (
            predicted(m, t[:, 1:], t[:, :-1], c)
        ),
        "You read the last character, too, whose next one nobody knows. Read `tokens[:, :-1]`.": lambda m, t, c: (
            predicted(m, t, t, c)
        ),
        "The penalty comes without its coefficient c.": lambda m, t, c: shifted(m, t, 1),
        "There is no penalty in your answer.": lambda m, t, c: shifted(m, t, 0),
        "You take the mean over the blocks. Each block's Switch loss is added.": lambda m, t, c: shifted(
            m, t, c / len(m.blocks)
        ),
        **{
            f"Only the {name} block has a penalty in your answer. Each has a router of its own.": partial(
                shifted, penalty=lambda records, i=i: switch_loss(records[i])
            )
            for name, i in (("first", 0), ("last", -1))
        },
        "Here `switch_loss` takes the whole Routing, `switch_loss(routing)`, and finds the probs in it.": (
            lambda m, t, c: shifted(m, t, c, penalty=lambda records: switch_loss(records[0].probs))
        ),
        "Your cross-entropy is a sum over the characters. Their mean is asked for.": lambda m, t, c: shifted(
            m, t, c, reduction="sum"
        ),
        "c multiplies the whole loss. It belongs to the penalty alone.": lambda m, t, c: c * shifted(m, t, 1),
    }
    for seed, c in ((1, 0.5), (2, 0.1)):
        tokens = torch.randint(5, (2, 7), generator=torch.Generator().manual_seed(seed))
        given = {"model": Small(seed), "tokens": tokens, "c": c}
        says = "the mean cross-entropy of each next character, plus c times the Switch loss of every block"
        ask.gives(given, {"loss": shifted(**given).detach()}, says, mistakes)
    says = "With the texts in another order, the loss should be the same."
    ask.follows(given, given | {"tokens": tokens.flip(0)}, lambda loss: torch.as_tensor(loss).detach(), says)
    router = given["model"].blocks[0].feed_forward.router.weight
    found, expected = torch.as_tensor(ask(given)), shifted(**given)
    if not found.requires_grad:
        raise NotYet("No gradient comes from the loss to the model: .item(), .detach() or no_grad cuts it off.")
    slopes = [torch.autograd.grad(loss, router, allow_unused=True)[0] for loss in (found, expected)]
    if slopes[0] is None or not torch.allclose(*slopes, atol=1e-6):
        raise NotYet(
            "The value is right, but not its gradient: .item() or .detach() cuts the cross-entropy or the penalty off."
        )


class Reads(nn.Module):
    """A model whose scores at each position are sums over the positions that it reads there, (T, T)."""

    def __init__(self, reads: Tensor, name: str) -> None:
        super().__init__()
        self.config, self.reads, self.name = GPTConfig(5), reads, name

    def forward(self, tokens: Tensor, targets: None = None) -> tuple[Tensor, None, list]:
        T = tokens.shape[1]
        return self.reads[:T, :T] @ F.one_hot(tokens, 5).float(), None, []

    def __repr__(self) -> str:
        return f"a model in which {self.name}"


def by_experts() -> Small:
    """A GPT in which experts choose their tokens."""
    model = Small(1)
    for block in model.blocks:
        weight = block.feed_forward.router.weight
        block.feed_forward.router = ExpertChoiceRouter(4, 3, 1)
        block.feed_forward.router.weight = weight
    return model


@checks(
    "08.peeks",
    hints=(
        "Make a second text: the first t characters are the same, each of the others is another one.",
        "`torch.cat([tokens[:, :t], (tokens[:, t:] + 1) % n], dim=1)` is such a text. Scores are `model(...)[0]`.",
        "The scores that must not change are those of the first t, `[:, :t]`. Compare with torch.allclose and "
        "`atol=1e-5`, as rounding may differ.",
    ),
    puzzle={
        "return not torch.allclose(model(new)[0][:, t:], model(tokens)[0][:, t:], atol=1e-5)": (
            "Those are the positions that you changed. Of course their scores change."
        ),
        "return torch.allclose(model(new)[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)": (
            "Where the scores stay the same, it does not look ahead."
        ),
        "return not torch.equal(model(new)[0], model(tokens)[0])": "The scores of what you changed always change.",
    },
)
def peeks(ask: Ask) -> None:
    T, t = 6, 4
    before = torch.ones(T, T).tril()
    next_too, last = torch.ones(T, T).tril(1), before.clone()
    last[0, -1] = 1
    models = {
        "each position reads those before it": (Reads(before, "each position reads itself and those before it"), False),
        "rounding": (Reads(before + 1e-8, "scores differ by rounding alone"), False),
        "each position reads the next": (Reads(next_too, "each position reads the next one, too"), True),
        "the first position reads the last": (Reads(last, "the first position reads the last one, too"), True),
        "tokens choose": (Small(1), False),
        "experts choose": (by_experts(), True),
    }
    tokens = torch.tensor([[0, 3, 1, 4, 2, 2]])  # two equal ones last: to swap them changes nothing
    cases = {name: ({"model": model, "tokens": tokens, "t": t}, right) for name, (model, right) in models.items()}
    found = verdicts(ask, cases)
    wrong = [name for name, (_, right) in cases.items() if found[name] != right]
    if not wrong:
        given = cases["each position reads the next"][0]
        if not all(ask(given | {"tokens": (tokens + i) % 5}) for i in range(1, 5)):
            raise NotYet("With other characters from t on, the verdict should be the same. Is each of them changed?")
        return
    if len(wrong) == len(cases):
        raise NotYet("It is the wrong way round: True where the scores of the first t characters change.")
    only_first, only_t = before.clone(), before.clone()
    only_first[t:], only_t[0, t] = 0, 1
    reads_t = {"model": Reads(only_t, "the first position reads number t"), "tokens": tokens, "t": t}
    if all(found.values()):
        if ask({"model": Reads(only_first, "only the first t have scores"), "tokens": tokens, "t": t}):
            raise NotYet("It says True of every model. Your second text differs in the first t characters, too.")
        raise NotYet(
            "It says True of every model. Compare the scores of the first t positions alone, `[:, :t]`: those behind "
            "them change in any model."
        )
    if not any(found.values()):
        raise NotYet("It says False of every model. Does your second text differ from t on, and is it compared?")
    if wrong == ["rounding"]:
        raise NotYet("Scores that differ by rounding alone count as changed. Use torch.allclose with atol=1e-5.")
    if wrong == ["the first position reads the last"]:
        later = ask(reads_t)
        what = "Change ALL characters from t on." if later else "Compare ALL scores of ALL of the first t positions."
        raise NotYet(f"It says False where the first position reads the last. {what}")
    if wrong == ["each position reads the next"]:
        later = ask(reads_t)
        what = (
            "Compare the scores of ALL of the first t positions." if later else "`tokens[:, t]` is the first to change."
        )
        raise NotYet(f"It says False where each position reads the next. {what}")
    model, right = models[wrong[0]]
    raise NotYet(f"It says {found[wrong[0]]} of {model}. Right is {right}. tokens = {tokens.tolist()}, t = {t}")


def entropy(numbers):
    return torch.special.entr(numbers.bincount() / len(numbers)).sum() / math.log(2)


def told(expert, label, both=lambda e, n: e * (n.max() + 1) + n):
    """The reference, or a mistake that makes another number of the pair."""
    return entropy(expert) + entropy(label) - entropy(both(expert, label))


@checks(
    "08.bits",
    hints=(
        "Three entropies: that of the expert, that of the label, and that of the pair.",
        "A pair needs a number of its own: `expert * (label.max() + 1) + label` never gives two pairs the same one.",
        "`entropy(expert) + entropy(label) - entropy(pair)`",
    ),
    puzzle={
        "return entropy(expert) + entropy(label)": "What both tell is counted twice. The pair's entropy is taken away.",
        "return entropy(pair) - entropy(expert)": "That is how uncertain the label STAYS when you hear the expert.",
        "return entropy(pair) - entropy(expert) - entropy(label)": "The signs are turned round.",
    },
)
def bits(ask: Ask) -> None:
    mistakes = {
        "That is how uncertain the label STAYS when you hear the expert. How much less is asked for.": lambda e, n: (
            entropy(n) - told(e, n)
        ),
        "The sign is wrong: the entropy of the pair is taken away.": lambda e, n: -told(e, n),
        "The pair's entropy is missing: what both tell is counted twice.": lambda e, n: entropy(e) + entropy(n),
        "That is in nats. `entropy` gives bits; nothing is left to convert.": lambda e, n: told(e, n) * math.log(2),
        "Different pairs have the same number in your answer where a label is 8 or more.": lambda e, n: told(
            e, n, lambda e, n: e * 8 + n
        ),
        "Different pairs have the same number in your answer: expert + label is 2 for (0, 2) and for (1, 1).": (
            lambda e, n: told(e, n, lambda e, n: e + n)
        ),
        "Different pairs have the same number in your answer. There are label.max() + 1 labels, as they begin at 0.": (
            lambda e, n: told(e, n, lambda e, n: e * n.max() + n)
        ),
        "Different pairs have the same number in your answer: expert * label is 0 for (0, 1) and for (0, 2).": (
            lambda e, n: told(e, n, lambda e, n: e * n)
        ),
    }
    cases = (
        ([0, 0, 1, 1, 3, 0], [2, 2, 0, 0, 1, 1]),
        ([0, 1, 0, 1, 2, 2, 0, 1], [0, 2, 0, 1, 1, 1, 2, 2]),
        ([1, 0, 0, 0], [0, 8, 10, 16]),
        ([0, 8, 10, 16], [1, 0, 0, 0]),
    )
    for expert, label in cases:
        given = {"expert": torch.tensor(expert), "label": torch.tensor(label)}
        ask.gives(given, {"bits": told(**given)}, "how many bits the one tells about the other", mistakes)
    says = "With the experts under other numbers, it should be the same."
    ask.follows(given, given | {"expert": 20 - given["expert"]}, lambda bits: bits, says)


def kept(h, w_out, n, strength=None, largest=True):
    """The reference, or a mistake that ranks otherwise."""
    strength = h.abs() * w_out.norm(dim=0) if strength is None else strength
    best = strength.topk(n, dim=-1, largest=largest).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h


@checks(
    "08.keep",
    hints=(
        "A neuron's contribution is its value times its column of `w_out`: `h.abs() * w_out.norm(dim=0)` has their "
        "lengths, for every token.",
        "`.topk(n, dim=-1).indices` says which n are the largest, token by token.",
        "From zeros, `scatter(-1, best, 1.0)` writes a 1 at those. Times h, the others are 0.",
    ),
    puzzle={
        "return torch.zeros_like(h).scatter(-1, best, 1.0)": "Those are ones. The neurons keep their values.",
        "return h.gather(-1, best)": "The others are gone then, and w_out has no place for n numbers: they become 0.",
        "return h - torch.zeros_like(h).scatter(-1, best, 1.0) * h": "That switches the largest off.",
    },
)
def keep(ask: Ask) -> None:
    mistakes = {
        "You rank by the length squared. `norm(dim=0)` is the length.": lambda h, w, n: kept(
            h, w, n, h.abs() * w.square().sum(0)
        ),
        "You add up the weights of a column. Its length is wanted: `norm(dim=0)`.": lambda h, w, n: kept(
            h, w, n, h.abs() * w.abs().sum(0)
        ),
        "You rank by what the neurons say. What arrives depends on w_out, too: times the length of its column.": (
            lambda h, w, n: kept(h, w, n, h.abs())
        ),
        "You rank by h, so that negative neurons come last. A large negative one contributes as much: take abs().": (
            lambda h, w, n: kept(h, w, n, h * w.norm(dim=0))
        ),
        "All tokens keep the same neurons in your answer. Each token has its own.": lambda h, w, n: kept(
            h, w, n, (h.abs() * w.norm(dim=0)).flatten(0, -2).mean(0).expand_as(h)
        ),
        "The neurons with the smallest contribution are left in your answer.": lambda h, w, n: kept(
            h, w, n, largest=False
        ),
        "Those are ones. The value of each neuron that stays is asked for: times h.": lambda h, w, n: (
            kept(h, w, n) != 0
        ).to(h.dtype),
        "You return contributions. The neurons that stay keep their values.": lambda h, w, n: (
            kept(h, w, n) * w.norm(dim=0)
        ),
        "You return how large the contributions are. The neurons that stay keep their values.": lambda h, w, n: (
            kept(h, w, n).abs() * w.norm(dim=0)
        ),
        "You keep n neurons of all tokens together. Each token keeps n of its own.": lambda h, w, n: kept(
            h.view(1, -1), w.repeat(1, h[..., 0].numel()), n
        ).view(h.shape),
        "You take the length along the wrong side: a neuron's weights are a COLUMN of w_out, so `norm(dim=0)`.": (
            lambda h, w, n: kept(h, w, n, h.abs() * w.norm(dim=1))
        ),
    }
    for seed, shape, d, n in ((28, (3, 4), 3, 2), (72, (3, 5), 2, 1), (95, (2, 2, 4), 4, 3)):
        given = {"h": draw(seed, *shape), "w_out": draw(seed + 5, d, shape[-1]) / 10, "n": n}
        says = f"the {n} neurons of each token that contribute most, and 0 for the others"
        ask.gives(given, {"h": kept(**given)}, says, mistakes)
    whole = given | {"n": 4}
    ask.follows(whole, whole, lambda _: given["h"], "With all neurons kept, h should stay as it is.")
