"""A learner's own layer: its training, its film, the sliders that train it again, and what is refused."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from moe_tutorial.layers import HashRouter, MixtureOfExperts, switch_loss
from moe_tutorial.show import watch_layer
from moe_tutorial.show.own_layer import EVERY, STEPS
from moe_tutorial.study import digits, regimes_2d

DATA = regimes_2d(256)


@pytest.fixture
def in_lab(monkeypatch):
    """JupyterLab, where a slider trains for fewer steps than a learner's."""
    monkeypatch.setattr("moe_tutorial.show.own_layer.STEPS", 100)
    monkeypatch.setenv("JPY_SESSION_NAME", "test.ipynb")
    monkeypatch.delenv("MOE_SITE", raising=False)


def mixture(n_experts=4, top_k=1, d=2, classes=2, **options):
    torch.manual_seed(0)
    return MixtureOfExperts(d, 8, n_experts, top_k, d_out=classes, **options)


class Own(nn.Module):
    """A learner's class that has no router."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.experts = nn.Linear(2, 3), nn.Linear(2, 6)

    def forward(self, x):
        logits = self.gate(x)
        indices = logits.topk(1).indices
        answers = self.experts(x).view(-1, 3, 2)[torch.arange(len(x)), indices[:, 0]]
        return answers * logits.softmax(-1).gather(-1, indices), SimpleNamespace(indices=indices, logits=logits)


def sliders(box):
    return {slider.description: slider for slider in box.children[0].children}


def settings(box):
    return box.children[-1].settings


def parameters(layer):
    return torch.cat([p.detach().flatten().clone() for p in layer.parameters()])


def test_it_learns_and_the_film_measures_what_the_layer_then_does():
    layer = mixture()
    film = watch_layer(layer, DATA)
    with torch.no_grad():
        right = (layer.eval()(DATA.x_test)[0].argmax(-1) == DATA.y_test).float().mean().item()
        shares = layer(DATA.x_train)[1].indices.flatten().bincount(minlength=4) / len(DATA.x_train)
    assert film.settings["steps"] == list(range(0, STEPS + 1, EVERY))
    assert film.settings["score"][-1] == pytest.approx(right, rel=1e-3)
    assert film.settings["score"][0] < 0.7 < 0.85 < right
    assert film.settings["shares"][-1] == pytest.approx(shares.tolist(), rel=1e-3)
    assert film.settings["resolution"] > 0


def test_the_same_layer_gives_the_same_film_and_ones_random_numbers_stay():
    torch.manual_seed(5)
    expected = torch.rand(3)
    layers = mixture(noise=0.5), mixture(noise=0.5)
    torch.manual_seed(5)
    first = watch_layer(layers[0], DATA)
    assert torch.equal(torch.rand(3), expected)
    again = watch_layer(layers[1], DATA)
    assert (first.settings, first.frames) == (again.settings, again.frames)


def test_of_points_of_another_width_the_film_shows_the_shares():
    film = watch_layer(mixture(16, d=64, classes=10), digits(), switch_loss)
    assert (film.settings["resolution"], film.settings["experts"]) == (0, 16)
    assert film.settings["score"][-1] > 0.8


def test_a_class_of_ones_own_needs_no_router(in_lab):
    box = watch_layer(Own(), DATA, lambda routing: routing.logits.square().mean())
    assert set(sliders(box)) == {"Seed", "Balance coefficient"}
    assert settings(box)["experts"] == 3
    assert "Balance coefficient" not in sliders(watch_layer(Own(), DATA))


@pytest.mark.parametrize(
    ("layer", "has"),
    [
        (mixture(), {"Noise", "Chosen, k"}),
        (mixture(noise="learned"), {"Chosen, k"}),
        (mixture(router=HashRouter(2, 4, 1)), {"Chosen, k"}),
    ],
)
def test_there_is_a_slider_for_what_the_router_has(in_lab, layer, has):
    assert set(sliders(watch_layer(layer, DATA))) == {"Seed"} | has


def test_a_slider_that_is_released_trains_it_again_from_its_start(in_lab):
    layer = mixture(8)
    start = parameters(layer)
    box = watch_layer(layer, DATA, switch_loss, 0)
    first, before = box.children[-1], parameters(layer)
    assert not any(slider.continuous_update for slider in sliders(box).values())
    sliders(box)["Balance coefficient"].value = 1
    assert first.comm is None  # a notebook keeps one film
    most = [max(film["shares"][-1]) for film in (first.settings, settings(box))]
    assert most[0] > 0.2 > most[1]
    assert not torch.equal(parameters(layer), before)
    sliders(box)["Balance coefficient"].value = 0
    assert torch.equal(parameters(layer), before)
    assert settings(box) == first.settings
    sliders(box)["Seed"].value = 3
    assert settings(box)["score"] != first.settings["score"]
    sliders(box)["Chosen, k"].value = 2
    sliders(box)["Noise"].value = 1.5
    assert (layer.router.top_k, layer.router.noise, settings(box)["k"]) == (2, 1.5, 2)
    assert not torch.equal(parameters(layer), start)


def test_an_error_of_the_learners_loss_is_shown_and_the_next_release_recovers(in_lab):
    box = watch_layer(mixture(), DATA, lambda routing: routing.logits.sum() / 0, 0)
    film, said = box.children[-1], box.children[-2]
    hint = said.value
    sliders(box)["Balance coefficient"].value = 1
    assert said.value.startswith("TrainingDiverged: the loss became ")
    assert box.children[-1] is film
    sliders(box)["Balance coefficient"].value = 0
    assert box.children[-1] is not film
    assert said.value == hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": nn.Linear(2, 2)}, r"layer returns Tensor; allowed is \(scores, routing\)"),
        ({"layer": mixture(d=3)}, "x must have shape"),
        ({"layer": mixture(17)}, "layer has 17 experts; allowed are 1 to 16"),
        ({"data": (1, 2)}, "data is tuple; allowed is a Dataset"),
        ({"data": DATA._replace(x_train=DATA.x_train[:, 0])}, "data is Dataset; allowed is"),
        ({"balance": lambda routing: routing.logits}, r"balance returns shape \(128, 4\); allowed is a tensor of"),
    ],
)
def test_it_refuses_with_name_value_and_what_is_allowed(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        watch_layer(**{"layer": mixture(), "data": DATA} | change)
