"""The playground's other engine: torch trains in the kernel, the page only draws.

It is the live training (`live.py`) with more to see and to do. The page says what to build and on which points, or the
learner hands in a layer; a frame then holds all that the page's own engine would measure.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
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
from moe_tutorial.show.live import RECENT, LiveTraining, _looking
from moe_tutorial.show.regions import _experts
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


class KernelTraining(LiveTraining):
    """What the playground does in the kernel. It trains nothing until the page asks for something to be built.

    Args:
        layer: the learner's own layer, as in `train_live`; None to build what the page's controls say.
        points: the learner's own Dataset; None to train on the points that the page sends.
        extent: left, right, bottom, top of the plane around these points.
    """

    def __init__(self, layer: nn.Module | None = None, points: Any = None, extent: Sequence[float] = (), **traits: Any):
        self._own, self._data_given, self._extent = layer, points, list(extent)
        self._built, self._point, self.step, self._k = False, 0, 0, 0
        self._gradients: deque[float] = deque(maxlen=RECENT)
        settings = {"experts": 0, "sliders": [], "resolution": 0}
        knobs = {"rate": 0.01, "coefficient": 0.0, "balance": "none", "batch": 1}
        super().__init__(
            nn.Module() if layer is None else layer, points, self._term, 0, 1, knobs, settings=settings, **traits
        )

    def start(self) -> None:
        if self._built:
            super().start()

    def reset(self) -> None:
        if self._built:
            super().reset()

    # Training.

    def _build(self, wanted: dict, buffers: list[bytes]) -> None:
        if self._data_given is None:
            x, y, regime, x_test, y_test, regime_test, extent = buffers
            places = [torch.from_numpy(np.frombuffer(part).astype(np.float32)).reshape(-1, 2) for part in (x, x_test)]
            labels = [
                torch.from_numpy(np.frombuffer(p, np.uint8).astype(np.int64)) for p in (y, regime, y_test, regime_test)
            ]
            self._data = Dataset(places[0], *labels[:2], places[1], *labels[2:])
            self._extent = np.frombuffer(extent).tolist()
        data, self._seed, self._batch_size = self._data, wanted["seed"], wanted["batch"]
        self._point = min(self._point, len(data.x_train) - 1)
        left, right, bottom, top = self._extent
        self._planes = [
            torch.cartesian_prod(torch.linspace(top, bottom, side), torch.linspace(left, right, side)).flip(1)
            for side in (SIDE, EXPERT_SIDE)
        ]
        classes = int(torch.cat([data.y_train, data.y_test]).max()) + 1
        if self._own is None:
            self.layer = build(wanted, classes)
            self._first = {name: value.detach().clone() for name, value in self.layer.state_dict().items()}
        with _looking(self.layer, 0):
            scores, routing = self.layer(data.x_train[:1])
        n_experts = routing.logits.shape[1]
        _experts(n_experts, "layer")
        router = getattr(self.layer, "router", None)
        noisy = hasattr(router, "noise") and not isinstance(router.noise, str)
        self.settings = {"experts": n_experts, "sliders": ["noise"] if noisy else [], "resolution": 0}
        self._classes = max(classes, scores.shape[1])
        self._knobs = {name: wanted[name] for name in ("rate", "coefficient", "balance", "batch")}
        can = {
            "noise": noisy,
            "k": hasattr(router, "top_k"),
            "balance": isinstance(routing, Routing),
            "coefficient": isinstance(routing, Routing),
            "build": self._own is None,
            "knock": hasattr(router, "out"),
            "force": hasattr(router, "forced"),
        }
        free = self._data_given is None
        self._can = [
            "rate",
            "batch",
            *(["data", "centred", "seed"] if free else []),
            *(name for name in can if can[name]),
        ]
        self._built = True
        self._restart()

    def _restart(self) -> None:
        super()._restart()
        self._gradients.clear()
        self._optimizer.register_step_post_hook(self._stepped)

    def _term(self, routing: Any) -> Tensor:
        """The balance loss. Who is knocked out does not count."""
        self._routing = routing
        if self._knobs["balance"] not in LOSSES:
            return torch.zeros(())
        out = getattr(getattr(self.layer, "router", None), "out", None)
        if out is not None:
            place = (~out).cumsum(0) - 1
            routing = routing._replace(probs=routing.probs[:, ~out], indices=place[routing.indices])
        return LOSSES[self._knobs["balance"]](routing)

    def _stepped(self, *_: Any) -> None:
        router = getattr(self.layer, "router", None)
        gradient = getattr(getattr(router, "weight", None), "grad", None)
        self._gradients.append(0.0 if gradient is None else gradient.norm().item())
        bias = getattr(router, "bias", None)
        if self._knobs["balance"] == "bias" and self._knobs["coefficient"] and bias is not None:
            out = getattr(router, "out", torch.zeros(len(bias), dtype=torch.bool))
            place, moved = (~out).cumsum(0) - 1, bias[~out]
            BiasBalancer(self._knobs["coefficient"]).update(moved, place[self._routing.indices])
            bias[~out] = moved

    # What the page wants.

    def _receive(self, widget: Any, content: dict, buffers: list) -> None:
        if content.get("do") == "build":
            content = content | {"buffers": [bytes(buffer) for buffer in buffers]}
        super()._receive(widget, content, buffers)

    def _obey(self, note: dict) -> None:
        if note.get("do") == "build":
            self._built = self.running = False
            self._build(note["settings"], note["buffers"])
        elif not self._built:
            return
        elif "look" in note:
            self._point = note["look"]
        elif "knock" in note:
            self._knock(*note["knock"])
        elif "force" in note:
            self._force(*note["force"])
        super()._obey(note)
        self._batch_size = self._knobs["batch"]
        if note.get("set", {}).keys() - {"rate"} or "knock" in note or "force" in note:
            self._recent.clear()  # choices with other settings
            self._gradients.clear()
        if self._own is None and self._knobs["balance"] != "bias" and hasattr(self.layer.router, "bias"):
            self.layer.router.bias.zero_()

    def _knock(self, expert: int, gone: bool) -> None:
        router = self.layer.router
        out = router.out.clone()
        out[expert] = gone
        if out.all():
            raise ValueError(f"expert {expert} is the last one; one has to stay")
        router.out = out
        if gone and router.forced is not None and router.forced[0] == expert:
            router.forced = None

    def _force(self, expert: int, part: float | None) -> None:
        router = self.layer.router
        if part is not None and router.out[expert]:
            raise ValueError(f"expert {expert} is knocked out; only one that works can be forced")
        if part is not None:
            router.forced = (expert, part)
        elif router.forced is not None and router.forced[0] == expert:
            router.forced = None

    # What the page sees.

    def _show(self) -> None:
        if not self._built:
            self._put()
            return
        data, layer, n_experts = self._data, self.layer, self.settings["experts"]
        now = np.mean(self._recent, 0) if self._recent else None
        with _looking(layer, self._seed):
            router = getattr(layer, "router", None)
            if getattr(router, "forced", None) is not None:
                # Its offset in evaluation is that of all points, without noise.
                noise, router.noise = router.noise, None
                layer(data.x_train)
                router.noise = noise
            layer.eval()
            if now is None:  # nothing was trained with these settings yet: what would be chosen?
                now = self._loss(data.x_train, data.y_train)[1]
            scores, routing = layer(data.x_train)
            usage = share(routing.indices, n_experts)
            right = layer(data.x_test)[0].argmax(-1) == data.y_test
            answers, plane = layer(self._planes[0])
            experts = getattr(layer, "experts", None)
            opinions = experts(self._planes[1]).argmax(-1).T if isinstance(experts, Experts) else torch.empty(0)
            inspected = self._inspect()
        row = [self.step, *now.tolist()]
        if not self.step:
            self._history = [row]
        history = [kept for kept in self._history if kept[0] < self.step] + [row]
        out, forced = (getattr(router, name, None) for name in ("out", "forced"))
        owner = plane.indices[:, :1]
        probs = plane.probs if isinstance(plane, Routing) else plane.logits.softmax(-1)
        self._put(
            task=row[1], extra=row[2], shares=row[3:], recent=len(self._recent), error="",
            routerGradient=float(np.mean(self._gradients)) if self._gradients else 0.0,
            accuracy=right.float().mean().item(), loss=F.cross_entropy(scores, data.y_train).item(),
            usage=usage.tolist(), dead=int(dead(usage)), entropy=float(entropy(usage)), largest=float(max_share(usage)),
            nmi=specialisation(routing.indices[:, 0], getattr(data, "regime_train", data.y_train)),
            pointPredicted=_bytes(scores.argmax(-1)), history=np.array(history, np.float32).tobytes(),
            side=SIDE, owner=_bytes(owner), predicted=_bytes(answers.argmax(-1)),
            confidence=_bytes((255 * probs.gather(1, owner)).round()),
            expertSide=EXPERT_SIDE, expertPlanes=_bytes(opinions), experts=n_experts, classes=self._classes,
            inspected=inspected, knocked=None if out is None else out.tolist(),
            forced=None if forced is None else {"expert": forced[0], "share": forced[1]}, can=self._can,
        )  # fmt: skip

    def _inspect(self) -> dict:
        """One training point, without noise: who answers it, and what its own cross-entropy tells the router."""
        x, label = self._data.x_train[self._point][None], self._data.y_train[self._point][None]
        with torch.enable_grad():
            scores, routing = self.layer(x)
            gradient = None
            if routing.logits.requires_grad:
                gradient = torch.autograd.grad(F.cross_entropy(scores, label), routing.logits, allow_unused=True)[0]
        experts = getattr(self.layer, "experts", None)
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


def _bytes(values: Tensor) -> bytes:
    return values.flatten().to(torch.uint8).numpy().tobytes()
