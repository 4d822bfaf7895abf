"""Of each solution's systematic mutants, at least 95 % are rejected; those that are right as well are listed here."""

import pytest
from mutate import changed_line, mutants

from moe_tutorial.course.exercises import EXERCISES

REJECTED = 0.95
LAST = "of two dimensions, 1 is the last"
EQUIVALENT: dict[str, dict[str, str]] = {
    "01.keep_top": {
        "best = contribution.topk(n).indices": "topk goes along the last dimension by itself",
        "best = contribution.topk(n, dim=1).indices": LAST,
        "return torch.zeros_like(contribution).scatter(1, best, 1.0)": LAST,
    },
    "03.route": {
        "probs = logits.softmax(dim=1)": LAST,
        "weights, chosen = probs.topk(k, dim=1)": LAST,
        "weights, chosen = probs.topk(k)": "topk goes along the last dimension by itself",
    },
    "03.topk_then_softmax": {
        "return logits.topk(k, dim=1).values.softmax(dim=-1)": LAST,
        "return logits.topk(k, dim=-1).values.softmax(dim=1)": LAST,
        "return logits.topk(k).values.softmax(dim=-1)": "topk goes along the last dimension by itself",
    },
    "03.my_mixture": {
        "y = y + counts.sum(1, keepdim=True) * expert(x)": LAST,
    },
    "06.noisy_topk": {
        "logits = logits - std * torch.randn_like(logits)": "normal noise has no direction",
        "best, chosen = logits.topk(k)": "topk goes along the last dimension by itself",
        "best, chosen = logits.topk(k, dim=1)": LAST,
        "return (chosen, best.softmax(dim=1))": LAST,
    },
    "06.expected_load": {
        "best = noisy.topk(k + 1).values": "topk goes along the last dimension by itself",
        "best = noisy.topk(k + 1, dim=1).values": LAST,
    },
    "04.can_it_learn": {
        "F.mse_loss(target, output).backward()": "a difference, squared, has no direction",
    },
    "07.switch_loss": {
        "n_experts = probs.shape[1]": LAST,
    },
    "08.peeks": {
        "new = torch.cat([tokens[:, :t], (tokens[:, t:] - 1) % n], dim=1)": "another character, too",
        "new = torch.cat([tokens[:, :t], (tokens[:, t:] + 2) % n], dim=1)": "another character, too",
        "return not torch.allclose(model(tokens)[0][:, :t], model(new)[0][:, :t], atol=1e-05)": "both are compared",
    },
    "12.descend": {
        "logit = (x * node_weight[node]).sum(1) + node_bias[node]": LAST,
    },
    "12.balance": {
        "uneven.append(((left - right) / (right + left)) ** 2)": "a difference, squared, has no direction",
    },
    "08.bits": {
        "pair = expert * (label.max() + 2) + label": "pairs still have numbers of their own",
    },
    "08.keep": {
        "best = (h.abs() * w_out.norm(dim=0)).topk(n).indices": "topk goes along the last dimension by itself",
    },
    "11.kept": {
        "place = (asked.cumsum(0) * asked).sum(1)": LAST,
    },
    "13.choose_path": {
        "return (answers @ ways.T).argmax(1)": LAST,
    },
    "14.published_block": {
        "probs = (x @ weights['gate.weight'].T).softmax(1)": LAST,
        "g = g / g.sum(1, keepdim=True)": LAST,
        "y = y + (g * (chosen == e)).sum(1, keepdim=True) * answer": LAST,
    },
    "14.deepseek_block": {
        "groups = ranking.unflatten(1, (config['n_group'], -1))": LAST,
        "closed = torch.ones_like(groups[..., 0]).scatter(1, best, 0.0).bool()": LAST,
        "closed = torch.ones_like(groups[..., 1]).scatter(-1, best, 0.0).bool()": "only its shape counts",
        "closed = torch.ones_like(groups[..., -1]).scatter(-1, best, 0.0).bool()": "only its shape counts",
        "g = scores.gather(1, chosen)": LAST,
        "g = g / g.sum(1, keepdim=True)": LAST,
        "y = y + (g * (chosen == e)).sum(1, keepdim=True) * expert(f'experts.{e}')": LAST,
    },
    "14.gpt_oss_block": {
        "g = best.softmax(1)": LAST,
        "y = y + (g * (chosen == e)).sum(1, keepdim=True) * answer": LAST,
    },
    "14.alone": {
        "return ((together - alone).norm() / together.norm()).item()": "a distance has no direction",
        "return (alone - together).norm() / together.norm()": "a tensor of one number, too",
    },
    "14.reaches_router": {
        "loss = moe(x)[0].sum()": "a loss, too",
    },
    "14.your_probe": {
        "loss, w = (y.sum(), moe.experts.w_out)": "a loss, too",
        "gradient, = torch.autograd.grad(loss, w, materialize_grads=True)": "which allows it, too",
        "gradient, = torch.autograd.grad(loss, w, allow_unused=True)": "a probe, too",
        "gradient, = torch.autograd.grad(loss, w, allow_unused=True, materialize_grads=False)": "a probe, too",
        "return 1 - float(gradient[routing.indices].flatten(1).any(-1).all())": "a probe, too",
        "return 1 - float(gradient[routing.indices].flatten(2).any(-0).all())": "a probe of this kind, too",
    },
}
"""Exercise -> a mutant's changed line -> why it is right all the same."""


def passes(exercise, source: str) -> bool:
    try:
        return exercise.examine(exercise.written(source)).passed
    except SyntaxError:
        return False


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("id", EXERCISES)
def test_mutants_are_rejected(id, every):
    exercise = EXERCISES[id]
    lines = {mutant: changed_line(exercise.solution, mutant) for mutant in mutants(exercise.solution)}
    asked = [mutant for mutant, line in lines.items() if line not in EQUIVALENT.get(id, {})][::every]
    left = [lines[mutant] for mutant in asked if passes(exercise, mutant)]
    assert len(left) <= (1 - REJECTED) * len(asked), left


@pytest.mark.parametrize("id", EQUIVALENT)
def test_what_is_called_equivalent_is_a_mutant_and_passes(id):
    exercise = EXERCISES[id]
    found = {changed_line(exercise.solution, mutant): mutant for mutant in mutants(exercise.solution)}
    for line, reason in EQUIVALENT[id].items():
        assert reason, line
        assert passes(exercise, found[line]), line
