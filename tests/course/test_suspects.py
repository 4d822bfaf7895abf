"""The suspects of lesson 14: one is the package's mixture, and each of the others does what its bug says."""

import copy

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from moe_tutorial.course.suspects import BUGS, MUTANTS, SUSPECTS, accuse, mutant, suspect
from moe_tutorial.layers import MixtureOfExperts

LETTER = {bug: letter for letter, (bug, _, _) in SUSPECTS.items()}
D, H, E, K, T = 12, 6, 8, 2, 40


def drawn(bug: str) -> MixtureOfExperts:
    torch.manual_seed(0)
    moe = suspect(LETTER[bug], D, H, E, K, d_out=5)
    torch.nn.init.normal_(moe.router.bias, std=0.1)
    return moe.eval()


def right() -> MixtureOfExperts:
    """The package's own mixture with the same weights."""
    moe = MixtureOfExperts(D, H, E, K, d_out=5, bias=True)
    moe.load_state_dict(drawn("nothing").state_dict())
    return moe.eval()


def wrong(name: str) -> MixtureOfExperts:
    """The mixture with this mistake and the same weights."""
    moe = mutant(name, D, H, E, K, d_out=5)
    moe.load_state_dict(drawn("nothing").state_dict())
    return moe.eval()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(T, D, generator=torch.Generator().manual_seed(1))


def table(weights: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(weights), E).scatter(-1, indices, weights)


def answer(moe: MixtureOfExperts, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """What the experts say, with these weights (T, E)."""
    return torch.einsum("te,teo->to", weights, moe.experts(x))


def test_every_bug_has_one_letter_and_all_have_the_same_parameters():
    assert len(BUGS) == len(set(BUGS)) == len(SUSPECTS) == len(LETTER) == 9
    assert "nothing" in BUGS
    shapes = {bug: {n: t.shape for n, t in drawn(bug).state_dict().items()} for bug in BUGS}
    assert all(other == shapes["nothing"] for other in shapes.values())


def test_one_is_right(x):
    torch.testing.assert_close(drawn("nothing")(x)[0], right()(x)[0])


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug not in ("nothing", "router cut off")])
def test_the_others_answer_differently(bug, x):
    assert not torch.allclose(drawn(bug)(x)[0], right()(x)[0], atol=1e-3)


