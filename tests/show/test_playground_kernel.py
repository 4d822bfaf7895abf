"""The playground's engine in the kernel: torch trains what the page asks for, and measures what the page's would."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from front_end import draw_at_once, say

from moe_tutorial.layers import MixtureOfExperts, switch_loss
from moe_tutorial.show.playground.engines.kernel import EXPERT_SIDE, LOSSES, SIDE, KernelTraining
from moe_tutorial.study import regimes_2d

SETTINGS = {
    "data": "clusters", "centred": True, "seed": 3, "batch": 64, "rate": 0.02, "E": 6, "k": 1, "width": 5,
    "gate": "softmax_topk", "noise": 0, "balance": "none", "coefficient": 0.1,
}  # fmt: skip
made = []  # by the test that runs
EXTENT = [-1.1, 1.1, -1.1, 1.1]


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test():
    yield
    for kernel in made:
        kernel.pause()
    made.clear()
    until(lambda: not trains_by_itself())


def trains_by_itself():
    return any(thread.name == "moe-live" for thread in threading.enumerate())


def until(met):
    end = time.monotonic() + 10
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def points(engine):
    """The page's points, and as it sends them."""
    data = engine("data", name="clusters", seed=3, centred=True)
    names = [("x", np.float64), ("y", np.uint8), ("regime", np.uint8)]
    names += [("xTest", np.float64), ("yTest", np.uint8), ("regimeTest", np.uint8), ("extent", np.float64)]
    return data, [np.array(data[name], dtype).tobytes() for name, dtype in names]


def new(*arguments):
    made.append(KernelTraining(*arguments))
    return made[-1]


def tell(kernel, content, buffers=()):
    """A message from the page, obeyed when this returns."""
    say(kernel, content, buffers)
    until(lambda: kernel.trainer.running or not trains_by_itself())
    return kernel.frame


def built(points, **settings):
    kernel = new()
    tell(kernel, {"do": "build", "settings": SETTINGS | settings, "serial": 1}, points[1])
    assert kernel.frame["error"] == ""
    return kernel


def recent(frame):
    """The task loss, the balance term, the router's gradient and the shares, over the last steps."""
    task, balance, gradient, *shares = np.frombuffer(frame["history"], np.float32).reshape(-1, 10)[-1, 1:]
    return SimpleNamespace(task=task, balance=balance, gradient=gradient, shares=shares)


def bytes_of(frame, name):
    return np.frombuffer(frame[name], np.uint8)


def test_it_holds_nothing_until_the_page_asks(points):
    kernel = new()
    assert kernel.frame == {}
    tell(kernel, {"do": "step"})
    tell(kernel, {"do": "start"})
    assert not kernel.trainer.running
    assert "plane" not in kernel.frame
    frame = tell(kernel, {"do": "build", "settings": SETTINGS, "serial": 7}, points[1])
    assert (frame["step"], frame["serial"], frame["settings"]["E"], frame["classes"]) == (0, 7, 6, 3)
    wanted = ("rate", "coefficient", "balance", "k", "noise")
    assert [frame["settings"][name] for name in wanted] == [SETTINGS[name] for name in wanted]


@pytest.mark.parametrize(
    ("gate", "k"), [("softmax_topk", 1), ("softmax_topk", 2), ("topk_softmax", 1), ("sigmoid_topk", 2), ("hash", 2)]
)
def test_a_frame_measures_what_the_pages_engine_measures(engine, points, gate, k):
    kernel = built(points, gate=gate, k=k)
    kernel.advance(60)
    frame = tell(kernel, {"inspect": 11})
    assert (not recent(frame).gradient > 0) == (gate in ("topk_softmax", "hash"))  # at k = 1 it is deaf
    layer = kernel.trainer.run.layer
    known = [
        *layer.named_parameters(),
        *((name, value) for name, value in layer.named_buffers() if "direction" in name),
    ]
    given = {name.split(".")[1]: value.double().flatten().tolist() for name, value in known}
    asked = SETTINGS | {"gate": gate, "k": k}
    code = f"""
        const model = createMixture({str(asked).replace("True", "true")}), given = {given};
        for (const name in given) (model.params[name] ?? model[name]).set(given[name]);
        const plane = model.plane({SIDE}), says = model.partPlane(4, {EXPERT_SIDE});
        return {{ ...model.evaluate(), point: model.inspect(11), plane, says }};
    """
    page = engine("run", code=code)
    np.testing.assert_allclose(frame["now"]["shares"], page["shares"], atol=2e-3)  # float32 here, float64 there
    for name in ("loss", "entropy", "nmi", "largest"):
        assert frame["now"][name] == pytest.approx(page[name], abs=5e-3), name
    assert frame["now"]["accuracy"] == pytest.approx(page["accuracy"], abs=2e-3)
    assert frame["now"]["dead"] == page["dead"]
    assert np.mean(bytes_of(frame["now"], "predicted") == page["predicted"]) > 0.99
    assert np.mean(bytes_of(frame["plane"], "owner") == page["plane"]["owner"]) > 0.99
    assert np.mean(bytes_of(frame["plane"], "predicted") == page["plane"]["predicted"]) > 0.99
    np.testing.assert_allclose(
        np.frombuffer(frame["plane"]["confidence"], np.float32), page["plane"]["confidence"], atol=0.01
    )
    own = np.frombuffer(frame["parts"][4], np.uint8)
    assert np.mean(own == page["says"]) > 0.99
    point, theirs = frame["inspected"], page["point"]
    for name in ("chosen", "says", "predicted", "label"):
        assert point[name] == theirs[name], name
    for name in ("logits", "probs", "weights", "gradient"):
        np.testing.assert_allclose(point[name], theirs[name], atol=1e-4, err_msg=name)


