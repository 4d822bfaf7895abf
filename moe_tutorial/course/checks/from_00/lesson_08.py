"""Lesson 08: a block with experts, a language model's loss, looking ahead, bits, and a few neurons for each token."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_tutorial.course.vocabulary import Affine, Ask, checks, draw, reaches
from moe_tutorial.layers import GPT, ExpertChoiceRouter, GPTConfig


class Experts(nn.Module):
    """The expert of the largest number answers, as a mixture does: its answer, and who was chosen for each token."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        chosen = x.argmax(-1)
        return self.factor * x * (1 + chosen[..., None]), chosen.flatten()

    def __repr__(self) -> str:
        return f"whoever's number is largest in x answers: expert i, with {self.factor:g} * (1 + i) * x"


@checks(
    "08.block",
    hints=(
        "The second half is built as the first: normalise, ask, add. What is asked is the mixture.",
        "A mixture returns two things: `y, routing = moe(...)`. It reads what `norms[1]` makes of x.",
        "`y, routing = moe(norms[1](x))`, and then return `x + y` and the routing.",
    ),
    mistakes={
        "The residual is lost: what the experts say is added to x.": "x + y => y",
        "`moe(...)` returns two things, what the experts say and the routing. Unpack them: `y, routing = moe(...)`.": (
            "y, routing = moe(norms[1](x))\nreturn x + y, routing => return x + moe(norms[1](x))"
        ),
        "You add to the normalised x. It is added to x as it was before the norm.": "x + y => norms[1](x) + y",
        "x is in your sum twice.": "x + y => x + x + y",
        "You normalise what the mixture says, too. Normalise what it reads.": "x + y => x + norms[1](y)",
        "The mixture reads x as it is. It should read what `norms[1]` makes of it, and so should its router.": (
            "norms[1](x) => x"
        ),
        "You normalise with `norms[0]`, the norm of the first half.": "norms[1] => norms[0]",
        "The norm stands behind the sum in your answer. It stands before the mixture, which reads what it makes.": (
            "y, routing = moe(norms[1](x))\nreturn x + y => y, routing = moe(x)\nreturn norms[1](x + y)"
        ),
        "You normalise what the mixture says. Normalise what it reads.": (
            "y, routing = moe(norms[1](x))\nreturn x + y => y, routing = moe(x)\nreturn x + norms[1](y)"
        ),
        "Your routing is of the changed x. Ask the mixture once, for both.": (
            "x + y, routing => x + y, moe(norms[1](x + y))[1]"
        ),
    },
)
def block(ask: Ask) -> None:
    for seed, T, factor in ((1, 2, 1.0), (2, 3, -1.0), (3, 2, 0.0)):
        norms = [Affine(2.0, 1, 3), Affine(3.0, -1, 3)]
        given = {"x": draw(seed, 1, T, 3), "norms": norms, "attend": Affine(5.0, 0, 3), "moe": Experts(factor)}
        ask.gives(given, "x plus what the mixture says to the normalised x, and whom it asked", ("x", "routing"))


class Small(GPT):
    """A GPT of two blocks, small enough for a check."""

    def __init__(self, seed: int) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            super().__init__(GPTConfig(5, 8, 2, 1, 4, "moe", d_hidden=3, n_experts=3))
            for block in self.blocks:
                nn.init.normal_(block.feed_forward.router.weight, std=3)

    def __repr__(self) -> str:
        return f"a GPT of {len(self.blocks)} blocks with three experts, context {self.config.context}"


PENALTY = "c * sum(switch_loss(routing) for routing in records)"


