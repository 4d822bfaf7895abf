"""The playground's other engine: torch trains in the kernel, the page only draws.

It trains as the live panel does (`live/trainer.py`), with more to see and to do. The page says what to build and on
which points, or the learner hands in a layer; a frame then holds all that the page's own engine would measure.
"""

from collections import deque
from collections.abc import Sequence
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
from moe_tutorial.show.arrays import check_experts
from moe_tutorial.show.live.trainer import RECENT, Run, Trainer, looking
from moe_tutorial.study import Dataset, dead, entropy, max_share, share, specialisation

SIDE, EXPERT_SIDE = 80, 40
"""Places along each side of the plane, and of an expert's small picture."""
LOSSES = {"switch": switch_loss, "importance": importance_loss}


class PlaygroundRouter(Router):
    """A router of which experts can be knocked out, or one forced to have a share of the choices.

    Attributes:
        out: (E,) who is knocked out: probability 0, and never chosen.
        forced: an expert and its share of all choices, by an offset to its ranking and to nothing else; or None.
        offset: what this offset is in ``eval()``. In ``train()`` each batch finds its own, and leaves it here.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, bias=True, **options)
        self.out = torch.zeros(self.n_experts, dtype=torch.bool)
        self.forced: tuple[int, float] | None = None
        self.offset = torch.zeros(())

    def probabilities(self, logits: Tensor) -> Tensor:
        self._logits = logits.detach()  # the last are those that the choice goes by
        return super().probabilities(logits.masked_fill(self.out, -torch.inf))

    def choose(self, ranking: Tensor) -> Tensor:
        if self.gate != "topk_softmax" and not self.bias.any():
            ranking = self._logits  # rank the same, and tell small probabilities apart when an offset is added
        ranking = (ranking + self.bias).masked_fill(self.out, -torch.inf)
        alive = int((~self.out).sum())
        k, n = min(self.top_k, alive), len(ranking)
        if self.forced is not None and k < alive:
            expert, part = self.forced
            if self.training:
                rivals = ranking.index_fill(1, torch.tensor(expert), -torch.inf).topk(k).values[:, -1]
                missing = (rivals - ranking[:, expert]).sort().values
                missing = torch.cat([missing.new_tensor([-torch.inf]), missing, missing.new_tensor([torch.inf])])
                wanted = min(n, round(part * k * n))
                self.offset = (missing[wanted : wanted + 2].sum() / 2).detach()
            ranking = ranking.index_add(1, torch.tensor([expert]), self.offset.expand(n, 1))
        return ranking.topk(k).indices


def build(wanted: dict, n_classes: int) -> MixtureOfExperts:
    """The layer that the page's controls say, drawn from their seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted["seed"])
        if wanted["gate"] == "hash":
            router = HashRouter(2, wanted["E"], wanted["k"])
        else:
            router = PlaygroundRouter(2, wanted["E"], wanted["k"], gate=wanted["gate"], noise=wanted["noise"])
        return MixtureOfExperts(2, wanted["width"], wanted["E"], wanted["k"], router, d_out=n_classes)


