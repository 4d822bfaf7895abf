import pytest
import torch
from torch import nn

from moe_tutorial.layers import BiasBalancer, FastFeedForward, MixtureOfExperts
from moe_tutorial.study import TrainingDiverged, max_share, regimes_2d, seeds, share, train

DATA = regimes_2d(n=200)


def mixture():
    return MixtureOfExperts(2, 4, 4, 1, d_out=2)


def test_many_seeds_at_once_are_the_same_seeds_one_by_one():
    before = torch.get_rng_state()
    together = train(mixture, DATA, [5, 6, 7], steps=40)
    assert torch.equal(torch.get_rng_state(), before)  # the caller's
    for place, seed in enumerate([5, 6, 7]):
        alone = train(mixture, DATA, [seed], steps=40)
        torch.testing.assert_close(together.losses[:, place], alone.losses[:, 0], rtol=1e-4, atol=1e-5)
        for name, value in alone.parameters.items():
            torch.testing.assert_close(together.parameters[name][place], value[0], rtol=1e-3, atol=1e-4)


def test_it_is_the_loop_that_everybody_writes():
    trained = train(mixture, DATA, [3], steps=30, batch_size=16, learning_rate=0.02)
    torch.manual_seed(3)
    model = mixture()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    rows = torch.randint(200, (30, 16), generator=torch.Generator().manual_seed(3))
    for step in range(30):
        loss = nn.functional.cross_entropy(model(DATA.x_train[rows[step]])[0], DATA.y_train[rows[step]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert trained.losses[step, 0] == pytest.approx(loss.item(), rel=1e-3)
    one = trained.one(0)
    for name, value in model.named_parameters():
        torch.testing.assert_close(one.get_parameter(name).detach(), value.detach(), rtol=1e-3, atol=1e-4)


def test_it_learns_and_accuracy_is_one_number_a_seed():
    trained = train(mixture, DATA, [1, 2, 3], steps=300)
    accuracy = trained.accuracy(DATA.x_test, DATA.y_test)
    assert accuracy.shape == (3,)
    assert len(trained) == 3
    assert trained.losses.shape == (300, 3)
    assert (accuracy > 0.6).all()
    scores = trained.scores(DATA.x_test)
    torch.testing.assert_close(scores[1], trained.one(1).eval()(DATA.x_test)[0].detach(), rtol=1e-4, atol=1e-5)


def test_a_frozen_parameter_stays_and_the_others_move():
    start = {}
    trained = train(
        mixture,
        DATA,
        [1, 2],
        steps=20,
        freeze=["router.weight"],
        on_step=lambda step, now: start or start.update({n: p.detach().clone() for n, p in now.parameters.items()}),
    )
    assert torch.equal(trained.parameters["router.weight"], start["router.weight"])
    assert not torch.equal(trained.parameters["experts.w_in"], start["experts.w_in"])


def test_a_penalty_on_the_routing_is_felt_and_knows_the_step():
    steps = []

    def uneven(routing, step):
        steps.append(step)
        return 100 * (routing.probs.mean(0) - 0.25).square().sum()

    def unevenness(penalty):
        trained = train(mixture, DATA, [1, 2, 3], steps=200, penalty=penalty)
        return (trained(DATA.x_test)[1].probs.mean(1) - 0.25).square().sum().item()

    assert unevenness(uneven) < 0.5 * unevenness(None)
    assert steps == list(range(200))


def test_each_seed_has_noise_of_its_own():
    noisy = train(lambda: MixtureOfExperts(2, 4, 4, 1, noise=1.0, d_out=2), DATA, [1, 2], steps=1)
    noisy.model.train()
    routing = noisy(DATA.x_test)[1]
    noise = routing.noisy_logits - routing.logits
    assert not torch.allclose(noise[0], noise[1], atol=1e-3)  # the difference of two logits is rounded


def test_on_step_sees_the_routing_of_the_step_before_and_may_move_a_bias_by_it():
    """Balancing without a loss: the bias is a buffer, moved between the steps."""
    balancer, chosen, seen = BiasBalancer(0.01), [], []

    def balance(step, trained):
        seen.append(step)
        if step == 0:
            assert trained.last_routing is None
            return
        assert trained.last_routing.indices.shape == (3, 128, 1)
        balancer.update(trained.buffers["router.bias"], trained.last_routing.indices)
        chosen.append(max_share(share(trained.last_routing.indices, 4)).mean())

    uncentred = DATA._replace(x_train=DATA.x_train + 1)
    train(lambda: MixtureOfExperts(2, 4, 4, 1, d_out=2, bias=True), uncentred, [1, 2, 3], steps=200, on_step=balance)
    assert seen == list(range(201))  # every step, and the end
    assert chosen[0] > 0.6
    assert sum(chosen[-50:]) / 50 < 0.4


def test_scores_and_routing_are_asked_for_in_evaluation():
    def noisy():
        return MixtureOfExperts(2, 4, 3, 1, d_out=2, noise=5.0)

    trained = train(noisy, DATA, [0, 1], steps=2)
    assert torch.equal(trained.scores(DATA.x_test), trained.scores(DATA.x_test))
    assert torch.equal(trained.routing(DATA.x_test).indices, trained.routing(DATA.x_test).indices)
    assert not torch.equal(trained(DATA.x_test)[1].indices, trained(DATA.x_test)[1].indices)
    assert trained.model.training  # and the mode comes back


@pytest.mark.parametrize("dispatch", ["sparse", "dense"])
def test_routing_and_shares_are_those_of_each_seeds_own_model_which_computes_as_it_was_built(dispatch):
    trained = train(lambda: MixtureOfExperts(2, 4, 4, 2, d_out=2, dispatch=dispatch), DATA, [1, 2, 3], steps=5)
    routing, shares = trained.routing(DATA.x_test), trained.shares(DATA.x_test)
    assert routing.indices.shape == (3, 200, 2)
    assert routing.probs.requires_grad is False
    assert trained.model.dispatch == "dense"
    for seed in range(3):
        one = trained.one(seed)
        assert one.dispatch == dispatch
        own = one.eval()(DATA.x_test)[1]
        assert torch.equal(routing.indices[seed], own.indices)
        torch.testing.assert_close(shares[seed], share(own.indices, 4))


def test_trees_are_put_into_the_dispatch_that_a_stack_needs_and_come_back_too():
    trained = train(lambda: FastFeedForward(2, 2, 3, 4), DATA, [1, 2], steps=5)
    descent, shares = trained.routing(DATA.x_test), trained.shares(DATA.x_test)
    assert shares.shape == (2, 8)
    for seed in range(2):
        tree = trained.one(seed).eval()
        assert tree.dispatch == "sparse"
        answer, own = tree(DATA.x_test)
        assert torch.equal(descent.leaf[seed], own.leaf)
        torch.testing.assert_close(shares[seed], own.leaf.bincount(minlength=8) / 200)
        torch.testing.assert_close(trained.scores(DATA.x_test)[seed], answer.detach(), atol=1e-5, rtol=1e-4)


def test_a_loss_that_is_not_a_number_stops_at_that_step_and_says_which_seed():
    steps = []

    def poison(step, trained):
        steps.append(step)
        if step == 7:
            with torch.no_grad():
                trained.parameters["experts.b_out"][1] = float("nan")

    with pytest.raises(TrainingDiverged, match=r"loss became nan at step 7 \(seed 22\)"):
        train(mixture, DATA, [11, 22], steps=20, on_step=poison)
    assert steps[-1] == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0, got 0.0"),
        ({"freeze": ["gate.weight"]}, "freeze names .*router.weight"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        train(mixture, DATA, **{"seeds": [1], "steps": 2} | changes)


def test_seed_bases_share_no_seed(monkeypatch):
    assert seeds(3) == [0, 1, 2]
    monkeypatch.setenv("MOE_SEED", "7")
    assert seeds(3) == [7000, 7001, 7002]
    monkeypatch.setenv("MOE_SEED", str(10**12))
    torch.Generator().manual_seed(seeds(3)[-1])


@pytest.mark.parametrize("text", ["-1", "", "seven", str(10**12 + 1)])
def test_a_bad_seed_base_is_named(monkeypatch, text):
    monkeypatch.setenv("MOE_SEED", text)
    with pytest.raises(ValueError, match=f"MOE_SEED is '{text}'"):
        seeds(3)