@checks(
    "08.lm_loss",
    hints=(
        "It reads all characters but the last, `tokens[:, :-1]`, and should predict all but the first.",
        "`model(tokens[:, :-1], tokens[:, 1:])` returns logits, the mean cross-entropy, and a routing for each block.",
        "`_, loss, records = model(tokens[:, :-1], tokens[:, 1:])`, and then "
        "`loss + c * sum(switch_loss(routing) for routing in records)`.",
    ),
    mistakes={
        "The penalty comes without its coefficient c.": "c * => 1 *",
        "A penalty is added. You take it away.": "+ c => - c",
        "c multiplies the whole loss. It belongs to the penalty alone.": f"loss + {PENALTY} => c * loss + {PENALTY}",
        "There is no penalty in your answer.": "return ... => loss",
        "You take the mean over the blocks. Each block's Switch loss is added.": "c * => c / len(records) *",
        "Only the first block has a penalty in your answer. Each has a router of its own.": (
            "in records => in records[:1]"
        ),
        "Only the last block has a penalty in your answer. Each has a router of its own.": (
            "in records => in records[1:]"
        ),
        "`switch_loss` takes the routing of one block. Each has its own: add up the losses.": (
            f"{PENALTY} => c * switch_loss(records)"
        ),
        "Here `switch_loss` takes the whole Routing, `switch_loss(routing)`, and finds the probs in it.": (
            "switch_loss(routing) => switch_loss(routing.probs, routing.indices)"
        ),
        "It should predict the character that it reads, in your answer. The NEXT one is asked for.": (
            "tokens[:, 1:] => tokens[:, :-1]"
        ),
        "It should predict the character before, in your answer. The one after it is asked for.": (
            "tokens[:, :-1], tokens[:, 1:] => tokens[:, 1:], tokens[:, :-1]"
        ),
        "It reads and predicts the same characters in your answer. It reads `tokens[:, :-1]`, and should predict the "
        "character after each.": "tokens[:, :-1], tokens[:, 1:] => tokens, tokens",
        "Your last target is the first character, as `roll` goes round. The last one has no next: leave it out, read "
        "`tokens[:, :-1]`.": "tokens[:, :-1], tokens[:, 1:] => tokens, tokens.roll(-1, dims=1)",
        "You leave out a whole text. The characters of a text are the second dimension: `tokens[:, :-1]`.": (
            "tokens[:, :-1], tokens[:, 1:] => tokens[:-1], tokens[1:]"
        ),
        "You read the last character, too, whose next one nobody knows. Read `tokens[:, :-1]`.": (
            "_, loss, records = model(tokens[:, :-1], tokens[:, 1:]) => logits, _, records = model(tokens)\n"
            "loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())"
        ),
        "Your cross-entropy is a sum over the characters. Their mean is asked for.": (
            "return loss => return (len(tokens) * (tokens.shape[1] - 1)) * loss"
        ),
        "The value is right, but no gradient comes from the cross-entropy: .item() or .detach() cuts it off.": (
            "return loss => return loss.detach()"
        ),
        "The value is right, but no gradient comes from the penalty: .item() or .detach() cuts it off.": (
            "switch_loss(routing) for => switch_loss(routing).detach() for"
        ),
    },
)
def lm_loss(ask: Ask) -> None:
    for seed, c in ((1, 0.5), (2, 0.1)):
        tokens = torch.randint(5, (2, 7), generator=torch.Generator().manual_seed(seed))
        given = {"model": Small(seed), "tokens": tokens, "c": c}
        ask.gives(given, "the mean cross-entropy of each next character, plus c times the Switch loss of every block")
    says = "With the texts in another order, the loss should be the same."
    ask.follows(given, given | {"tokens": tokens.flip(0)}, lambda loss: torch.as_tensor(loss).detach(), says)
    router = given["model"].blocks[0].feed_forward.router.weight
    cut_off = "No gradient comes from the loss to the model: .item(), .detach() or no_grad cuts it off."
    reaches(ask(given), router, cut_off)

    def slope(answer):
        loss = answer(*given.values())
        return torch.autograd.grad(loss, router, allow_unused=True)[0]

    ask.experiment(slope, "The value is right, but not its gradient with respect to the first router.")


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


COMPARED = "model(new)[0][:, :t], model(tokens)[0][:, :t]"


