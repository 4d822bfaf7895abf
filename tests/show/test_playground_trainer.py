"""A learner's own layer in the playground: its training, what it disturbs, when its thread lives, what is refused."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from front_end import draw_at_once as watch
from front_end import say
from IPython.core.interactiveshell import InteractiveShell
from torch import nn
from traitlets.config import Config

from moe_tutorial.layers import HashRouter, MixtureOfExperts, importance_loss, switch_loss
from moe_tutorial.show import playground
from moe_tutorial.show.playground.engines import trainer
from moe_tutorial.study import digits, regimes_2d

DATA = regimes_2d(256)
made = []  # by the test that runs


@pytest.fixture(autouse=True)
def _in_jupyterlab(monkeypatch):
    """Panels start paused at step 0, and what a test has started ends with it."""
    monkeypatch.setenv("JPY_SESSION_NAME", "test.ipynb")
    monkeypatch.delenv("MOE_SITE", raising=False)
    yield
    for widget in list(made):
        widget.pause()
    made.clear()
    until(lambda: threads() == [])


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "moe-live"]


def mixture(n_experts=4, top_k=1, seed=0, d=2, classes=2, **options):
    torch.manual_seed(seed)
    return MixtureOfExperts(d, 8, n_experts, top_k, d_out=classes, **options)


def panel(layer=None, data=DATA, **options):
    made.append(playground(layer or mixture(), data, **options))
    return made[-1]


def recorded(layer=None, data=DATA, **options):
    """What the page cannot train: a loss of the learner's own."""
    return panel(layer, data, balance=lambda routing: routing.probs.mean(0).square().sum(), **options)


def until(met, seconds=5):
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def history(panel):
    """Rows of the step, the task loss, the balance term, the router's gradient and the shares."""
    return np.frombuffer(panel.frame["history"], np.float32).reshape(-1, 4 + panel.frame["settings"]["E"])


def seen(panel):
    """What is shown, without what differs between equal panels: how many frames there were."""
    return {name: value for name, value in panel.frame.items() if name != "number"}


def ask(panel, **content):
    say(panel, content)


def move(panel, **knobs):
    ask(panel, set=knobs, serial=panel.frame["serial"] + 1)


def parameters(layer):
    return torch.cat([p.detach().flatten().clone() for p in layer.parameters()])


def test_the_same_seed_steps_and_settings_give_the_same_numbers():
    """And it starts paused, without a thread."""
    one, two = (panel(mixture(noise=0.5), balance=switch_loss, coefficient=0.1, seed=3) for _ in range(2))
    assert (one.step, one.running, threads()) == (0, False, [])
    assert repr(one) == "Playground: a layer of your own to train, at step 0 (interactive)"
    one.advance(100)
    for _ in range(10):
        torch.rand(7)  # the learner's own numbers do not matter
        two.advance(10)
    assert seen(one) == seen(two)
    assert torch.equal(parameters(one.layer), parameters(two.layer))
    assert not torch.equal(parameters(one.layer), parameters(panel(mixture(noise=0.5), seed=4).layer))


def test_it_learns_and_measures_what_the_layer_then_does():
    one = panel()
    one.advance(300)
    with torch.no_grad():
        right = one.layer.eval()(DATA.x_test)[0].argmax(-1) == DATA.y_test
    assert one.frame["now"]["accuracy"] == pytest.approx(right.float().mean().item())
    assert one.frame["now"]["accuracy"] > 0.85
    task = history(one)[:, 1]
    assert task[-1] < 0.5 * task[0]


def test_training_by_itself_takes_the_same_steps_as_advance():
    one, two = watch(panel(mixture(noise=0.3))), panel(mixture(noise=0.3))
    one.start()
    until(lambda: one.step > 60)
    one.pause()
    two.advance(one.step)
    assert torch.equal(parameters(one.layer), parameters(two.layer))
    assert seen(one) == seen(two)


def test_reset_gives_back_the_first_picture_and_the_first_layer():
    one = panel(mixture(noise=0.5))
    first, start = seen(one), parameters(one.layer)
    one.advance(50)
    assert not torch.equal(parameters(one.layer), start)
    one.reset()
    assert (seen(one), one.step) == (first, 0)
    assert torch.equal(parameters(one.layer), start)
    one.advance(50)
    again = seen(one)
    one.reset()
    one.advance(50)
    assert seen(one) == again


def test_the_learners_random_numbers_are_not_touched():
    torch.manual_seed(5)
    expected = torch.rand(3)
    layer = mixture(noise=1.0)
    torch.manual_seed(5)
    one = watch(panel(layer))
    one.advance(10)
    move(one, noise=0.5)
    one.start()
    until(lambda: one.step > 30)
    one.pause()
    one.reset()
    assert torch.equal(torch.rand(3), expected)


