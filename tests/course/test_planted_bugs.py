"""The planted bugs of lesson 14: one mixture is the package's, and each of the others does what its bug says."""

import copy
import re

import pytest
import torch

from moe_tutorial import study
from moe_tutorial.course.checks.from_10.lesson_14 import UNSEEN
from moe_tutorial.course.lesson import Lesson
from moe_tutorial.course.planted_bugs import MUTANTS, NOT_MEANT, SUSPECTS, suspect
from moe_tutorial.layers import BiasBalancer, MixtureOfExperts

D, H, E, K, T = 12, 8, 8, 2, 40
SOUND, *BUGS = SUSPECTS


def drawn(bug: str) -> MixtureOfExperts:
    torch.manual_seed(0)
    moe = suspect(bug, D, d_out=5)
    torch.nn.init.normal_(moe.router.bias, std=0.1)
    return moe.eval()


def right() -> MixtureOfExperts:
    """The package's own mixture with the same weights."""
    moe = MixtureOfExperts(D, H, E, K, d_out=5, bias=True)
    moe.load_state_dict(drawn(SOUND).state_dict())
    return moe.eval()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(T, D, generator=torch.Generator().manual_seed(1))


def table(weights: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(weights), E).scatter(-1, indices, weights)


def answer(moe: MixtureOfExperts, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """What the experts say, with these weights (T, E)."""
    return torch.einsum("te,teo->to", weights, moe.experts(x))


def test_all_have_the_same_parameters_and_say_what_they_do():
    assert (SOUND, len(SUSPECTS), len(MUTANTS)) == ("nothing is wrong", 9, 17)
    assert set(NOT_MEANT) == {"sigmoid for softmax", "weights divided by their sum", "logits divided by a root"}
    assert len(SUSPECTS | MUTANTS | NOT_MEANT) == 29
    shapes = {bug: {n: t.shape for n, t in drawn(bug).state_dict().items()} for bug in SUSPECTS | MUTANTS | NOT_MEANT}
    assert all(other == shapes[SOUND] for other in shapes.values())
    for bug, part in (SUSPECTS | MUTANTS | NOT_MEANT).items():
        assert part.__doc__.startswith(f"{bug}: ")


def test_one_is_right(x):
    torch.testing.assert_close(drawn(SOUND)(x)[0], right()(x)[0])


def test_each_bug_is_what_its_name_says(x):
    good = right()
    _, routing = good(x)
    probs, indices, weights = routing.probs, routing.indices, routing.weights
    expected = {
        "bias in the weights": table((probs + good.router.bias).gather(-1, indices), indices),
        "last answer wins": table(weights * (indices == indices.amax(-1, keepdim=True)), indices),
        "expert 0 answers all": table(weights, indices).sum(-1, keepdim=True) * torch.eye(E)[0],
    }
    for bug, by_hand in expected.items():
        torch.testing.assert_close(drawn(bug)(x)[0], answer(good, x, by_hand), msg=lambda m, bug=bug: f"{bug}: {m}")

    scores = {
        "softmax twice": probs.softmax(-1),
        "softmax over the tokens": routing.logits.softmax(0),
    }
    for bug, score in scores.items():
        chosen = (score + good.router.bias).topk(K).indices
        by_hand = answer(good, x, table(score.gather(-1, chosen), chosen))
        torch.testing.assert_close(drawn(bug)(x)[0], by_hand, msg=lambda m, bug=bug: f"{bug}: {m}")


def test_late_tokens_are_dropped_where_their_expert_is_full(x):
    good, room = right(), 1.25 * T * K / E
    _, routing = good(x)
    taken, by_hand = torch.zeros(E), torch.zeros(T, E)
    for t in range(T):
        for e, weight in zip(routing.indices[t].tolist(), routing.weights[t], strict=True):
            taken[e] += 1
            if taken[e] <= room:
                by_hand[t, e] = weight
    assert (by_hand > 0).sum() < T * K
    torch.testing.assert_close(drawn("late tokens dropped")(x)[0], answer(good, x, by_hand))


def test_noise_in_evaluation_is_another_answer_each_time(x):
    noisy = drawn("noise in evaluation")
    assert not torch.equal(noisy(x)[0], noisy(x)[0])


@pytest.mark.parametrize("name", [name for name in MUTANTS | NOT_MEANT if name != "experts cut off"])
def test_a_mistake_answers_differently(name, x):
    tolerance = 1e-6 if name == "logits in bfloat16" else 1e-3
    assert not torch.allclose(drawn(name)(x)[0], right()(x)[0], atol=tolerance)


@pytest.mark.parametrize(
    ("name", "cut", "learns"),
    [
        ("router cut off", "router.weight", "experts.w_in"),
        ("experts cut off", "experts.w_in", "router.weight"),
    ],
)
def test_what_is_cut_off_answers_right_and_gets_no_gradient(name, cut, learns, x):
    moe = drawn(name)
    y = moe(x)[0]
    torch.testing.assert_close(y, right()(x)[0])
    y.sum().backward()
    assert moe.get_parameter(cut).grad is None
    assert moe.get_parameter(learns).grad.any()


def test_no_probe_of_the_lesson_accuses_a_right_mixture_that_has_learned(root):
    lesson = {"BiasBalancer": BiasBalancer, "suspect": suspect, "torch": torch} | vars(study) | {"copy": copy}
    begin = ("def gap(", "# Measured: nine", "def twice(", "def alone(", "# Ready: six more probes.")
    for cell in Lesson.read(root / "notebooks/14_capstone.py").cells:
        if cell.source.startswith(begin):
            exec(re.split(r"\n\n\n(?:for|test) ", cell.source)[0], lesson)
    x, learned = lesson["rules"].x_test[:96], lesson["learned"](SOUND)
    assert not [p.__name__ for n in range(10) for p in lesson["READY"] if not p(learned.one(n).eval(), x) < 1e-3]


def test_the_tenth_probe_has_to_catch_one_of_those_that_the_lesson_lists(root):
    cells = Lesson.read(root / "notebooks/14_capstone.py").cells
    (listed,) = (cell.source for cell in cells if "UNASKED = {" in cell.source)
    assert re.findall(r'^    "([^"]+)": ', listed, re.MULTILINE) == UNSEEN


def test_another_bug_is_named():
    with pytest.raises(ValueError, match=r"bug must be one of 'nothing is wrong', .*, got 'magic'"):
        suspect("magic")
