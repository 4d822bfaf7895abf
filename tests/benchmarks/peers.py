"""The mixtures that ours is measured against, with the same weights: the code that people run and read.

Experts are Mixtral's, gated with silu and without biases. All peers drop no token, and route as Mixtral does.
"""

from collections.abc import Callable
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from moe_tutorial.layers import MixtureOfExperts

BACKENDS = ("eager", "grouped_mm", "batched_mm")  # the three ways of transformers that run on a processor


class Expert(nn.Module):
    def __init__(self, d: int, h: int):
        super().__init__()
        self.gate, self.up, self.down = (nn.Linear(*size, bias=False) for size in ((d, h), (d, h), (h, d)))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Loop(nn.Module):
    """The loop over a list of experts that tutorials teach."""

    def __init__(self, d: int, h: int, n_experts: int, k: int):
        super().__init__()
        self.router, self.k = nn.Linear(d, n_experts, bias=False), k
        self.experts = nn.ModuleList(Expert(d, h) for _ in range(n_experts))

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.router(x).softmax(-1).topk(self.k)
        weights = weights / weights.sum(-1, keepdim=True)
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, places = torch.where(chosen == number)
            if len(rows):
                y.index_add_(0, rows, expert(x[rows]) * weights[rows, places].unsqueeze(-1))
        return y


def ours(d: int, h: int, n_experts: int, k: int) -> MixtureOfExperts:
    return MixtureOfExperts(d, h, n_experts, k, gated=True, renormalize=True)


def build(d: int, h: int, n_experts: int, k: int) -> dict[str, nn.Module]:
    """Name -> a layer; all of them compute the same. "ours" comes first."""
    source = ours(d, h, n_experts, k)
    layers = {"ours": source}
    for backend in BACKENDS:
        config = MixtralConfig(
            hidden_size=d, intermediate_size=h, num_local_experts=n_experts, num_experts_per_tok=k, hidden_act="silu"
        )
        config._experts_implementation = backend
        layers[backend] = block = MixtralSparseMoeBlock(config)
        with torch.no_grad():
            block.gate.weight.copy_(source.router.weight)
            block.experts.gate_up_proj.copy_(torch.cat([source.experts.w_gate, source.experts.w_in], 1))
            block.experts.down_proj.copy_(source.experts.w_out.transpose(1, 2))
    layers["loop"] = loop = Loop(d, h, n_experts, k)
    fill(source, loop.router, [(e.gate, e.up, e.down) for e in loop.experts])
    if find_spec("litgpt"):
        layers["litgpt"] = published = litgpt(d, h, n_experts, k)
        fill(source, published.gate, [(e.fc_1, e.fc_2, e.proj) for e in published.experts])
    return layers


def fill(source: MixtureOfExperts, router: nn.Linear, experts: list[tuple[nn.Linear, nn.Linear, nn.Linear]]) -> None:
    with torch.no_grad():
        router.weight.copy_(source.router.weight)
        for number, (gate, up, down) in enumerate(experts):
            gate.weight.copy_(source.experts.w_gate[number])
            up.weight.copy_(source.experts.w_in[number])
            down.weight.copy_(source.experts.w_out[number].T)


def litgpt(d: int, h: int, n_experts: int, k: int) -> nn.Module:
    from litgpt import Config
    from litgpt.model import LLaMAMoE

    sizes = {"n_embd": d, "moe_intermediate_size": h, "n_expert": n_experts, "n_expert_per_token": k}
    return LLaMAMoE(Config(n_layer=1, n_head=1, bias=False, mlp_class_name="LLaMAMoE", intermediate_size=h, **sizes))


def answer(name: str, layer: nn.Module, x: Tensor) -> Tensor:
    """x (T, d) -> y (T, d), whatever else a layer wants to have or to tell."""
    if name == "ours":
        return layer(x)[0]
    return layer(x) if name == "loop" else layer(x.unsqueeze(0)).squeeze(0)


def forward(name: str, layer: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with torch.inference_mode():
            return answer(name, layer, x)

    return call


def training(name: str, layer: nn.Module, x: Tensor, target: Tensor) -> Callable[[], None]:
    """Forward and backward with fresh gradients, as after ``zero_grad()``; the tokens get one, too, as in a model."""
    x = x.clone().requires_grad_()

    def call() -> None:
        layer.zero_grad()
        x.grad = None
        answer(name, layer, x).backward(target)

    return call
