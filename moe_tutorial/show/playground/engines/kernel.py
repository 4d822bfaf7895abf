"""The playground's kernel engine: torch trains in the kernel, and the page only draws.

It uses the live panel's trainer (`trainer.py`). The layer and the points come from the page or from the learner.
Frames have the format of the page's own engine (`engines/frame.js`), with arrays as bytes.
"""

from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import anywidget
import numpy as np
import torch
import torch.nn.functional as F
import traitlets as t
from torch import Tensor, nn

from moe_tutorial.layers import (
    BiasBalancer,
    Experts,
    HashRouter,
    MixtureOfExperts,
    Router,
    Routing,
    importance_loss,
    switch_loss,
)
from moe_tutorial.show.arrays import check_experts, plane
from moe_tutorial.show.playground.engines.trainer import RECENT, Run, Trainer, looking, of_router
from moe_tutorial.study import Dataset, dead, entropy, max_share, share, specialisation

SIDE, EXPERT_SIDE = 80, 40
"""Grid points along each side of the plane, and of an expert's small picture."""
LOSSES = {
    "switch": switch_loss,
    "importance": importance_loss,
}
"""The values of the setting `balance` that are losses."""


class PlaygroundRouter(Router):
    """A router whose experts can be knocked out.

    Attributes:
        out: (E,) True for knocked-out experts, which have probability 0 and are never chosen.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, bias=True, **options)
        self.out = torch.zeros(self.n_experts, dtype=torch.bool)

    def probabilities(self, logits: Tensor) -> Tensor:
        self._logits = logits.detach()  # `pick` calls this just before `choose`
        return super().probabilities(logits.masked_fill(self.out, -torch.inf))

    def choose(self, ranking: Tensor) -> Tensor:
        if self.gate != "topk_softmax" and not self.bias.any():
            ranking = self._logits  # the same order, without ties where probabilities round to 0
        ranking = (ranking + self.bias).masked_fill(self.out, -torch.inf)
        return ranking.topk(min(self.top_k, int((~self.out).sum()))).indices


def without(routing: Routing, out: Tensor) -> Routing:
    """Remove the experts that are ``out`` (E,) from all fields of a routing.

    No token may have chosen one of them. Fields with a column for each expert lose these columns, and ``indices`` are
    renumbered.
    """
    n_experts, place = len(out), (~out).cumsum(0) - 1
    fields = routing._asdict()
    kept = {
        name: value[:, ~out]
        for name, value in fields.items()
        if name not in ("indices", "weights") and value is not None and value.shape[1] == n_experts
    }
    return routing._replace(indices=place[routing.indices], **kept)


def build(wanted: dict, n_classes: int) -> MixtureOfExperts:
    """Build the layer that the page's controls describe, initialised from their seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted["seed"])
        if wanted["gate"] == "hash":
            router = HashRouter(2, wanted["E"], wanted["k"])
        else:
            router = PlaygroundRouter(2, wanted["E"], wanted["k"], gate=wanted["gate"], noise=wanted["noise"])
        return MixtureOfExperts(2, wanted["width"], wanted["E"], wanted["k"], router, d_out=n_classes)