def test_it_trains_with_every_balance_and_resets(points):
    for balance in ("none", *LOSSES, "bias"):
        kernel = built(points, balance=balance, coefficient=0.05)
        start = {name: value.clone() for name, value in kernel.trainer.run.layer.state_dict().items()}
        kernel.advance(50)
        frame = kernel.frame
        assert frame["step"] == 50
        assert (recent(frame).balance != 0) == (balance in LOSSES)
        assert recent(frame).gradient > 0
        assert kernel.trainer.run.layer.router.bias.any() == (balance == "bias")
        rows = np.frombuffer(frame["history"], np.float32).reshape(-1, 10)
        np.testing.assert_array_equal(rows[:, 0], range(51))
        np.testing.assert_allclose(rows[:, 4:].sum(1), 1, atol=1e-5)
        tell(kernel, {"do": "reset"})
        assert all(torch.equal(value, start[name]) for name, value in kernel.trainer.run.layer.state_dict().items())


def test_sliders_change_it_while_it_trains(points):
    kernel = built(points, balance="bias", coefficient=0.05)
    kernel.advance(20)
    moved = {"noise": 0.5, "k": 2, "balance": "switch", "coefficient": 1, "rate": 0.001, "batch": 10}
    frame = tell(kernel, {"set": moved, "serial": 2})
    router = kernel.trainer.run.layer.router
    assert (router.noise, router.top_k, kernel.trainer.run.settings["batch"], frame["serial"]) == (0.5, 2, 10, 2)
    assert not router.bias.any()
    assert frame["recent"] == 0
    kernel.advance(3)
    assert kernel.frame["recent"] == 3
    assert recent(kernel.frame).balance > 0.5


@pytest.mark.parametrize("balance", ["none", "switch", "bias"])
def test_who_is_knocked_out_is_never_chosen_and_the_others_count_alone(points, balance):
    kernel = built(points, balance=balance, k=2)
    kernel.advance(20)
    frame = tell(kernel, {"knock": [2, True]})
    assert frame["now"]["shares"][2] == 0
    assert 2 not in bytes_of(frame["plane"], "owner")
    assert frame["knocked"] == [e == 2 for e in range(6)]
    kernel.advance(20)
    assert recent(kernel.frame).shares[2] == pytest.approx(0, abs=1e-6)
    even = torch.tensor([0, 1, 3, 4, 5]).repeat(12)[:, None]
    routing = kernel.trainer.run.layer.router(torch.randn(len(even), 2))
    remaining = kernel.trainer.run.remaining(routing._replace(indices=even, weights=torch.ones(len(even), 1)))
    assert switch_loss(remaining).item() == pytest.approx(1, abs=1e-5)
    frame = tell(kernel, {"knock": [2, False]})
    assert frame["knocked"] == [False] * 6


def test_a_hash_cannot_be_knocked(points):
    kernel = built(points, gate="hash")
    kernel.advance(10)
    assert kernel.frame["knocked"] == []
    assert np.isnan(recent(kernel.frame).gradient)
    assert kernel.frame["inspected"]["gradient"] == [0] * 6


def test_the_learners_own_layer_and_points():
    data = regimes_2d(200)
    torch.manual_seed(0)
    mine = MixtureOfExperts(2, 4, 4, 2, d_out=2)
    first = mine.router.weight.detach().clone()
    kernel = new(mine, data, EXTENT)
    tell(kernel, {"do": "build", "settings": SETTINGS, "serial": 1})
    kernel.advance(30)
    frame = kernel.frame
    assert (frame["settings"]["E"], frame["settings"]["k"]) == (4, 2)
    assert not torch.equal(mine.router.weight, first)
    tell(kernel, {"do": "build", "settings": SETTINGS, "serial": 2})
    assert torch.equal(mine.router.weight, first)
    assert kernel.frame["step"] == 0


def test_of_a_layer_that_shows_no_experts_the_page_draws_none(points):
    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.moe = MixtureOfExperts(2, 4, 4, 1, d_out=3)

        def forward(self, x):
            return self.moe(x)

    frame = tell(new(Hidden()), {"do": "build", "settings": SETTINGS, "serial": 1}, points[1])
    assert (frame["inspected"]["says"], frame["parts"]) == (None, [])


def test_it_trains_by_itself_until_something_else_is_built(points):
    kernel = built(points)
    draw_at_once(kernel)
    tell(kernel, {"do": "start"})
    until(lambda: kernel.frame["step"] >= 50)
    say(kernel, {"do": "build", "settings": SETTINGS, "serial": 2}, points[1])
    until(lambda: kernel.frame["serial"] == 2 and not trains_by_itself())
    assert not kernel.trainer.running


def test_errors_read_as_those_of_the_pages_own_engine(points, engine):
    kernel = built(points, E=2)
    tell(kernel, {"knock": [0, True]})
    last = tell(kernel, {"knock": [1, True]})["error"]
    kernel = built(points)
    kernel.trainer.run.layer.router.weight.data.fill_(torch.nan)
    diverged = tell(kernel, {"do": "step"})["error"]
    code = """
    const told = (act) => { try { act(); } catch (error) { return error.message; } };
    const two = createMixture({ E: 2 });
    const broken = createMixture();
    two.knock(0);
    broken.params.weight.fill(NaN);
    return [told(() => two.knock(1)), told(() => broken.train(1))];
    """
    said = engine("run", code=code)
    assert [last, diverged.replace("nan", "NaN")] == [f"ValueError: {said[0]}", f"TrainingDiverged: {said[1]}"]
