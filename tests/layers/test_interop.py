import os
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from moe_tutorial.layers import ClampedSwiGLU, from_transformers

installed = find_spec("transformers") or os.environ.get("CI")  # in CI the oracle is never left out
needs_transformers = pytest.mark.skipif(not installed, reason="transformers, the oracle, is not installed")

NORMALISED = {"norm_topk_prob": True}
V3, V4 = {"n_group": 4, "topk_group": 2}, {"num_hidden_layers": 1, "mlp_layer_types": ["moe"]}
FAMILIES = {  # a block and its config, what the config calls h and E, and further settings
    "mixtral": ("MixtralSparseMoeBlock", "MixtralConfig", "intermediate_size", "num_local_experts", {}),
    "qwen3_moe": ("Qwen3MoeSparseMoeBlock", "Qwen3MoeConfig", "moe_intermediate_size", "num_experts", NORMALISED),
    "olmoe": ("OlmoeSparseMoeBlock", "OlmoeConfig", "intermediate_size", "num_experts", {"norm_topk_prob": False}),
    "deepseek_v3": ("DeepseekV3MoE", "DeepseekV3Config", "moe_intermediate_size", "n_routed_experts", V3),
    "deepseek_v4": ("DeepseekV4SparseMoeBlock", "DeepseekV4Config", "moe_intermediate_size", "n_routed_experts", V4),
    "gpt_oss": ("GptOssMLP", "GptOssConfig", "intermediate_size", "num_local_experts", {}),
}


def published(family, d=16, h=24, E=8, k=2, **changes):
    """A published block of these sizes."""
    block, config, name_h, name_E, settings = FAMILIES[family]
    sizes = {"hidden_size": d, "num_experts_per_tok": k, name_h: h, name_E: E}
    config = getattr(import_module("transformers"), config)(**sizes, **settings | changes)
    block = getattr(import_module(f"transformers.models.{family}.modeling_{family}"), block)
    return block(config, 0) if family == "deepseek_v4" else block(config)


CASES = {
    "mixtral": ("mixtral", {}),
    "mixtral of other sizes": ("mixtral", {"d": 33, "h": 7, "E": 5, "k": 3}),
    "mixtral, every expert, gelu": ("mixtral", {"E": 4, "k": 4, "hidden_act": "gelu"}),
    "qwen3, norm_topk_prob": ("qwen3_moe", {}),
    "qwen3, 32 experts, relu": ("qwen3_moe", {"d": 24, "h": 8, "E": 32, "k": 8, "hidden_act": "relu"}),
    "olmoe, no norm_topk_prob": ("olmoe", {}),
    "deepseek": ("deepseek_v3", {}),
    "deepseek, one group": ("deepseek_v3", {"n_group": 1, "topk_group": 1, "k": 3}),
    "deepseek, best of 8 groups": ("deepseek_v3", {"d": 20, "E": 32, "k": 4, "n_group": 8, "topk_group": 1}),
    "deepseek, 3 shared experts": ("deepseek_v3", {"n_shared_experts": 3, "routed_scaling_factor": 1.0, "k": 4}),
    # Numbers of these sizes seldom reach the published limits of 7 and 10.
    "deepseek 4": ("deepseek_v4", {"swiglu_limit": 1.0, "routed_scaling_factor": 2.5}),
    "deepseek 4, 4 of 32": ("deepseek_v4", {"d": 20, "h": 9, "E": 32, "k": 4, "swiglu_limit": 0.5}),
    "deepseek 4, 1 of 4": ("deepseek_v4", {"E": 4, "k": 1}),
    "gpt-oss": ("gpt_oss", {"swiglu_limit": 1.0, "swiglu_alpha": 1.3}),
    "gpt-oss, 4 of 32": ("gpt_oss", {"d": 20, "h": 9, "E": 32, "k": 4, "swiglu_limit": 0.5}),
    "gpt-oss, 1 of 4": ("gpt_oss", {"E": 4, "k": 1}),
}


def random_block(case):
    family, options = CASES[case]
    block = published(family, **options)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    if family.startswith("deepseek"):
        nn.init.normal_(block.gate.e_score_correction_bias, std=0.3)
    return block


