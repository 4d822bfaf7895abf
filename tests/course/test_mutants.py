"""Of each solution's systematic mutants, at least 95 % are rejected; those that are right as well are listed here."""

import ast

import pytest
from mutate import changed_line, mutants

from moe_tutorial.course.exercises import EXERCISES

REJECTED = 0.95
TABLES = {"01.keep_top", "03.route", "03.topk_then_softmax", "03.my_mixture", "06.noisy_topk"}
TABLES |= {"07.switch_loss", "11.kept", "12.descend", "13.path_layer", "13.choose_path"}
TABLES |= {"14.published_block", "14.gpt_oss_block"}
"""Exercises on tables, where the last axis is 1 as well as -1, and topk's own choice."""
LAST = "of two dimensions, 1 is the last"
EQUIVALENT: dict[str, dict[str, str]] = {
    "06.noisy_topk": {
        "logits = logits - std * torch.randn_like(logits)": "normal noise has no direction",
    },
    "08.peeks": {
        "new = torch.cat([tokens[:, :t], (tokens[:, t:] - 1) % n], dim=1)": "another character, too",
        "new = torch.cat([tokens[:, :t], (tokens[:, t:] + 2) % n], dim=1)": "another character, too",
        "return not torch.allclose(model(tokens)[0][:, :t], model(new)[0][:, :t], atol=1e-05)": "both are compared",
    },
    "11.place": {
        "owner = torch.zeros(len(load))": "a machine's number, as a float, too",
        "for expert in load.argsort(descending=True):": "any order among equally popular experts",
        "for expert in load.argsort(descending=True, stable=False):": "any order among equally popular experts",
    },
    "12.balance": {
        "uneven.append(((left - right) / (right + left)) ** 2)": "a difference, squared, has no direction",
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
    "14.alone": {
        "return ((together - separate).norm() / together.norm()).item()": "a distance has no direction",
        "return (separate - together).norm() / together.norm()": "a tensor of one number, too",
    },
    "14.reaches_router": {
        "loss = moe(x)[0].sum()": "a loss, too",
    },
    "14.your_probe": {
        "return (routing.probs.gather(-1, routing.indices) - routing.weights).norm().item()": "has no direction",
        "return (routing.weights - routing.probs.gather(-1, routing.indices)).norm()": "a tensor of one number, too",
        "return (routing.weights - routing.probs.gather(1, routing.indices)).norm().item()": LAST,
    },
}
"""Exercise -> a mutant's changed line -> why it is right all the same."""


def passes(exercise, source: str) -> bool:
    try:
        return exercise.examine(exercise.written(source)).passed
    except SyntaxError:
        return False


def by_last_axis(source: str) -> str:
    return source.replace("-1", "1").replace(", dim=1)", ")")


def divided(id: str) -> tuple[dict[str, str], dict[str, str]]:
    """Mutant -> its changed line: of those that are to be rejected, and of those that are called equivalent."""
    solution = ast.unparse(ast.parse(EXERCISES[id].solution))
    wrong, right = {}, {}
    for mutant in mutants(solution):
        line = changed_line(solution, mutant)
        in_a_table = id in TABLES and by_last_axis(mutant) == by_last_axis(solution)
        (right if in_a_table or line in EQUIVALENT.get(id, {}) else wrong)[mutant] = line
    return wrong, right


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("id", EXERCISES)
def test_mutants_are_rejected(id, every):
    wrong, _ = divided(id)
    asked = list(wrong)[::every]
    left = [wrong[mutant] for mutant in asked if passes(EXERCISES[id], mutant)]
    assert len(left) <= (1 - REJECTED) * len(asked), left


@pytest.mark.parametrize("id", sorted(TABLES | EQUIVALENT.keys()))
def test_what_is_called_equivalent_is_a_mutant_and_passes(id):
    _, right = divided(id)
    assert right
    assert set(right.values()) >= EQUIVALENT.get(id, {}).keys()
    assert [line for mutant, line in right.items() if not passes(EXERCISES[id], mutant)] == []
