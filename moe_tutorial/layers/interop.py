"""Interop: a published model's mixture block, rebuilt as this course's ``MixtureOfExperts``."""

import torch
from torch import Tensor, nn

from .experts import Experts
from .mixture import MixtureOfExperts

BLOCKS = ("MixtralSparseMoeBlock", "Qwen3MoeSparseMoeBlock", "OlmoeSparseMoeBlock", "DeepseekV3MoE")

# Class names of these activations in transformers and torch. Their approximate gelus are other functions.
ACTIVATION_CLASSES = {"SiLU": "silu", "SiLUActivation": "silu", "GELUActivation": "gelu", "ReLU": "relu"}


def from_transformers(block: nn.Module) -> MixtureOfExperts:
    """A ``MixtureOfExperts`` with a copy of the block's weights, which routes as the block does.

    Args:
        block: transformers' (5.24) ``MixtralSparseMoeBlock`` (arXiv:2401.04088), ``Qwen3MoeSparseMoeBlock``
            (arXiv:2505.09388), ``OlmoeSparseMoeBlock`` (arXiv:2409.02060) or ``DeepseekV3MoE`` (arXiv:2412.19437). It
            is recognised by the name of its class, so this package does not need transformers.

    Returns a mixture on the block's device, in its dtypes and its mode (train or eval): ``moe(x)[0]`` is ``block(x)``.
    The selection bias is float32, as a ``Router`` keeps it.

    Raises TypeError for any other block, and ValueError for what a ``MixtureOfExperts`` does not support: an activation
    other than silu, gelu and relu, or Mixtral's jitter, which is noise that multiplies the input of the block.
    """
    if type(block).__name__ not in BLOCKS:
        raise TypeError(f"block must be one of {', '.join(BLOCKS)}, got {type(block).__name__}")
    gate, experts, shared = block.gate, block.experts, getattr(block, "shared_experts", None)
    n_experts, d_model, d_hidden = experts.down_proj.shape
    moe = MixtureOfExperts(
        d_model,
        d_hidden,
        n_experts,
        gate.top_k,
        activation=activation_name(experts.act_fn),
        gated=True,
        n_shared=0 if shared is None else 1,  # several shared experts are stored as one wide one: the same sum
        d_shared=None if shared is None else shared.gate_proj.out_features,
        **router_options(block),
    )
    moe.to(experts.down_proj.device, experts.down_proj.dtype)
    moe.router.to(gate.weight.dtype)
    with torch.no_grad():
        moe.router.weight.copy_(gate.weight)
        if moe.router.bias is not None:
            moe.router.bias.copy_(gate.e_score_correction_bias)
        fill(moe.experts, *experts.gate_up_proj.chunk(2, dim=1), experts.down_proj)
        if shared is not None:
            fill(moe.shared, shared.gate_proj.weight, shared.up_proj.weight, shared.down_proj.weight)
    return moe.train(block.training)


def router_options(block: nn.Module) -> dict:
    """The options of a ``Router`` that routes as the block does."""
    name, gate = type(block).__name__, block.gate
    if name == "MixtralSparseMoeBlock":
        if block.jitter_noise != 0:
            raise ValueError(f"block's router_jitter_noise must be 0, got {block.jitter_noise}")
        return {"gate": "softmax_topk", "renormalize": True}
    if name == "DeepseekV3MoE":
        return {
            "gate": "sigmoid_topk",
            "renormalize": gate.norm_topk_prob,
            "bias": True,
            "n_groups": gate.num_group,
            "top_groups": gate.topk_group,
            "scale": gate.routed_scaling_factor,
        }
    return {"gate": "softmax_topk", "renormalize": gate.norm_topk_prob}


def activation_name(act_fn: nn.Module) -> str:
    """The name that ``Experts`` has for an activation of transformers."""
    name = type(act_fn).__name__
    if name not in ACTIVATION_CLASSES:
        raise ValueError(f"block's activation must be one of {', '.join(ACTIVATION_CLASSES)}, got {name}")
    return ACTIVATION_CLASSES[name]


def fill(experts: Experts, gate: Tensor, up: Tensor, down: Tensor) -> None:
    """Copy gate and up (E, h, d) and down (E, d, h), or one expert's matrices, into gated experts."""
    experts.w_gate.copy_(gate)
    experts.w_in.copy_(up)
    experts.w_out.copy_(down.transpose(-1, -2))