class KernelTraining(anywidget.AnyWidget):
    """The kernel side of the playground. It trains nothing until the page requests a layer.

    Args:
        layer: the learner's own layer, as in `train_live`; None to build what the page's controls describe.
        points: the learner's own Dataset; None to train on the points that the page sends.
        extent: left, right, bottom, top of the plane around these points.

    Attributes:
        trainer: the background thread, and the run that it trains once a layer is built.
        frame: what the page draws.
    """

    frame = t.Dict().tag(sync=True)

    def __init__(self, layer: nn.Module | None = None, points: Any = None, extent: Sequence[float] = (), **traits: Any):
        super().__init__(**traits)
        self._own, self._points, self._extent = layer, points, list(extent)
        self._own_first = {} if layer is None else deepcopy(layer.state_dict())
        self._point, self._balance = 0, "none"
        self._gradients: deque[float] = deque(maxlen=RECENT)
        self.trainer = Trainer(self)
        self.on_msg(self.trainer.receive)

    @property
    def step(self) -> int:
        """Training steps done in the kernel since the start."""
        return self.trainer.step

    def close(self) -> None:
        self.trainer.running = False
        super().close()

    # Callback of the trainer for the page's messages.

    def obey(self, note: dict) -> None:
        if note.get("do") == "build":
            self.trainer.run, self.trainer.running = None, False
            self.trainer.run = self._build(note["settings"], note["buffers"])
        run = self.trainer.run
        if run is None:
            return
        for name, value in note.get("set", {}).items():
            if name == "balance":
                self._balance = value
                run.recent.clear()
            else:
                run.set(name, value)
        if "look" in note:
            self._point = note["look"]
        if "knock" in note:
            self._knock(*note["knock"])
        if self._own is None and self._balance != "bias" and hasattr(run.layer.router, "bias"):
            run.layer.router.bias.zero_()

    def _build(self, wanted: dict, buffers: list[bytes]) -> Run:
        data = self._points
        if data is None:
            data, self._extent = _received(buffers), np.frombuffer(buffers[-1]).tolist()
        self._point = min(self._point, len(data.x_train) - 1)
        self._planes = [plane(self._extent, side) for side in (SIDE, EXPERT_SIDE)]
        classes = int(torch.cat([data.y_train, data.y_test]).max()) + 1
        if self._own is not None:
            self._own.load_state_dict(self._own_first)
        layer = build(wanted, classes) if self._own is None else self._own
        with looking(layer, 0):
            scores, routing = layer(data.x_train[:1])
        n_experts = check_experts(routing.logits.shape[1], "layer")
        self._classes = max(classes, scores.shape[1])
        self._balance = wanted["balance"]
        run = Run(
            layer, data, n_experts,
            seed=wanted["seed"], batch_size=wanted["batch"], rate=wanted["rate"], coefficient=wanted["coefficient"],
            balance=self._term, after_step=self._after_step,
        )  # fmt: skip
        self._can = self._possible(run, routing)
        return run

    def _possible(self, run: Run, routing: Any) -> list[str]:
        """The settings that the page may offer for this layer."""
        can = {"noise": run.noisy, "build": self._own is None}
        can |= {"k": of_router(run.layer, "top_k") is not None, "knock": of_router(run.layer, "out") is not None}
        can |= dict.fromkeys(("balance", "coefficient"), isinstance(routing, Routing))
        free = ["data", "centred", "seed"] if self._points is None else []
        return ["rate", "batch", *free, *(name for name in can if can[name])]

    def _knock(self, expert: int, gone: bool) -> None:
        router = self.trainer.run.layer.router
        out = router.out.clone()
        out[expert] = gone
        if out.all():
            raise ValueError(f"expert {expert} is the last one; one has to stay")
        router.out = out
        self.trainer.run.recent.clear()

    # Callbacks of the run.

    def _term(self, routing: Any) -> Tensor:
        """The balance loss of the experts that are not knocked out."""
        if self._balance not in LOSSES:
            return torch.zeros(())
        out = of_router(self.trainer.run.layer, "out")
        return LOSSES[self._balance](routing if out is None else without(routing, out))

    def _after_step(self, routing: Any) -> None:
        run = self.trainer.run
        weight, bias = (of_router(run.layer, name) for name in ("weight", "bias"))
        if not run.recent:
            self._gradients.clear()
        self._gradients.append(0.0 if weight is None or weight.grad is None else weight.grad.norm().item())
        if self._balance == "bias" and run.coefficient and bias is not None:
            there = ~of_router(run.layer, "out", torch.zeros(len(bias), dtype=torch.bool))
            place, moved = there.cumsum(0) - 1, bias[there]
            BiasBalancer(run.coefficient).update(moved, place[routing.indices])
            bias[there] = moved

    # Callbacks of the trainer for frames.

    def put(self, frame: dict[str, Any]) -> None:
        run = self.trainer.run
        if run is not None:
            frame = frame | {"settings": run.settings | {"balance": self._balance, "E": run.n_experts}}
        self.frame = self.frame | frame

    def measure(self) -> dict[str, Any]:
        run = self.trainer.run
        data, layer = run.data, run.layer
        with looking(layer, run.seed):
            layer.eval()
            record = run.record(data.x_train, data.y_train)
            scores, routing = layer(data.x_train)
            right = layer(data.x_test)[0].argmax(-1) == data.y_test
            answers, plane = layer(self._planes[0])
            experts = getattr(layer, "experts", None)
            says = experts(self._planes[1]).argmax(-1).T if isinstance(experts, Experts) else ()
            inspected = self._inspect(run)
        usage, owner = share(routing.indices, run.n_experts), plane.indices[:, :1]
        probs = plane.probs if isinstance(plane, Routing) else plane.logits.softmax(-1)
        gradient = float(np.mean(self._gradients)) if run.recent else 0.0
        return {
            "recent": record["recent"] | {"routerGradient": gradient},
            "history": record["history"],
            "now": {
                "shares": usage.tolist(),
                "dead": int(dead(usage)),
                "entropy": float(entropy(usage)),
                "largest": float(max_share(usage)),
                "nmi": specialisation(routing.indices[:, 0], getattr(data, "regime_train", data.y_train)),
                "accuracy": right.float().mean().item(),
                "loss": F.cross_entropy(scores, data.y_train).item(),
                "predicted": _bytes(scores.argmax(-1)),
            },
            "plane": {
                "n": SIDE,
                "owner": _bytes(owner),
                "confidence": probs.gather(1, owner).float().numpy().tobytes(),
                "predicted": _bytes(answers.argmax(-1)),
            },
            "parts": [_bytes(part) for part in says],
            "classes": self._classes,
            "knocked": of_router(layer, "out", torch.zeros(0)).tolist(),
            "inspected": inspected,
            "can": self._can,
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
            "probs": (routing.probs if isinstance(routing, Routing) else routing.logits.softmax(-1))[0].tolist(),
            "chosen": routing.indices[0].tolist(),
            "weights": routing.weights[0].tolist() if isinstance(routing, Routing) else [],
            "says": experts(x)[0].argmax(-1).tolist() if isinstance(experts, Experts) else None,
            "predicted": int(scores.argmax()),
            "label": int(label),
            "gradient": (torch.zeros_like(routing.logits) if gradient is None else gradient)[0].tolist(),
        }


def _received(buffers: list[bytes]) -> Dataset:
    """The Dataset in the page's buffers: x, y and regime for training, and the same for the test."""
    x, y, regime, x_test, y_test, regime_test = buffers[:6]
    places = [torch.from_numpy(np.frombuffer(part).astype(np.float32)).reshape(-1, 2) for part in (x, x_test)]
    labels = [torch.from_numpy(np.frombuffer(p, np.uint8).astype(np.int64)) for p in (y, regime, y_test, regime_test)]
    return Dataset(places[0], *labels[:2], places[1], *labels[2:])


def _bytes(values: Tensor) -> bytes:
    return values.flatten().to(torch.uint8).numpy().tobytes()