@needs_transformers
@pytest.mark.parametrize("dispatch", ["sparse", "dense"])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_published_block(case, dispatch):
    for shape, training in (((3, 11), True), ((1, 1), False)):
        block = random_block(case).train(training)
        moe = from_transformers(block)
        moe.dispatch = dispatch
        x = torch.randn(*shape, moe.experts.d_model, requires_grad=True)
        own_x = x.detach().clone().requires_grad_()
        theirs, ours = block(x), moe(own_x)[0]
        theirs = theirs[0] if isinstance(theirs, tuple) else theirs
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)

        direction = torch.randn_like(theirs)
        theirs.backward(direction)
        ours.backward(direction)
        torch.testing.assert_close(own_x.grad, x.grad, rtol=1e-5, atol=1e-5)
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.copy_(parameter.grad)
        expected = dict(from_transformers(block).named_parameters())  # their gradients, under our names
        found = {name: parameter.grad for name, parameter in moe.named_parameters()}
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@needs_transformers
def test_the_clamps_are_the_published_ones():
    assert from_transformers(published("gpt_oss")).experts.activation == ClampedSwiGLU(7.0, 1.702, offset=1.0)
    moe = from_transformers(published("deepseek_v4"))
    assert moe.experts.activation == moe.shared.activation == ClampedSwiGLU(10.0)


@needs_transformers
def test_weights_are_copied_with_dtype_device_and_mode():
    block = random_block("deepseek").to(torch.bfloat16).eval()
    block.gate.float()
    moe = from_transformers(block)
    assert not moe.training
    assert moe.experts.w_in.dtype == torch.bfloat16
    assert moe.router.weight.dtype == moe.router.bias.dtype == torch.float32
    x = torch.randn(2, 5, 16).bfloat16()
    y, _ = moe(x)
    torch.testing.assert_close(y, block(x), rtol=0.05, atol=0.05)
    with torch.no_grad():
        for tensor in (*block.parameters(), *block.buffers()):
            tensor.zero_()
    assert torch.equal(moe(x)[0], y)
    assert from_transformers(block.train()).training
    on_meta = from_transformers(block.to("meta"))
    assert {tensor.device.type for tensor in (*on_meta.parameters(), *on_meta.buffers())} == {"meta"}


@needs_transformers
@pytest.mark.parametrize("gate_dtype", [torch.bfloat16, torch.float32])
def test_a_float32_correction_bias_in_a_bfloat16_block_is_not_rounded(gate_dtype):
    block = random_block("deepseek, one group").to(torch.bfloat16)
    block.gate.to(gate_dtype)
    # A published bias lies far above the scores, which differ by less than bfloat16's steps of 1/32 there.
    bias = 7 + torch.rand(8) / 50
    block.gate.e_score_correction_bias = nn.Buffer(bias.clone())
    moe = from_transformers(block)
    assert moe.router.weight.dtype == gate_dtype
    assert torch.equal(moe.router.bias, bias)
    x = 0.01 * torch.randn(300, 16).bfloat16()
    theirs, (ours, routing) = block(x), moe(x)
    _, weights, indices = block.gate(x)
    assert torch.equal(routing.indices.sort().values, indices.sort().values)
    assert len(set(map(tuple, indices.sort().values.tolist()))) > 3  # it is not the bias alone that chooses
    torch.testing.assert_close(routing.weights.sort().values, weights.sort().values)
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=1e-3)
    moe.router.bias.copy_(bias.bfloat16())
    assert not torch.equal(moe(x)[1].indices.sort().values, indices.sort().values)  # rounded, others are chosen


@needs_transformers
@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("mixtral", {"router_jitter_noise": 0.1}, "block's router_jitter_noise must be 0, got 0.1"),
        ("mixtral", {"hidden_act": "gelu_new"}, "block's activation must be one of .*SiLU.*, got NewGELUActivation"),
        ("deepseek_v4", {"mlp_layer_types": ["hash_moe"]}, "must have a learned router, .* hash layers.* no token ids"),
        ("deepseek_v4", {"scoring_func": "sigmoid"}, "scores must be one of SqrtSoftplusActivation, got Sigmoid"),
        ("deepseek_v4", {"hidden_act": "gelu"}, "activation must be one of SiLU, SiLUActivation, got GELUActivation"),
        ("deepseek_v4", {"mlp_bias": True}, "shared expert must have no biases, got mlp_bias=True"),
    ],
)
def test_what_cannot_be_expressed_is_named(family, options, message):
    with pytest.raises(ValueError, match=message):
        from_transformers(published(family, **options))


def test_other_blocks_are_named():
    blocks = ", ".join(block for block, *_ in FAMILIES.values())
    for other, name in ((nn.Linear(2, 2), "Linear"), (None, "NoneType")):
        with pytest.raises(TypeError, match=f"^block must be one of {blocks}, got {name}$"):
            from_transformers(other)