def test_each_bug_is_what_its_name_says(x):
    good = right()
    _, routing = good(x)
    probs, indices, weights = routing.probs, routing.indices, routing.weights
    expected = {
        "bias in the weights": table((probs + good.router.bias).gather(-1, indices), indices),
        "last answer wins": table(weights * (indices == indices.amax(-1, keepdim=True)), indices),
        "one expert under every name": table(weights, indices).sum(-1, keepdim=True) * torch.eye(E)[0],
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


def test_a_router_cut_off_answers_right_and_gets_no_gradient(x):
    deaf = drawn("router cut off")
    y = deaf(x)[0]
    torch.testing.assert_close(y, right()(x)[0])
    y.sum().backward()
    assert deaf.router.weight.grad is None
    assert deaf.experts.w_in.grad is not None


@pytest.mark.parametrize("name", [name for name in MUTANTS if name != "experts cut off"])
def test_a_mistake_has_the_same_weights_and_answers_differently(name, x):
    tolerance = 1e-6 if name == "logits in bfloat16" else 1e-3
    assert not torch.allclose(wrong(name)(x)[0], right()(x)[0], atol=tolerance)


def test_experts_cut_off_answer_right_and_get_no_gradient(x):
    moe = wrong("experts cut off")
    y = moe(x)[0]
    torch.testing.assert_close(y, right()(x)[0])
    y.sum().backward()
    assert moe.experts.w_in.grad is None
    assert moe.experts.w_out.grad is None
    assert moe.router.weight.grad.any()


def test_each_mistake_is_what_its_name_says(x):
    good = right()
    _, routing = good(x)
    logits, probs, indices, weights = routing.logits, routing.probs, routing.indices, routing.weights
    asked = table(torch.ones_like(weights), indices)
    by_hand = {
        "weights divided by their sum": answer(good, x, table(weights / weights.sum(-1, keepdim=True), indices)),
        "weights in the other order": answer(good, x, table(weights.flip(-1), indices)),
        "weights squared": answer(good, x, table(weights**2, indices)),
        "logits as weights": answer(good, x, table(logits.gather(-1, indices), indices)),
        "mean for sum": good(x)[0] / K,
        "second answer forgotten": answer(good, x, table(weights[:, :1], indices[:, :1])),
        "output bias not weighted": good(x)[0] + (asked - table(weights, indices)) @ good.experts.b_out,
    }
    rankings = {  # the scores, and the choice
        "the best left out": (probs, (probs + good.router.bias).argsort(-1, descending=True)[:, 1 : K + 1]),
        "the least likely chosen": (probs, (probs + good.router.bias).argsort(-1)[:, :K]),
        "selection bias subtracted": (probs, (probs - good.router.bias).topk(K).indices),
        "sigmoid for softmax": (logits.sigmoid(), (logits.sigmoid() + good.router.bias).topk(K).indices),
    }
    for cooled, score in (
        ("logits divided by a root", logits / D**0.5),
        ("router reads the neighbour", good.router(x.roll(1, 0)).logits),
        ("router input centred over the batch", good.router(x - x.mean(0)).logits),
    ):
        rankings[cooled] = (score.softmax(-1), (score.softmax(-1) + good.router.bias).topk(K).indices)
    for name, (score, chosen) in rankings.items():
        by_hand[name] = answer(good, x, table(score.gather(-1, chosen), chosen))

    neurons = torch.einsum("td,ehd->teh", x, good.experts.w_in)
    for name, hidden in (
        ("activation forgotten", neurons + good.experts.b_in),
        ("hidden bias forgotten", neurons.relu()),
    ):
        said = torch.einsum("teh,eho->teo", hidden, good.experts.w_out) + good.experts.b_out
        by_hand[name] = torch.einsum("te,teo->to", table(weights, indices), said)
    by_hand["token weighted, not the answer"] = sum(
        good.experts(weights[:, [n]] * x)[torch.arange(T), indices[:, n]] for n in range(K)
    )
    assert len(by_hand) == len(MUTANTS) - 3  # bfloat16, cut off and dropout have no sum to write down
    for name, expected in by_hand.items():
        torch.testing.assert_close(wrong(name)(x)[0], expected, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("letter", SUSPECTS)
def test_seeds_train_at_once(letter, x):
    models = [suspect(letter, D, H, E, K, d_out=5) for _ in range(3)]
    parameters, buffers = stack_module_state(models)
    model = copy.deepcopy(models[0])

    def one(parameters, buffers):
        return functional_call(model, (parameters, buffers), (x,))[0]

    together = vmap(one, randomness="different")(parameters, buffers)
    assert together.shape == (3, T, 5)
    if letter != LETTER["noise in evaluation"]:  # whose draws differ
        torch.testing.assert_close(together[1], models[1](x)[0])


def test_verdicts_are_answered(capsys):
    accuse(**{LETTER["softmax twice"]: "softmax twice", LETTER["nothing"]: "last answer wins"})
    printed = capsys.readouterr().out
    assert f"{LETTER['softmax twice']}: right, softmax twice" in printed
    assert f"{LETTER['nothing']}: no, last answer wins" in printed
    assert "1 of 9 solved" in printed


def test_bad_verdicts_and_letters_are_named():
    with pytest.raises(ValueError, match="the suspects are A, B, C, D, E, F, G, H, I, got Z"):
        accuse(Z="nothing")
    with pytest.raises(ValueError, match=r"A must be one of 'bias in the weights', .*, got 'magic'"):
        accuse(A="magic")
    with pytest.raises(ValueError, match=r"letter must be one of A, B, .*, got 'z'"):
        suspect("z")
    with pytest.raises(ValueError, match=r"name must be one of 'router input .*, got 'magic'"):
        mutant("magic")