@checks(
    "08.peeks",
    hints=(
        "Make a second text: the first t characters are the same, each of the others is another one.",
        "`torch.cat([tokens[:, :t], (tokens[:, t:] + 1) % n], dim=1)` is such a text. Scores are `model(...)[0]`.",
        "The scores that must not change are those of the first t, `[:, :t]`. Compare with torch.allclose and "
        "`atol=1e-5`, as rounding may differ.",
    ),
    mistakes={
        "It returns True for every model. Compare the scores of the first t positions alone, `[:, :t]`: those behind "
        "them change in any model.": f"{COMPARED} => model(new)[0], model(tokens)[0]",
        "It is the wrong way round: True where the scores of the first t characters change.": "return not => return",
        "Scores that differ by rounding alone count as changed. Use torch.allclose with atol=1e-5.": (
            f"allclose({COMPARED}, atol=1e-5) => equal({COMPARED})"
        ),
        "It returns True for every model. Your second text differs in the first t characters, too.": (
            "torch.cat([tokens[:, :t], (tokens[:, t:] + 1) % n], dim=1) => (tokens + 1) % n"
        ),
        "It returns False for every model. Does your second text differ from t on, and is it compared? The characters "
        "are the second dimension, `tokens[:, t:]`.": "(tokens[:, t:] + 1) % n => tokens[:, t:]",
        "Is each character from t on another one in your second text? One text for all may be equal at some places.": (
            "(tokens[:, t:] + 1) % n => 0 * tokens[:, t:]"
        ),
        "Your next number leaves the alphabet: take it modulo n.": "(tokens[:, t:] + 1) % n => tokens[:, t:] + 1",
        "Change ALL characters from t on, not only the first of them.": (
            "(tokens[:, t:] + 1) % n => (tokens[:, t : t + 1] + 1) % n, tokens[:, t + 1 :]"
        ),
        "`tokens[:, t]` is the first to change.": (
            "tokens[:, :t], (tokens[:, t:] + 1) % n => tokens[:, : t + 1], (tokens[:, t + 1 :] + 1) % n"
        ),
        "Compare the scores of ALL of the first t positions. Yours leave out the last of them.": (
            "[0][:, :t] => [0][:, : t - 1]"
        ),
        "Compare ALL scores of ALL of the first t positions. You look at the position before t.": (
            "[0][:, :t] => [0][:, t - 1 : t]"
        ),
        "Compare ALL scores of ALL of the first t positions. The likeliest character may stay where scores change.": (
            f"allclose({COMPARED}, atol=1e-5) => "
            "equal(model(new)[0][:, :t].argmax(-1), model(tokens)[0][:, :t].argmax(-1))"
        ),
    },
)
def peeks(ask: Ask) -> None:
    T, t = 6, 4
    before = torch.ones(T, T).tril()
    only_first, last, only_t = before.clone(), before.clone(), before.clone()
    only_first[t:], last[0, -1], only_t[0, t] = 0, 1, 1
    one_text = torch.tensor([[0, 3, 1, 4, 2, 2]])  # two equal ones last: to swap them changes nothing
    models = (
        Reads(before, "each position reads itself and those before it"),
        Reads(before + 3e-6 * torch.ones(T, T), "scores of other texts differ by rounding alone"),
        Reads(torch.ones(T, T).tril(1), "each position reads the next one, too"),
        Reads(last, "the first position reads the last one, too"),
        Reads(only_first, "only the first t positions have scores"),
        Reads(only_t, "the first position reads position t, too"),
        Small(1),
        by_experts(),
    )
    cases = {f"the model is {model}": {"model": model, "tokens": one_text, "t": t} for model in models}
    cases[f"the model is {models[-1]}, and experts choose their tokens"] = cases.pop(f"the model is {models[-1]}")
    for i in range(1, 5):
        where = f"each position reads the next one, too, and the tokens are {((one_text + i) % 5).tolist()}"
        cases[where] = {"model": models[2], "tokens": (one_text + i) % 5, "t": t}
    ask.judges(cases)


