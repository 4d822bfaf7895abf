"""Train a layer of your own in the kernel, and show the film of its training."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import ipywidgets
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_tutorial.layers.modes import evaluating
from moe_tutorial.show.arrays import check_experts, grid, parts_of
from moe_tutorial.show.regions import TrainingRegions, watch_training, watch_usage
from moe_tutorial.study import TrainingDiverged, share
from moe_tutorial.study.environment import interactive

STEPS, EVERY, BATCH, RATE = 300, 10, 128, 0.01
"""Steps of Adam, and between two frames of the film; points per step; and the learning rate."""
DRAWN = 240
"""Training points that are drawn; all are learned from."""
COEFFICIENTS = [0, 0.01, 0.032, 0.1, 0.32, 1, 3.2, 10, 32, 100]


def watch_layer(
    layer: nn.Module, data: Any, balance: Callable[[Any], Tensor] | None = None, coefficient: float = 0.1
) -> TrainingRegions | ipywidgets.VBox:
    """Train a layer of your own, and show the film of its training; in JupyterLab, sliders train it again.

    A slider that is released trains the layer again from its initial parameters. There are sliders for the seed of
    batches and noise, for the coefficient of a balance loss, and for ``layer.router.noise`` and ``layer.router.top_k``,
    as far as the layer has them. The global random state does not change.

    Args:
        layer: trained in place: a MixtureOfExperts, or a module whose call on (B, d) returns ``(scores, routing)``:
            (B, classes), and an object with ``indices`` (B, k) and ``logits`` (B, experts).
        data: a Dataset, or anything with ``x_train``, ``y_train``, ``x_test`` and ``y_test``. The film shows the
            router's regions if the points lie in the plane, and else the experts' shares alone.
        balance: routing -> scalar tensor, which is multiplied by ``coefficient`` and added to the loss.
    """
    initial, router = deepcopy(layer.state_dict()), getattr(layer, "router", None)

    def film(seed: int = 0, coefficient: float = coefficient, **of_router: float) -> TrainingRegions:
        layer.load_state_dict(initial)
        for name, value in of_router.items():
            setattr(router, name, value)
        penalty = (lambda routing: coefficient * balance(routing)) if balance and coefficient else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _train(layer, data, penalty)

    shown = film()
    if not interactive():
        return shown
    sliders = _sliders(router, shown.settings["experts"], coefficient if balance else None)
    hint = "Release a slider, and the layer is trained again. If nothing happens, run this cell."
    said = ipywidgets.Label(hint)
    row = ipywidgets.Box(list(sliders.values()), layout={"flex_flow": "row wrap"})
    box = ipywidgets.VBox([row, said, shown])

    def again(_: Any) -> None:
        *others, before = box.children
        try:
            box.children = [*others, film(**{name: slider.value for name, slider in sliders.items()})]
            before.close()
            said.value = hint
        except Exception as error:  # of the learner's code: a slider's callback shows none
            said.value = f"{type(error).__name__}: {error}"

    for slider in sliders.values():
        slider.observe(again, "value")
    return box


def _sliders(router: Any, n_experts: int, coefficient: float | None) -> dict[str, ipywidgets.Widget]:
    """Sliders by the name of what they set."""
    options = {"continuous_update": False, "style": {"description_width": "11em"}, "layout": {"width": "27em"}}
    noise = getattr(router, "noise", "absent")
    sliders = {"seed": ipywidgets.IntSlider(0, 0, 20, description="Seed", **options)}
    if coefficient is not None:
        stops = {"options": sorted({*COEFFICIENTS, coefficient}), "value": coefficient}
        sliders["coefficient"] = ipywidgets.SelectionSlider(**stops, description="Balance coefficient", **options)
    if not isinstance(noise, str):  # "learned" is no number
        most = max(3.0, noise or 0)
        sliders["noise"] = ipywidgets.FloatSlider(noise or 0, min=0, max=most, step=0.1, description="Noise", **options)
    if hasattr(router, "top_k"):
        sliders["top_k"] = ipywidgets.IntSlider(router.top_k, 1, n_experts, description="Chosen, k", **options)
    return sliders


def _train(layer: nn.Module, data: Any, penalty: Callable[[Any], Tensor] | None) -> TrainingRegions:
    x, y, x_test, y_test = parts_of(data)
    in_plane = x.shape[1] == 2
    places = grid(x[:DRAWN]) if in_plane else x[:1]
    optimizer = torch.optim.Adam(layer.parameters(), lr=RATE)
    frames, shares, right = [], [], []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            with evaluating(layer), torch.no_grad():
                routing = _call(layer, x)[1]
                n_experts = check_experts(routing.logits.shape[1], "layer")
                shares.append(share(routing.indices, n_experts))
                right.append((layer(x_test)[0].argmax(-1) == y_test).float().mean())
                frames.append(layer(places)[1].logits)
        if step == STEPS:
            break
        rows = torch.randint(len(x), (BATCH,))
        scores, routing = layer(x[rows])
        loss = F.cross_entropy(scores, y[rows])
        if penalty:
            loss = loss + penalty(routing)
        if loss.ndim:
            raise ValueError(f"balance returns shape {tuple(loss.shape)}; allowed is a tensor of shape ()")
        if not loss.isfinite():
            raise TrainingDiverged(f"the loss became {loss.item()} at step {step}; take a smaller coefficient")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    steps, k = range(0, STEPS + 1, EVERY), routing.indices.shape[1]
    if not in_plane:
        return watch_usage(torch.stack(shares), steps, score=right)
    points = x[:DRAWN], y[:DRAWN]
    return watch_training(torch.stack(frames), *points, steps=steps, shares=torch.stack(shares), k=k, score=right)


def _call(layer: nn.Module, x: Tensor) -> tuple[Tensor, Any]:
    """The layer's answer; ValueError unless it is ``(scores, routing)``."""
    output = layer(x)
    if not isinstance(output, tuple) or not all(hasattr(output[-1], name) for name in ("indices", "logits")):
        pair = "(scores, routing): a tensor, and an object with indices and logits"
        raise ValueError(f"layer returns {type(output).__name__}; allowed is {pair}")
    return output
