"""Lesson 08: a block with experts, a language model's loss, and looking ahead."""

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
