"""The panel of `train_live`: it trains the learner's own layer in the kernel, while the page draws."""

from collections.abc import Callable
from typing import Any

import torch
import traitlets as t
from torch import Tensor, nn

from moe_tutorial.layers.checks import check_count, check_number
from moe_tutorial.show.arrays import (
    MAX_CLASSES,
    MAX_POINTS,
    ask_router,
    check_experts,
    extent_of,
    grid,
    labels_of,
    pack_logits,
    parts_of,
    points_of,
)
from moe_tutorial.show.playground.engines.trainer import Run, Trainer, looking, of_router
from moe_tutorial.show.regions import Regions
from moe_tutorial.show.web import bundle
from moe_tutorial.study.environment import interactive

POINTS_DRAWN, RESOLUTION = 240, 40
BATCH, RATE = 128, 0.01
"""Points per step, drawn with replacement, and the initial learning rate."""


class LiveTraining(Regions):
    """The widget behind `train_live`.

    Attributes:
        trainer: the background thread, and the run that it trains.
        layer: the layer that is trained, in place.
        start, pause, advance, reset: the trainer's methods, which do what the page's buttons do.
        step: training steps done since the start.
        running: whether it trains in the background.
        frame: what the page draws.
    """

    _esm = bundle("web/live.js")
    frame = t.Dict().tag(sync=True)

    def __init__(self, run: Run, **traits: Any) -> None:
        super().__init__(**traits)
        self._run, self.layer = run, run.layer
        side = self.settings["resolution"]
        self._places = grid(run.data.x_train[:MAX_POINTS], side) if side else None
        self.trainer = Trainer(self, run)
        self.start, self.pause = self.trainer.start, self.trainer.pause
        self.advance, self.reset = self.trainer.advance, self.trainer.reset
        self.on_msg(self.trainer.receive)
        self.reset()

    def __repr__(self) -> str:
        return f"Live training: {self.settings['experts']} experts, step {self.step} (an interactive panel)"

    @property
    def step(self) -> int:
        return self.trainer.step

    @property
    def running(self) -> bool:
        return self.trainer.running

    def close(self) -> None:
        self.trainer.running = False
        super().close()

    # Callbacks of the trainer.

    def obey(self, note: dict) -> None:
        for name, value in note.get("set", {}).items():
            self._run.set(name, value)

    def measure(self) -> dict[str, Any]:
        run, data, plane, span = self._run, self._run.data, b"", 0.0
        with looking(self.layer, run.seed):
            record = run.record(data.x_train[:MAX_POINTS], data.y_train[:MAX_POINTS])
            if self._places is not None:
                codes, span = pack_logits(ask_router(self.layer, self._places)[0])
                plane = codes.tobytes()
            self.layer.eval()
            right = self.layer(data.x_test)[0].argmax(-1) == data.y_test
        return record | {"plane": plane, "span": span, "accuracy": right.float().mean().item()}

    def put(self, frame: dict[str, Any]) -> None:
        self.frame = self.frame | frame | {"knobs": self._run.settings}


