"""The playground's kernel engine: torch trains in the kernel, and the page only draws.

The layer and the points come from the page or from the learner. Frames have the format of the page's own engine
(`engines/frame.js`), with arrays as bytes.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import anywidget
import numpy as np
import torch
import torch.nn.functional as F
import traitlets as t
from torch import Tensor, nn

from moe_tutorial.layers import Experts, Routing, importance_loss, switch_loss
from moe_tutorial.show.arrays import MAX_POINTS, plane
from moe_tutorial.show.playground.engines.layer import build, examine
from moe_tutorial.show.playground.engines.trainer import Run, Trainer, of_router, preserving
from moe_tutorial.study import Dataset, dead, entropy, max_share, share, specialisation

SIDE, EXPERT_SIDE = 80, 40
"""Grid points along each side of the plane, and of an expert's small picture."""
LOSSES = {
    "switch": switch_loss,
    "importance": importance_loss,
}
"""The values of the setting `balance` that are losses."""


class KernelTraining(anywidget.AnyWidget):
    """The kernel side of the playground. It trains nothing until a layer is built.

    Args:
        layer: the learner's own layer, as for `playground`; None to build what the page's controls describe.
        data: the learner's own Dataset; None to train on the points that the page sends.
        extent: left, right, bottom, top of the plane around these points; empty if they have no picture in the plane.
        loss: the learner's own balance loss, which the setting `balance` calls "own".

    Attributes:
        trainer: the background thread, and the run that it trains once a layer is built.
        start, pause, advance, reset: the trainer's methods, which do what the page's buttons do.
        frame: what the page draws.
    """

    frame = t.Dict().tag(sync=True)

    def __init__(
        self,
        layer: nn.Module | None = None,
        data: Any = None,
        extent: Sequence[float] = (),
        loss: Callable[[Any], Tensor] | None = None,
        **traits: Any,
    ):
        super().__init__(**traits)
        self.layer, self._data, self._extent, self._loss = layer, data, list(extent), loss
        self._point = 0
        self.trainer = Trainer(self)  # first, since it stops another training of this layer
        self._first = {} if layer is None else deepcopy(layer.state_dict())
        self.start, self.pause = self.trainer.start, self.trainer.pause
        self.advance, self.reset = self.trainer.advance, self.trainer.reset
        self.on_msg(self.trainer.receive)

    @property
    def step(self) -> int:
        """Training steps done in the kernel since the start."""
        return self.trainer.step

    @property
    def running(self) -> bool:
        """Whether the kernel trains in the background."""
        return self.trainer.running

    def close(self) -> None:
        self.trainer.running = False
        super().close()

    def build(self, settings: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Prepare a training with these settings from the start.

        Args:
            settings: a value for each setting of a mixture. The learner's own layer has some of its own instead.
            buffers: the page's points, unless the learner has brought points.
        """
        self.trainer.run, self.trainer.running = None, False
        data = self._data
        if data is None:
            data, self._extent = _received(buffers), np.frombuffer(buffers[-1]).tolist()
        self._point = min(self._point, len(data.x_train) - 1)
        self._planes = [plane(self._extent, side) for side in (SIDE, EXPERT_SIDE)] if self._extent else []
        if self.layer is None:
            layer = build(settings, int(torch.cat([data.y_train, data.y_test]).max()) + 1)
        else:
            layer = self.layer
            layer.load_state_dict(self._first)
        n_experts, self._classes = examine(layer, data, self._loss)
        own = {} if self._loss is None else {"own": self._loss}
        kept = {name: settings[name] for name in ("seed", "batch", "rate", "balance", "coefficient")}
        self.trainer.run = Run(layer, data, n_experts, kept, LOSSES | own)

    def _possible(self, run: Run, routing: Any) -> list[str] | None:
        """The settings that the page offers for the learner's own layer; None for one that the page has described."""
        if self.layer is None:
            return None
        known = isinstance(routing, Routing)  # the package's losses need its fields
        can = {"noise": run.noisy, "k": of_router(run.layer, "top_k") is not None}
        can |= {"balance": known, "coefficient": known or self._loss is not None}
        points = ["data", "centred", "seed"] if self._data is None else []
        return ["rate", "batch", *points, *(name for name in can if can[name])]

    # Callbacks of the trainer.

    def obey(self, note: dict) -> None:
        if note.get("do") == "build":
            self.build(note["settings"], note["buffers"])
        run = self.trainer.run
        if run is None:
            return
        for name, value in note.get("set", {}).items():
            run.set(name, value)
        self._point = note.get("inspect", self._point)
        if "knock" in note:
            run.knock(*note["knock"])

    def measure(self) -> dict[str, Any]:
        run = self.trainer.run
        data, layer = run.data, run.layer
        x, y = data.x_train[:MAX_POINTS], data.y_train[:MAX_POINTS]
        with preserving(layer, run.settings["seed"]):
            layer.eval()
            record = run.record(x, y)
            scores, routing = layer(x)
            right = layer(data.x_test)[0].argmax(-1) == data.y_test
            drawn = self._measure_plane(run) if self._planes else {}
        usage = share(routing.indices, run.n_experts)
        regimes = getattr(data, "regime_train", data.y_train)[:MAX_POINTS]
        now = {
            "shares": usage.tolist(),
            "dead": int(dead(usage)),
            "entropy": float(entropy(usage)),
            "largest": float(max_share(usage)),
            "nmi": specialisation(routing.indices[:, 0], regimes),
            "accuracy": right.float().mean().item(),
            "loss": F.cross_entropy(scores, y).item(),
            "predicted": _bytes(scores.argmax(-1)),
        }
        knocked = of_router(layer, "out", torch.zeros(0)).tolist()
        state = {"settings": run.now, "knocked": knocked, "classes": self._classes}
        return record | drawn | state | {"now": now, "can": self._possible(run, routing)}

    def _measure_plane(self, run: Run) -> dict[str, Any]:
        """What is decided all over the plane, and for the inspected point."""
        answers, routing = run.layer(self._planes[0])
        owner, probs = routing.indices[:, :1], _probabilities(routing)
        experts = getattr(run.layer, "experts", None)
        says = experts(self._planes[1]).argmax(-1).T if isinstance(experts, Experts) else ()
        return {
            "plane": {
                "n": SIDE,
                "owner": _bytes(owner),
                "confidence": probs.gather(1, owner).float().numpy().tobytes(),
                "predicted": _bytes(answers.argmax(-1)),
            },
            "parts": [_bytes(part) for part in says],
            "inspected": self._inspect(run),
        }

    def _inspect(self, run: Run) -> dict:
        """The inspected training point: its experts, and the gradient of its own cross-entropy at the logits."""
        x, label = run.data.x_train[self._point][None], run.data.y_train[self._point][None]
        with torch.enable_grad():
            scores, routing = run.layer(x)
            gradient = None
            if routing.logits.requires_grad:
                gradient = torch.autograd.grad(F.cross_entropy(scores, label), routing.logits, allow_unused=True)[0]
        experts = getattr(run.layer, "experts", None)
        return {
            "logits": routing.logits[0].tolist(),
            "probs": _probabilities(routing)[0].tolist(),
            "chosen": routing.indices[0].tolist(),
            "weights": routing.weights[0].tolist() if isinstance(routing, Routing) else [],
            "says": experts(x)[0].argmax(-1).tolist() if isinstance(experts, Experts) else None,
            "predicted": int(scores.argmax()),
            "label": int(label),
            "gradient": (torch.zeros_like(routing.logits) if gradient is None else gradient)[0].tolist(),
        }


def _received(buffers: Sequence[bytes]) -> Dataset:
    """The Dataset in the page's buffers: x, y and regime for training, and the same for the test."""
    x, y, regime, x_test, y_test, regime_test = buffers[:6]
    places = [torch.from_numpy(np.frombuffer(part).astype(np.float32)).reshape(-1, 2) for part in (x, x_test)]
    labels = [torch.from_numpy(np.frombuffer(p, np.uint8).astype(np.int64)) for p in (y, regime, y_test, regime_test)]
    return Dataset(places[0], *labels[:2], places[1], *labels[2:])


def _probabilities(routing: Any) -> Tensor:
    return routing.probs if isinstance(routing, Routing) else routing.logits.softmax(-1)


def _bytes(values: Tensor) -> bytes:
    return values.flatten().to(torch.uint8).numpy().tobytes()