class KernelTraining(anywidget.AnyWidget):
    """What the playground does in the kernel. It trains nothing until the page asks for something to be built.

    Args:
        layer: the learner's own layer, as in `train_live`; None to build what the page's controls say.
        points: the learner's own Dataset; None to train on the points that the page sends.
        extent: left, right, bottom, top of the plane around these points.

    Attributes:
        trainer: the thread that trains by itself, and the run that it trains, once something is built.
        frame: what the page draws.
    """

    frame = t.Dict().tag(sync=True)

    def __init__(self, layer: nn.Module | None = None, points: Any = None, extent: Sequence[float] = (), **traits: Any):
        super().__init__(**traits)
        self._own, self._points, self._extent = layer, points, list(extent)
        self._own_first = (
            {} if layer is None else {name: value.detach().clone() for name, value in layer.state_dict().items()}
        )
        self._point, self._balance = 0, "none"
        self._gradients: deque[float] = deque(maxlen=RECENT)
        self.trainer = Trainer(self._obey, self._measure, self._put)
        self.on_msg(self._receive)

    def close(self) -> None:
        self.trainer.running = False
        super().close()

    def _receive(self, _: Any, content: dict, buffers: list) -> None:
        if content.get("do") == "build":
            content = content | {"buffers": [bytes(buffer) for buffer in buffers]}
        self.trainer.receive(content)

    # The trainer's questions: what the page wants.

    def _obey(self, note: dict) -> None:
        if note.get("do") == "build":
            self.trainer.run, self.trainer.running = None, False
            self.trainer.run = self._build(note["settings"], note["buffers"])
        run = self.trainer.run
        if run is None:
            return
        for name, value in note.get("set", {}).items():
            self._set(run, name, value)
        if "look" in note:
            self._point = note["look"]
        if "knock" in note:
            self._knock(*note["knock"])
        if "force" in note:
            self._force(*note["force"])
        if note.get("set", {}).keys() - {"rate"} or "knock" in note or "force" in note:
            run.recent.clear()  # choices with other settings
            self._gradients.clear()
        if note.get("do") == "reset":
            self._gradients.clear()
        if self._own is None and self._balance != "bias" and hasattr(run.layer.router, "bias"):
            run.layer.router.bias.zero_()

    def _build(self, wanted: dict, buffers: list[bytes]) -> Run:
        data = self._points
        if data is None:
            data, self._extent = _received(buffers), np.frombuffer(buffers[-1]).tolist()
        self._point = min(self._point, len(data.x_train) - 1)
        left, right, bottom, top = self._extent
        self._planes = [
            torch.cartesian_prod(torch.linspace(top, bottom, side), torch.linspace(left, right, side)).flip(1)
            for side in (SIDE, EXPERT_SIDE)
        ]
        classes = int(torch.cat([data.y_train, data.y_test]).max()) + 1
        if self._own is None:
            layer = build(wanted, classes)
        else:
            layer = self._own
            layer.load_state_dict(self._own_first)
        with looking(layer, 0):
            scores, routing = layer(data.x_train[:1])
        n_experts = routing.logits.shape[1]
        check_experts(n_experts, "layer")
        self._classes = max(classes, scores.shape[1])
        self._balance = wanted["balance"]
        self._gradients.clear()
        self._can = self._possible(layer, routing)
        return Run(
            layer, data, n_experts,
            seed=wanted["seed"], batch_size=wanted["batch"], rate=wanted["rate"], coefficient=wanted["coefficient"],
            balance=self._term, after_step=self._after_step,
        )  # fmt: skip

    def _possible(self, layer: nn.Module, routing: Any) -> list[str]:
        """The settings that the page may offer for this layer."""
        router = getattr(layer, "router", None)
        can = {
            "noise": _noisy(layer),
            "k": hasattr(router, "top_k"),
            "balance": isinstance(routing, Routing),
            "coefficient": isinstance(routing, Routing),
            "build": self._own is None,
            "knock": hasattr(router, "out"),
            "force": hasattr(router, "forced"),
        }
        free = ["data", "centred", "seed"] if self._points is None else []
        return ["rate", "batch", *free, *(name for name in can if can[name])]

    def _set(self, run: Run, name: str, value: Any) -> None:
        if name == "balance":
            self._balance = value
        elif name in ("coefficient", "rate"):
            setattr(run, name, value)
        elif name == "batch":
            run.batch_size = value
        else:
            setattr(run.layer.router, {"k": "top_k"}.get(name, name), value)

    def _knock(self, expert: int, gone: bool) -> None:
        router = self.trainer.run.layer.router
        out = router.out.clone()
        out[expert] = gone
        if out.all():
            raise ValueError(f"expert {expert} is the last one; one has to stay")
        router.out = out
        if gone and router.forced is not None and router.forced[0] == expert:
            router.forced = None

    def _force(self, expert: int, part: float | None) -> None:
        router = self.trainer.run.layer.router
        if part is not None and router.out[expert]:
            raise ValueError(f"expert {expert} is knocked out; only one that works can be forced")
        if part is not None:
            router.forced = (expert, part)
        elif router.forced is not None and router.forced[0] == expert:
            router.forced = None

    # The run's questions.

    def _term(self, routing: Any) -> Tensor:
        """The balance loss. Who is knocked out does not count."""
        if self._balance not in LOSSES:
            return torch.zeros(())
        out = getattr(getattr(self.trainer.run.layer, "router", None), "out", None)
        if out is not None:
            place = (~out).cumsum(0) - 1
            routing = routing._replace(probs=routing.probs[:, ~out], indices=place[routing.indices])
        return LOSSES[self._balance](routing)

    def _after_step(self, routing: Any) -> None:
        run = self.trainer.run
        router = getattr(run.layer, "router", None)
        gradient = getattr(getattr(router, "weight", None), "grad", None)
        self._gradients.append(0.0 if gradient is None else gradient.norm().item())
        bias = getattr(router, "bias", None)
        if self._balance == "bias" and run.coefficient and bias is not None:
            out = getattr(router, "out", torch.zeros(len(bias), dtype=torch.bool))
            place, moved = (~out).cumsum(0) - 1, bias[~out]
            BiasBalancer(run.coefficient).update(moved, place[routing.indices])
            bias[~out] = moved

    # What the page sees.

    def _put(self, frame: dict[str, Any]) -> None:
        run = self.trainer.run
        if run is not None:
            knobs = {
                "rate": run.rate,
                "coefficient": run.coefficient,
                "balance": self._balance,
                "batch": run.batch_size,
                "k": run.k,
            }
            if _noisy(run.layer):
                knobs["noise"] = run.layer.router.noise or 0.0
            frame = frame | {"knobs": knobs}
        self.frame = self.frame | frame

    def _measure(self) -> dict[str, Any]:
        run = self.trainer.run
        if run is None:
            return {}
        data, layer, n_experts = run.data, run.layer, run.n_experts
        with looking(layer, run.seed):
            router = getattr(layer, "router", None)
            if getattr(router, "forced", None) is not None:
                # Its offset in evaluation is that of all points, without noise.
                noise, router.noise = router.noise, None
                layer(data.x_train)
                router.noise = noise
            layer.eval()
            record = run.record(data.x_train, data.y_train)
            scores, routing = layer(data.x_train)
            usage = share(routing.indices, n_experts)
            right = layer(data.x_test)[0].argmax(-1) == data.y_test
            answers, plane = layer(self._planes[0])
            experts = getattr(layer, "experts", None)
            opinions = experts(self._planes[1]).argmax(-1).T if isinstance(experts, Experts) else torch.empty(0)
            inspected = self._inspect(run)
        out, forced = (getattr(router, name, None) for name in ("out", "forced"))
        owner = plane.indices[:, :1]
        probs = plane.probs if isinstance(plane, Routing) else plane.logits.softmax(-1)
        return record | {
            "error": "",
            "routerGradient": float(np.mean(self._gradients)) if self._gradients else 0.0,
            "accuracy": right.float().mean().item(),
            "loss": F.cross_entropy(scores, data.y_train).item(),
            "usage": usage.tolist(),
            "dead": int(dead(usage)),
            "entropy": float(entropy(usage)),
            "largest": float(max_share(usage)),
            "nmi": specialisation(routing.indices[:, 0], getattr(data, "regime_train", data.y_train)),
            "pointPredicted": _bytes(scores.argmax(-1)),
            "side": SIDE,
            "owner": _bytes(owner),
            "predicted": _bytes(answers.argmax(-1)),
            "confidence": _bytes((255 * probs.gather(1, owner)).round()),
            "expertSide": EXPERT_SIDE,
            "expertPlanes": _bytes(opinions),
            "experts": n_experts,
            "classes": self._classes,
            "inspected": inspected,
            "knocked": None if out is None else out.tolist(),
            "forced": None if forced is None else {"expert": forced[0], "share": forced[1]},
            "can": self._can,
        }

    def _inspect(self, run: Run) -> dict:
        """One training point, without noise: who answers it, and what its own cross-entropy tells the router."""
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
    """The points that the page sends: x, y, regime, and the same for the test."""
    x, y, regime, x_test, y_test, regime_test = buffers[:6]
    places = [torch.from_numpy(np.frombuffer(part).astype(np.float32)).reshape(-1, 2) for part in (x, x_test)]
    labels = [torch.from_numpy(np.frombuffer(p, np.uint8).astype(np.int64)) for p in (y, regime, y_test, regime_test)]
    return Dataset(places[0], *labels[:2], places[1], *labels[2:])


def _noisy(layer: nn.Module) -> bool:
    """Whether a slider can set its noise."""
    router = getattr(layer, "router", None)
    return hasattr(router, "noise") and not isinstance(router.noise, str)


def _bytes(values: Tensor) -> bytes:
    return values.flatten().to(torch.uint8).numpy().tobytes()