@checks(
    "08.bits",
    hints=(
        "Three entropies: that of the expert, that of the label, and that of the pair.",
        "A pair needs a number of its own: `expert * (label.max() + 1) + label` never gives two pairs the same one.",
        "`entropy(expert) + entropy(label) - entropy(pair)`",
    ),
    mistakes={
        "The pair's entropy is missing: what both tell is counted twice.": " - entropy(pair) => ",
        "That is how uncertain the label STAYS when you hear the expert. How much less is asked for.": (
            "return ... => entropy(pair) - entropy(expert)"
        ),
        "The sign is wrong: the entropy of the pair is taken away.": (
            "return ... => entropy(pair) - entropy(expert) - entropy(label)"
        ),
        "That is in nats. `entropy` gives bits; nothing is left to convert.": (
            "return ... => math.log(2) * (entropy(expert) + entropy(label) - entropy(pair))"
        ),
        "Different pairs have the same number in your answer where a label is 8 or more.": "(label.max() + 1) => 8",
        "Different pairs have the same number in your answer: expert + label is 2 for (0, 2) and for (1, 1).": (
            "expert * (label.max() + 1) + label => expert + label"
        ),
        "Different pairs have the same number in your answer. There are label.max() + 1 labels, as they begin at 0.": (
            "(label.max() + 1) => label.max()"
        ),
        "Different pairs have the same number in your answer: expert * label is 0 for (0, 1) and for (0, 2).": (
            "expert * (label.max() + 1) + label => expert * label"
        ),
    },
)
def bits(ask: Ask) -> None:
    cases = (
        ([0, 0, 1, 1, 3, 0], [2, 2, 0, 0, 1, 1]),
        ([0, 1, 0, 1, 2, 2, 0, 1], [0, 2, 0, 1, 1, 1, 2, 2]),
        ([1, 1, 0, 0, 0], [0, 2, 8, 10, 17]),
        ([0, 2, 8, 10, 17], [1, 1, 0, 0, 0]),
    )
    for expert, label in cases:
        given = {"expert": torch.tensor(expert), "label": torch.tensor(label)}
        ask.gives(given, "how many bits the one tells about the other")
    says = "With the experts under other numbers, it should be the same."
    ask.follows(given, given | {"expert": 20 - given["expert"]}, lambda bits: bits, says)


LENGTH = "w_out.norm(dim=0)"


@checks(
    "08.keep",
    hints=(
        "A neuron's contribution is its value times its column of `w_out`: `h.abs() * w_out.norm(dim=0)` has their "
        "lengths, for every token.",
        "`.topk(n, dim=-1).indices` says which n are the largest, token by token.",
        "From zeros, `scatter(-1, best, 1.0)` writes a 1 at those. Times h, the others are 0.",
    ),
    mistakes={
        "Those are ones. The value of each neuron that stays is asked for: times h.": "1.0) * h => 1.0)",
        "The others are gone in your answer, and `w_out` has no place for n numbers: they become 0.": (
            "return ... => h.gather(-1, best)"
        ),
        "You switch the largest off. They are to stay.": (
            "return ... => h - torch.zeros_like(h).scatter(-1, best, 1.0) * h"
        ),
        "You rank by what the neurons say. What arrives depends on w_out, too: times the length of its column.": (
            f" * {LENGTH} => "
        ),
        "You rank by h, so that negative neurons come last. A large negative one contributes as much: take abs().": (
            "h.abs() => h"
        ),
        "You rank by the length squared. `norm(dim=0)` is the length.": f"{LENGTH} => w_out.square().sum(0)",
        "You add up the sizes of a column's weights. Its length is wanted: `norm(dim=0)`.": (
            f"{LENGTH} => w_out.abs().sum(0)"
        ),
        "You add up a column's weights, and they cancel. Its length is wanted: `norm(dim=0)`.": (
            f"{LENGTH} => w_out.sum(0).abs()"
        ),
        "All tokens keep the same neurons in your answer. Each token has its own.": (
            f"(h.abs() * {LENGTH}).topk => (h.abs() * {LENGTH}).flatten(0, -2).mean(0).expand_as(h).topk"
        ),
        "The neurons with the smallest contribution are left in your answer.": "dim=-1) => dim=-1, largest=False)",
        "You return contributions. The neurons that stay keep their values.": f"1.0) * h => 1.0) * h * {LENGTH}",
        "You return how large the contributions are. The neurons that stay keep their values.": (
            f"1.0) * h => 1.0) * h.abs() * {LENGTH}"
        ),
        "You keep n neurons of all tokens together. Each token keeps n of its own.": (
            "return ... => h * ((size := h.abs() * w_out.norm(dim=0)) >= size.flatten().topk(n).values[-1])"
        ),
        "You take the length along the wrong side: a neuron's weights are a COLUMN of w_out, so `norm(dim=0)`.": (
            "norm(dim=0) => norm(dim=1)"
        ),
    },
)
def keep(ask: Ask) -> None:
    for seed, shape, d, n in ((5, (3, 5), 3, 2), (72, (3, 5), 2, 1), (95, (2, 2, 4), 4, 3)):
        given = {"h": draw(seed, *shape), "w_out": draw(seed + 5, d, shape[-1]) / 10, "n": n}
        ask.gives(given, f"the {n} neurons of each token that contribute most, and 0 for the others")
    whole = given | {"n": 4}
    ask.follows(whole, whole, lambda _: given["h"], "With all neurons kept, h should stay as it is.")