def test_each_slider_takes_effect_and_the_frame_names_the_move():
    one = watch(panel(balance=switch_loss))
    before = history(one)[-1]
    for knobs in ({"noise": 2.0}, {"coefficient": 10.0}, {"k": 2}, {"rate": 0.5}):
        serial = one.frame["serial"]
        move(one, **knobs)
        until(lambda serial=serial: one.frame["serial"] == serial + 1)
        assert one.frame["settings"].items() >= knobs.items()
    until(lambda: threads() == [])
    assert (one.layer.router.noise, one.layer.router.top_k) == (2.0, 2)
    assert one.step == 0
    after = history(one)[-1]
    assert after[2] > 9 * before[2] > 0
    assert (after[4:] != before[4:]).any()
    start = parameters(one.layer)
    one.advance(1)
    assert (parameters(one.layer) - start).abs().max() == pytest.approx(0.5, rel=0.01)  # Adam's first step is the rate
    for knobs, kept in (({"rate": 0.1}, 1), ({"noise": 1.0}, 0)):  # choices with other settings do not count
        serial = one.frame["serial"]
        move(one, **knobs)
        until(lambda serial=serial: one.frame["serial"] == serial + 1)
        assert one.frame["recent"] == kept


def test_however_often_its_cell_is_run_one_thread_is_left_and_none_after_a_pause():
    layer = mixture()
    for _ in range(10):
        one = watch(panel(layer))
        one.start()
        time.sleep(0.03)
    until(lambda: len(threads()) == 1)
    until(lambda: one.step > 5)
    one.pause()
    assert threads() == []
    others = [watch(panel()), watch(panel())]
    number = one.frame["number"]
    for other in others:
        other.start()
    until(lambda: len(threads()) == 1)
    assert [other.running for other in others] == [False, True]
    others[1].close()
    until(lambda: threads() == [])
    assert one.frame["number"] == number  # a panel at rest stays at rest


def test_without_a_page_that_answers_it_pauses_and_can_be_started_again(monkeypatch):
    monkeypatch.setattr(trainer, "ANSWER", 0.6)  # in which ten frames would fit
    monkeypatch.setattr(trainer, "ON_THE_WAY", 2)
    one = panel()
    one.start()
    until(lambda: not one.running)
    until(lambda: threads() == [])
    assert one.step > 0
    assert one.frame["running"] is False
    number = one.frame["number"]
    assert number <= trainer.ON_THE_WAY + 2
    monkeypatch.setattr(trainer, "ANSWER", 10.0)  # on a busy machine an answer may take longer than 0.6 s
    step = one.step
    watch(one).start()
    until(lambda: one.step > step + 5)
    assert one.running


@pytest.fixture
def cell():
    """Runs a function as a notebook's cell, in a shell of IPython's."""
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))

    def cell(function):
        shell.push({"function": function})
        shell.run_cell("result = function()").raise_error()
        return shell.user_ns["result"]

    yield cell
    shell.events.callbacks = {name: [] for name in shell.events.callbacks}
    InteractiveShell.clear_instance()


def test_it_waits_while_a_cell_runs_which_may_advance_and_pause_it(cell):
    one = cell(lambda: watch(panel()))
    one.start()
    until(lambda: one.step > 5)

    def waits():
        step, frame = one.step, one.frame["number"]
        time.sleep(0.2)  # in which nothing may happen
        assert (one.step, one.frame["number"], len(threads())) == (step, frame, 1)
        one.advance(2)  # the cell's own
        assert one.step == step + 2
        return step

    def pauses():
        one.pause()
        assert threads() == []
        assert (one.frame["running"], one.frame["step"]) == (False, one.step)

    step = cell(waits)
    until(lambda: one.step > step + 5)
    cell(pauses)


def test_a_layer_that_raises_is_shown_and_a_reset_recovers():
    class Fragile(nn.Module):
        broken = False

        def __init__(self):
            super().__init__()
            self.inner = mixture()

        def forward(self, x):
            if self.broken:
                raise ZeroDivisionError("the learner's mistake")
            return self.inner(x)

    one = watch(panel(Fragile()))
    one.start()
    until(lambda: one.step > 5)
    one.layer.broken = True
    until(lambda: one.frame["error"])
    assert one.frame["error"] == "ZeroDivisionError: the learner's mistake"
    until(lambda: threads() == [])
    assert not one.running
    one.layer.broken = False
    ask(one, do="reset")
    until(lambda: not one.frame["error"] and one.frame["step"] == 0)


def test_a_loss_that_is_not_a_number_stops_before_the_update():
    one = watch(panel(balance=lambda routing: routing.logits.sum() / 0 * 0, coefficient=0))
    move(one, coefficient=1.0)
    until(lambda: "the loss became nan" in one.frame["error"])
    before = parameters(one.layer)
    with pytest.raises(trainer.TrainingDiverged, match="the loss became nan at step 0"):
        one.advance(1)
    assert torch.equal(parameters(one.layer), before)
    move(one, coefficient=0.0)
    until(lambda: not one.frame["error"])


@pytest.mark.parametrize("site", [True, False])
def test_where_there_is_no_jupyterlab_what_the_page_cannot_train_is_trained_at_once(monkeypatch, site):
    monkeypatch.setenv("MOE_SITE", "1") if site else monkeypatch.delenv("JPY_SESSION_NAME")
    one, two = recorded(steps=40), recorded(steps=40)
    assert (one.step, one.frame["running"], threads()) == (40, False, [])
    assert seen(one) == seen(two)
    assert history(one)[:, 0].tolist() == list(range(41))
    assert recorded().step == 200
    assert panel().frame == {}  # the page trains one like it