def train_live(
    layer: nn.Module,
    data: Any,
    *,
    balance: Callable[[Any], Tensor] | None = None,
    balance_name: str = "balance loss",
    coefficient: float = 0.0,
    seed: int = 0,
    headless_steps: int = 200,
) -> LiveTraining:
    """Train your own layer in a panel with buttons, sliders, each expert's share and region, and the loss.

    In JupyterLab it starts paused at step 0. Elsewhere (tests, the website) it trains ``headless_steps`` at once. The
    same seed, steps and settings give the same numbers, and the global random state does not change.

    Args:
        layer: a MixtureOfExperts, or a module whose call on (B, d) returns ``(scores, routing)``: (B, classes), and an
            object with ``indices`` (B, k) and ``logits`` (B, experts). It is trained in place, by Adam. The sliders for
            noise and k set ``layer.router.noise`` and ``layer.router.top_k``, and are missing if these are.
        data: a Dataset, or anything with ``x_train``, ``y_train``, ``x_test``, ``y_test``. The map needs width 2.
        balance: routing -> scalar tensor, such as ``switch_loss``; it is multiplied by the coefficient and added to the
            cross-entropy. Without it there is no slider for the coefficient.
        balance_name: name of the balance loss in the page.
        coefficient: initial value of its slider.
        seed: seed of the batches and of the noise.
        headless_steps: steps that are trained at once outside JupyterLab.
    """
    check_count("seed", seed, 0)
    check_count("headless_steps", headless_steps, 0)
    check_number("coefficient", coefficient, 0, "a finite number of at least 0")
    if coefficient and balance is None:
        raise ValueError(f"coefficient must be 0 without a balance, got {coefficient}")
    n_experts, n_classes = _try(layer, data, balance)
    start = {"seed": seed, "batch_size": BATCH, "rate": RATE, "coefficient": float(coefficient)}
    run = Run(layer, data, n_experts, balance=balance, **start)
    there = {"noise": run.noisy, "coefficient": balance is not None, "rate": True}
    there["k"] = of_router(layer, "top_k") is not None
    remarks = {"learned": "The noise is learned: no slider for it.", "absent": "No router.noise: no slider for it."}
    x = data.x_train[:MAX_POINTS]
    drawn, mapped = x[:POINTS_DRAWN], x.shape[1] == 2
    labelled = mapped and n_classes <= MAX_CLASSES
    settings = {
        "experts": n_experts,
        "sliders": [name for name, given in there.items() if given],
        "remark": "" if run.noisy else remarks.get(of_router(layer, "noise", "absent"), ""),
        "balanceName": balance_name,
        "resolution": RESOLUTION if mapped else 0,
        "extent": extent_of(points_of(x)) if mapped else [],
        "labelled": labelled,
    }
    labels = labels_of(data.y_train[:POINTS_DRAWN] if labelled else None, drawn).tobytes()
    points = points_of(drawn).tobytes() if mapped else b""
    panel = LiveTraining(run, settings=settings, points=points, labels=labels)
    if not interactive():
        panel.advance(headless_steps)
    return panel


def _try(layer: nn.Module, data: Any, balance: Callable | None) -> tuple[int, int]:
    """Run one batch forward to find errors early; return the numbers of experts and classes."""
    if not isinstance(layer, nn.Module) or not any(p.requires_grad for p in layer.parameters()):
        raise ValueError(f"layer is {type(layer).__name__}; allowed is a torch.nn.Module with parameters to train")
    x, y, *_ = parts_of(data)
    x, n_classes = x[:BATCH], int(y.max()) + 1
    with looking(layer, 0):
        try:
            out = layer(x)
        except Exception as error:
            raise ValueError(f"layer fails on x of shape {tuple(x.shape)}: {type(error).__name__}: {error}") from error
        scores, routing = out if isinstance(out, tuple) and len(out) == 2 else (out, None)
        if not isinstance(scores, Tensor) or not all(hasattr(routing, name) for name in ("indices", "logits")):
            pair = "(scores, routing): a tensor, and an object with indices and logits"
            raise ValueError(f"layer returns {type(out).__name__}; allowed is {pair}")
        shapes = [tuple(part.shape) for part in (scores, routing.logits, routing.indices)]
        if any(len(shape) != 2 or shape[0] != len(x) for shape in shapes) or shapes[0][1] < n_classes:
            raise ValueError(
                f"layer returns scores {shapes[0]}, logits {shapes[1]}, indices {shapes[2]} for {len(x)} points of "
                f"{n_classes} classes; allowed are ({len(x)}, {n_classes} or more), ({len(x)}, experts), ({len(x)}, k)"
            )
        n_experts = check_experts(shapes[1][1], "layer")
        low, high = int(routing.indices.min()), int(routing.indices.max())
        if low < 0 or high >= n_experts:
            raise ValueError(f"routing.indices run from {low} to {high}; allowed are 0 to {n_experts - 1}")
        term = balance(routing) if balance else torch.tensor(0.0)
        if not isinstance(term, Tensor) or term.ndim:
            got = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise ValueError(f"balance returns {got}; allowed is a tensor with one number, of shape ()")
    return n_experts, n_classes
