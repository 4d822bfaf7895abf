"""Answers to lesson 08's exercises: what a learner may write."""

import math

import torch
import torch.nn.functional as F
from answers import right, wrong

from moe_tutorial.layers import switch_loss as penalty
from moe_tutorial.study import mutual_information

# ── block ──


@wrong("08.block", "The mixture reads x as it is")
def not_normed(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    y, routing = moe(x)
    return x + y, routing


@wrong("08.block", "The residual is lost")
def no_residual(x, norms, attend, moe):
    return moe(norms[1](x + attend(norms[0](x))))


@wrong("08.block", "You add to the normalised x")
def residual_normed(x, norms, attend, moe):
    x = norms[1](x + attend(norms[0](x)))
    y, routing = moe(x)
    return x + y, routing


@wrong("08.block", "the norm of the first half")
def one_norm_twice(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    y, routing = moe(norms[0](x))
    return x + y, routing


@wrong("08.block", "The norm stands behind the sum")
def norm_behind(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    y, routing = moe(x)
    return norms[1](x + y), routing


@wrong("08.block", "You normalise what the mixture says")
def answer_normed(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    y, routing = moe(x)
    return x + norms[1](y), routing


@wrong("08.block", "x is in your sum twice")
def added_again(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    y, routing = moe(norms[1](x))
    return x + x + y, routing


@wrong("08.block", "Ask the mixture once")
def asked_twice(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    x += moe(norms[1](x))[0]
    return x, moe(norms[1](x))[1]


@wrong("08.block", "should return 2 things")
def no_routing(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    return x + moe(norms[1](x))[0]


@wrong("08.block", "changes what it is given")
def in_place_x(x, norms, attend, moe):
    x += attend(norms[0](x))
    y, routing = moe(norms[1](x))
    return x + y, routing


@right("08.block")
def by_halves(x, norms, attend, moe):
    half = attend(norms[0](x)) + x
    answers = moe(norms[1](half))
    return half.add(answers[0]), answers[1]


@right("08.block")
def in_place_of_a_sum(x, norms, attend, moe):
    x = x + attend(norms[0](x))
    y, routing = moe(norms[-1](x))
    x += y
    return x, routing


# ── lm_loss ──


@wrong("08.lm_loss", "the character that it reads")
def itself(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, :-1])
    return loss + c * sum(map(penalty, records))


@wrong("08.lm_loss", "the character before")
def backwards(model, tokens, c):
    _, loss, records = model(tokens[:, 1:], tokens[:, :-1])
    return loss + c * sum(map(penalty, records))


@wrong("08.lm_loss", "You read the last character, too")
def all_of_it(model, tokens, c):
    logits, _, records = model(tokens)
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    return loss + c * sum(map(penalty, records))


@wrong("08.lm_loss", "without its coefficient")
def c_forgotten(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return loss + sum(map(penalty, records))


@wrong("08.lm_loss", "There is no penalty")
def task_alone(model, tokens, c):
    return model(tokens[:, :-1], tokens[:, 1:])[1]


@wrong("08.lm_loss", "the mean over the blocks")
def mean_of_blocks(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return loss + c * torch.stack([penalty(routing) for routing in records]).mean()


@wrong("08.lm_loss", "takes the whole Routing")
def in_parts(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return loss + c * sum(penalty(routing.probs, routing.indices) for routing in records)


@wrong("08.lm_loss", "Only the first block")
def first_block_alone(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return loss + c * penalty(records[0])


@wrong("08.lm_loss", "Only the last block")
def last_block(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    for routing in records:
        extra = c * penalty(routing)
    return loss + extra


@wrong("08.lm_loss", "a sum over the characters")
def summed(model, tokens, c):
    logits, _, records = model(tokens[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")
    return loss + c * sum(map(penalty, records))


@wrong("08.lm_loss", "c multiplies the whole loss")
def c_for_all(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return c * (loss + sum(map(penalty, records)))


@wrong("08.lm_loss", "not its gradient")
def penalty_detached(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return loss + c * sum(penalty(routing).item() for routing in records)


@wrong("08.lm_loss", "No gradient comes")
def all_detached(model, tokens, c):
    return by_logits(model, tokens, c).detach()


@wrong("08.lm_loss", "not its gradient")
def cut_cross_entropy(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return loss.item() + c * sum(map(penalty, records))


@wrong("08.lm_loss", "No gradient comes")
def a_number(model, tokens, c):
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return (loss + c * sum(map(penalty, records))).item()


@right("08.lm_loss")
def by_logits(model, tokens, c):
    logits, _, records = model(tokens[:, :-1])
    loss = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:])
    for routing in records:
        loss = loss + c * penalty(routing)
    return loss


@right("08.lm_loss")
def by_hand(model, tokens, c):
    _, loss, records = model(tokens[..., :-1], tokens[..., 1:])
    for r in records:
        f = F.one_hot(r.indices, r.probs.shape[-1]).float().mean((0, 1))
        loss = loss + c * len(f) * (f * r.probs.mean(0)).sum()
    return loss


# ── peeks ──


def other_text(model, tokens, t):
    return torch.cat([tokens[:, :t], (tokens[:, t:] + 1) % model.config.vocab_size], dim=1)


@wrong("08.peeks", "It says True of every model")
def all_places(model, tokens, t):
    return not torch.allclose(model(other_text(model, tokens, t))[0], model(tokens)[0], atol=1e-5)


@wrong("08.peeks", "It says False of every model")
def nothing_changed(model, tokens, t):
    return not torch.allclose(model(tokens.clone())[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)


@wrong("08.peeks", "Is each of them changed?")
def one_filler(model, tokens, t):
    new = tokens.clone()
    new[:, t:] = 0
    return not torch.allclose(model(new)[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)


@wrong("08.peeks", "the wrong way round")
def honest(model, tokens, t):
    return not by_clone(model, tokens, t)


@wrong("08.peeks", "differ by rounding alone")
def exact(model, tokens, t):
    return not torch.equal(model(other_text(model, tokens, t))[0][:, :t], model(tokens)[0][:, :t])


@wrong("08.peeks", "differs in the first t characters, too")
def all_changed(model, tokens, t):
    return not torch.allclose(model((tokens + 1) % 5)[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)


@wrong("08.peeks", "Change ALL characters from t on")
def one_changed(model, tokens, t):
    new = tokens.index_add(1, torch.tensor([t]), tokens.new_ones(1, 1)) % 5
    return not torch.allclose(model(new)[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)


@wrong("08.peeks", "Compare ALL scores")
def place_before(model, tokens, t):
    one, other = model(tokens)[0], model(other_text(model, tokens, t))[0]
    return bool((one[:, t - 1] - other[:, t - 1]).abs().max() > 1e-5)


@wrong("08.peeks", "Does your second text differ")
def rolled(model, tokens, t):
    other = tokens.clone()
    other[:, t:] = other[:, t:].roll(1, 1)
    return not torch.allclose(model(other)[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)


@wrong("08.peeks", "Compare ALL scores")
def likeliest(model, tokens, t):
    new = torch.cat([tokens[:, :t], (tokens[:, t:] + 1) % model.config.vocab_size], 1)
    return not torch.equal(model(new)[0][:, :t].argmax(-1), model(tokens)[0][:, :t].argmax(-1))


@wrong("08.peeks", "ALL of the first t")
def one_place_too_few(model, tokens, t):
    new = torch.cat([tokens[:, :t], (tokens[:, t:] + 1) % model.config.vocab_size], 1)
    return not torch.allclose(model(new)[0][:, : t - 1], model(tokens)[0][:, : t - 1], atol=1e-5)


@wrong("08.peeks", "is the first to change")
def from_the_next(model, tokens, t):
    new = torch.cat([tokens[:, : t + 1], (tokens[:, t + 1 :] + 1) % model.config.vocab_size], 1)
    return not torch.allclose(model(new)[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)


@right("08.peeks")
def by_clone(model, tokens, t):
    new = tokens.clone()
    new[:, t:] = (new[:, t:] + 2) % model.config.vocab_size
    return bool((model(new)[0] - model(tokens)[0])[:, :t].abs().max() > 1e-4)


@right("08.peeks")
def cut_off(model, tokens, t):
    return not torch.allclose(model(tokens[:, :t])[0], model(tokens)[0][:, :t], atol=1e-5)


# ── bits ──


def entropy(numbers):
    return torch.special.entr(numbers.bincount() / len(numbers)).sum() / math.log(2)


@wrong("08.bits", "pair's entropy is missing")
def counted_twice(expert, label):
    return entropy(expert) + entropy(label)


@wrong("08.bits", "expert + label is 2")
def sum_of_both(expert, label):
    return entropy(expert) + entropy(label) - entropy(expert + label)


@wrong("08.bits", "There are label.max() + 1 labels")
def one_too_few(expert, label):
    return entropy(expert) + entropy(label) - entropy(expert * label.max() + label)


@wrong("08.bits", "where a label is 8 or more")
def eight(expert, label):
    return entropy(expert) + entropy(label) - entropy(expert * 8 + label)


@wrong("08.bits", "expert * label is 0")
def product(expert, label):
    return entropy(expert) + entropy(label) - entropy(expert * label)


@wrong("08.bits", "how uncertain the label STAYS")
def what_stays(expert, label):
    return entropy(expert * 100 + label) - entropy(expert)


@wrong("08.bits", "in nats")
def nats(expert, label):
    return by_study(expert, label) * math.log(2)


@wrong("08.bits", "The sign is wrong")
def pair_less_both(expert, label):
    return -mutual_information(expert, label)


@right("08.bits")
def by_study(expert, label):
    return torch.tensor(mutual_information(expert, label))


@right("08.bits")
def by_table(expert, label):
    table = F.one_hot(expert).float().T @ F.one_hot(label).float() / len(expert)
    even = table.sum(1, keepdim=True) * table.sum(0)
    return (table * torch.log2(table / even)).nansum()


# ── keep ──


@wrong("08.keep", "times the length of its column")
def by_value(h, w_out, n):
    best = h.abs().topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h


@wrong("08.keep", "take abs()")
def signed(h, w_out, n):
    best = (h * w_out.norm(dim=0)).topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h


@wrong("08.keep", "Each token has its own")
def one_set(h, w_out, n):
    best = (h.abs() * w_out.norm(dim=0)).flatten(0, -2).mean(0).topk(n).indices
    kept = torch.zeros(h.shape[-1])
    kept[best] = 1
    return h * kept


@wrong("08.keep", "Those are ones")
def mask(h, w_out, n):
    best = (h.abs() * w_out.norm(dim=0)).topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0)


@wrong("08.keep", "smallest contribution")
def least(h, w_out, n):
    best = (h.abs() * w_out.norm(dim=0)).topk(n, dim=-1, largest=False).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h


@wrong("08.keep", "You return contributions")
def contributions(h, w_out, n):
    part = h * w_out.norm(dim=0)
    best = part.abs().topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * part


@wrong("08.keep", "how large the contributions are")
def sizes(h, w_out, n):
    return contributions(h, w_out, n).abs()


@wrong("08.keep", "of all tokens together")
def of_the_batch(h, w_out, n):
    size = h.abs() * w_out.norm(dim=0)
    return h * (size >= size.flatten().topk(n).values[-1])


@wrong("08.keep", "along the wrong side")
def by_row(h, w_out, n):
    best = (h.abs() * w_out.norm(dim=1)).topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h


@wrong("08.keep", "the length squared")
def by_squares(h, w_out, n):
    best = (h.abs() * (w_out**2).sum(0)).topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h


@wrong("08.keep", "add up the weights")
def by_sums(h, w_out, n):
    best = (h.abs() * w_out.abs().sum(0)).topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h


@right("08.keep")
def by_threshold(h, w_out, n):
    size = h.abs() * w_out.norm(dim=0)
    return h.where(size >= size.topk(n, dim=-1).values[..., -1:], 0.0)


@right("08.keep")
def token_by_token(h, w_out, n):
    kept = torch.zeros_like(h)
    rows, new = h.reshape(-1, h.shape[-1]), kept.view(-1, h.shape[-1])
    for token, row in enumerate(rows):
        best = (row**2 * (w_out**2).sum(0)).argsort(descending=True)[:n]
        new[token, best] = row[best]
    return kept
