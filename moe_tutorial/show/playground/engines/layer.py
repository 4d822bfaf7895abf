"""The layer that the kernel trains: the learner's own, or what the page's controls describe."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from moe_tutorial.layers import HashRouter, MixtureOfExperts, Router
from moe_tutorial.show.arrays import check_experts, parts_of
from moe_tutorial.show.playground.engines.trainer import preserving
from moe_tutorial.study.usage import check_indices

TRIED = 128  # points of the forward pass that checks a learner's layer


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


def build(wanted: dict, n_classes: int) -> MixtureOfExperts:
    """Build the layer that the page's controls describe, initialised from their seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted["seed"])
        if wanted["gate"] == "hash":
            router = HashRouter(2, wanted["E"], wanted["k"])
        else:
            router = PlaygroundRouter(2, wanted["E"], wanted["k"], gate=wanted["gate"], noise=wanted["noise"])
        return MixtureOfExperts(2, wanted["width"], wanted["E"], wanted["k"], router, d_out=n_classes)


def settings_like(layer: nn.Module) -> dict[str, Any] | None:
    """The page's settings for a mixture that is built like this layer; None if the page cannot build one."""
    if type(layer) is not MixtureOfExperts or not isinstance(layer.router, Router | HashRouter):
        return None
    experts, router = layer.experts, layer.router
    sizes = experts.n_experts, router.top_k
    with torch.random.fork_rng(devices=[]):
        if isinstance(router, HashRouter):
            gate, noise, plain = "hash", None, HashRouter(2, *sizes)
        else:
            gate, noise = router.gate, router.noise
            plain = Router(2, *sizes, gate=gate, noise=noise, bias=router.bias is not None)
        twin = MixtureOfExperts(2, experts.d_hidden, *sizes, plain, d_out=experts.d_out, dispatch=layer.dispatch)
    shapes, wanted = ({name: value.shape for name, value in one.state_dict().items()} for one in (layer, twin))
    if str(layer) != str(twin) or shapes != wanted:
        return None
    return {"E": sizes[0], "k": sizes[1], "width": experts.d_hidden, "gate": gate, "noise": noise or 0}


def examine(layer: nn.Module, data: Any, balance: Callable | None) -> tuple[int, int]:
    """Run one batch forward to find errors early; return the numbers of experts and classes."""
    if not isinstance(layer, nn.Module) or not any(p.requires_grad for p in layer.parameters()):
        raise ValueError(f"layer is {type(layer).__name__}; allowed is a torch.nn.Module with parameters to train")
    x, y, *_ = parts_of(data)
    x, n_classes = x[:TRIED], int(y.max()) + 1
    with preserving(layer, 0):
        out = layer(x)
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
        check_indices(routing.indices, n_experts)
        term = balance(routing) if balance else torch.tensor(0.0)
        if not isinstance(term, Tensor) or term.ndim:
            got = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise ValueError(f"balance returns {got}; allowed is a tensor with one number, of shape ()")
    return n_experts, shapes[0][1]
