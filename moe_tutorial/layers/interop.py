"""Interop: a published model's mixture block, rebuilt as this course's ``MixtureOfExperts``."""

from collections.abc import Iterable

from torch import Tensor, nn

from .experts import ClampedSwiGLU
from .mixture import MixtureOfExperts

BLOCKS = (
    "MixtralSparseMoeBlock",
    "Qwen3MoeSparseMoeBlock",
    "OlmoeSparseMoeBlock",
    "DeepseekV3MoE",
    "DeepseekV4SparseMoeBlock",
    "GptOssMLP",
)

# Class names of these activations in transformers and torch. Their approximate gelus are other functions.
ACTIVATION_CLASSES = {"SiLU": "silu", "SiLUActivation": "silu", "GELUActivation": "gelu", "ReLU": "relu"}


def from_transformers(block: nn.Module) -> MixtureOfExperts:
    """A ``MixtureOfExperts`` with a copy of the block's weights, which routes as the block does.

    Args:
        block: one of these of transformers (5.24). It is recognised by the name of its class, so this package does not
            need transformers.

            - ``MixtralSparseMoeBlock`` (arXiv:2401.04088)
            - ``Qwen3MoeSparseMoeBlock`` (arXiv:2505.09388)
            - ``OlmoeSparseMoeBlock`` (arXiv:2409.02060)
            - ``DeepseekV3MoE`` (arXiv:2412.19437)
            - ``DeepseekV4SparseMoeBlock`` (DeepSeek-V4's technical report, 2026), if its router is a learned one
            - ``GptOssMLP`` (arXiv:2508.10925)

    Returns a mixture on the block's device, in its dtypes and its mode (train or eval): ``moe(x)[0]`` is ``block(x)``,
    and for ``GptOssMLP`` ``block(x)[0]``. The selection bias is float32, as a ``Router`` keeps it.

    Raises TypeError for any other block, and ValueError for what a ``MixtureOfExperts`` does not support: an activation
    other than silu, gelu and relu; Mixtral's jitter, which is noise that multiplies the input of the block; and of
    DeepSeek-V4 a hash layer, other scores or another activation than the published, and biases of the shared expert.
    """
    name = type(block).__name__
    if name not in BLOCKS:
        raise TypeError(f"block must be one of {', '.join(BLOCKS)}, got {name}")
    router = block.router if name == "GptOssMLP" else block.gate
    options, weights = router_options(block), copied_weights(block)
    w_in, shared = weights["experts.w_in"], weights.get("shared.w_in")
    n_experts, d_hidden, d_model = w_in.shape
    moe = MixtureOfExperts(
        d_model,
        d_hidden,
        n_experts,
        router.top_k,
        activation=activation(block),
        gated=True,
        expert_bias="experts.b_in" in weights,
        n_shared=0 if shared is None else 1,  # several shared experts are stored as one wide one: the same sum
        d_shared=None if shared is None else shared.shape[1],
        **options,
    )
    moe.to(w_in.device, w_in.dtype)
    moe.router.to(weights["router.weight"].dtype)
    moe.load_state_dict(weights)
    return moe.train(block.training)


def router_options(block: nn.Module) -> dict:
    """The options of a ``Router`` that routes as the block does."""
    name = type(block).__name__
    if name == "GptOssMLP":
        return {"gate": "topk_softmax", "logit_bias": True}
    gate = block.gate
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
    if name == "DeepseekV4SparseMoeBlock":
        if block.is_hash:
            raise ValueError(
                "block must have a learned router, got one of DeepSeek-V4's hash layers: a table of token ids chooses "
                "its experts, and a MixtureOfExperts sees no token ids"
            )
        check_class("scores", gate.score_fn, ["SqrtSoftplusActivation"])
        # It renormalises, whatever its config says.
        return {"gate": "sqrtsoftplus_topk", "renormalize": True, "bias": True, "scale": gate.routed_scaling_factor}
    return {"gate": "softmax_topk", "renormalize": gate.norm_topk_prob}


def activation(block: nn.Module) -> str | ClampedSwiGLU:
    """The activation of the block's experts, as ``Experts`` takes it."""
    name, experts = type(block).__name__, block.experts
    if name == "GptOssMLP":
        return ClampedSwiGLU(experts.limit, experts.alpha, offset=1.0)
    if name == "DeepseekV4SparseMoeBlock":
        check_class("activation", experts.act_fn, ["SiLU", "SiLUActivation"])
        return ClampedSwiGLU(experts.limit)
    return ACTIVATION_CLASSES[check_class("activation", experts.act_fn, ACTIVATION_CLASSES)]


def check_class(what: str, module: nn.Module, allowed: Iterable[str]) -> str:
    """The name of the module's class if it is one of ``allowed``; ValueError otherwise."""
    name = type(module).__name__
    if name not in allowed:
        raise ValueError(f"block's {what} must be one of {', '.join(allowed)}, got {name}")
    return name


def copied_weights(block: nn.Module) -> dict[str, Tensor]:
    """The block's weights under the names and in the shapes that they have in a ``MixtureOfExperts``."""
    experts, shared = block.experts, getattr(block, "shared_experts", None)
    if type(block).__name__ == "GptOssMLP":
        # Gate and up stand in turn, column by column: (E, d, 2h), as the token multiplies from the left.
        matrices, biases = experts.gate_up_proj.mT, experts.gate_up_proj_bias
        return {
            "router.weight": block.router.weight,
            "router.logit_bias": block.router.bias,
            "experts.w_gate": matrices[:, 0::2],
            "experts.b_gate": biases[:, 0::2],
            "experts.w_in": matrices[:, 1::2],
            "experts.b_in": biases[:, 1::2],
            "experts.w_out": experts.down_proj,
            "experts.b_out": experts.down_proj_bias,
        }
    gate, up = experts.gate_up_proj.chunk(2, dim=1)  # (E, 2h, d)
    weights = {"experts.w_gate": gate, "experts.w_in": up, "experts.w_out": experts.down_proj.mT}
    weights["router.weight"] = block.gate.weight
    if shared is not None:
        if shared.down_proj.bias is not None:
            raise ValueError("block's shared expert must have no biases, got mlp_bias=True")
        weights["router.bias"] = block.gate.e_score_correction_bias
        weights["shared.w_gate"] = shared.gate_proj.weight[None]
        weights["shared.w_in"] = shared.up_proj.weight[None]
        weights["shared.w_out"] = shared.down_proj.weight.T[None]
    return weights