def test_a_page_stays_small_however_long_the_training():
    one = panel(mixture(16, d=64, classes=10), digits())
    one.advance(1500)
    steps = history(one)[:, 0]
    assert len(steps) <= trainer.MAX_HISTORY + 1
    assert (steps[0], steps[-1]) == (0, 1500)
    assert len(set(np.diff(steps[:-1]))) == 1
    assert sum(len(value) for value in one.frame.values() if isinstance(value, bytes)) < 60_000
    assert "plane" not in one.frame  # of points of another width there is no map


class Own(nn.Module):
    """A learner's class that has no router."""

    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(2, 3), nn.Linear(2, 6)

    def forward(self, x):
        logits = self.gate(x)
        indices = logits.topk(1).indices
        answers = self.experts(x).view(-1, 3, 2)[torch.arange(len(x)), indices[:, 0]]
        return answers * logits.softmax(-1).gather(-1, indices), SimpleNamespace(indices=indices, logits=logits)


def test_a_class_of_ones_own_needs_no_router():
    one = panel(Own())
    one.advance(20)
    assert one.frame["can"] == ["rate", "batch"]
    assert np.isnan(history(one)[-1, 3])  # no router.weight
    assert panel(Own(), balance=lambda routing: routing.logits.square().mean()).frame["can"][2:] == ["coefficient"]
    assert panel(mixture(noise="learned")).frame["can"][2:] == ["k", "balance", "coefficient"]
    assert panel(mixture()).frame["can"][2:] == ["noise", "k", "balance", "coefficient"]


LIKE = {"E": 4, "k": 1, "width": 8, "gate": "softmax_topk", "noise": 0}


@pytest.mark.parametrize(
    ("layer", "like"),
    [
        (mixture(), LIKE),
        (
            mixture(top_k=2, gate="sigmoid_topk", noise=0.5, bias=True),
            LIKE | {"k": 2, "gate": "sigmoid_topk", "noise": 0.5},
        ),
        (mixture(router=HashRouter(2, 4, 1), dispatch="dense"), LIKE | {"gate": "hash"}),
        (mixture(noise="learned"), None),
        (mixture(renormalize=True), None),
        (mixture(gated=True), None),
        (mixture(expert_bias=False), None),
        (mixture(n_shared=1), None),
        (mixture(n_experts=1), None),
        (Own(), None),
    ],
)
def test_the_page_trains_a_mixture_that_is_built_like_the_learners(layer, like):
    options = panel(layer, balance=importance_loss).options if like else panel(layer).options
    settings = {name: value for name, value in options["settings"].items() if name in LIKE}
    assert (options["page"], settings) == (like is not None, like or {})
    assert options["settings"].get("balance") == ("importance" if like else None)


def test_a_loss_of_ones_own_goes_by_its_name():
    def squared_shares(routing):
        return routing.probs.mean(0).square().sum()

    one = panel(balance=squared_shares, coefficient=2)
    assert (one.options["loss"], one.options["page"]) == ("squared shares", False)
    assert history(one)[-1, 2] == pytest.approx(2 * squared_shares(one.layer.eval()(DATA.x_train)[1]).item(), rel=1e-5)
    ask(one, set={"balance": "none"}, serial=1)
    until(lambda: history(one)[-1, 2] == 0)
    ask(one, set={"balance": "own"}, serial=2)
    until(lambda: history(one)[-1, 2] > 0)
    assert recorded().options["loss"] == "balance loss"
    again = playground(mixture(), DATA, state={"balance": "own", "rate": 0.1}, balance=squared_shares)
    assert (again.options["loss"], again.frame["settings"]["rate"]) == ("squared shares", 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": nn.ReLU()}, "layer is ReLU; allowed is a torch.nn.Module with parameters"),
        ({"layer": nn.Linear(2, 2)}, r"layer returns Tensor; allowed is \(scores, routing\)"),
        ({"layer": mixture(d=3)}, "x must have shape"),
        ({"layer": mixture(d=3), "data": "spirals"}, "x must have shape"),
        ({"layer": mixture(classes=1)}, r"layer returns scores \(128, 1\).* of 2 classes"),
        ({"layer": mixture(17)}, "layer has 17 experts; allowed are 1 to 16"),
        ({"data": (1, 2)}, "data is tuple; allowed is a Dataset"),
        ({"data": DATA._replace(x_train=DATA.x_train[:, 0])}, "data is Dataset; allowed is"),
        ({"balance": lambda routing: routing.logits}, r"balance returns shape \(128, 4\); allowed is a tensor"),
        ({"coefficient": -1}, "coefficient is -1; allowed are numbers from 0 to 1000"),
        ({"seed": -1}, "seed is -1; allowed are whole numbers from 0 to 999999"),
        ({"layer": "mixture", "balance": lambda routing: 0}, "balance is a function; allowed is that with a layer"),
    ],
)
def test_it_refuses_with_name_value_and_what_is_allowed(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        panel(**change)
