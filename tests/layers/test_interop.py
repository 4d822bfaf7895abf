import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from moe_tutorial.layers import from_transformers

try:
    import transformers
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
    from transformers.models.olmoe.modeling_olmoe import OlmoeSparseMoeBlock
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock
except ImportError:
    if os.environ.get("CI"):
        raise  # in CI the oracle is never left out
    transformers = None

needs_transformers = pytest.mark.skipif(transformers is None, reason="transformers, the oracle, is not installed")


def published(block, config, names, d=16, h=24, E=8, k=2, **more):
    """A published block of these sizes. ``names``: what its config calls ``h`` and ``E``."""
    sizes = dict(zip(("hidden_size", "num_experts_per_tok", *names), (d, k, h, E), strict=True))
    return block(getattr(transformers, config)(**sizes, **more))


def mixtral(**options):
    return published(MixtralSparseMoeBlock, "MixtralConfig", ("intermediate_size", "num_local_experts"), **options)


def qwen3(norm_topk_prob=True, **options):
    names = "moe_intermediate_size", "num_experts"
    return published(Qwen3MoeSparseMoeBlock, "Qwen3MoeConfig", names, norm_topk_prob=norm_topk_prob, **options)


def olmoe(norm_topk_prob=False, **options):
    names = "intermediate_size", "num_experts"
    return published(OlmoeSparseMoeBlock, "OlmoeConfig", names, norm_topk_prob=norm_topk_prob, **options)


def deepseek(groups=4, top_groups=2, shared=1, scale=2.5, **options):
    names = "moe_intermediate_size", "n_routed_experts"
    own = {"n_group": groups, "topk_group": top_groups, "n_shared_experts": shared, "routed_scaling_factor": scale}
    return published(DeepseekV3MoE, "DeepseekV3Config", names, **{"norm_topk_prob": True, **own, **options})


CASES = {
    "mixtral": (mixtral, {}),
    "mixtral of other sizes": (mixtral, {"d": 33, "h": 7, "E": 5, "k": 3}),
    "mixtral, every expert, gelu": (mixtral, {"E": 4, "k": 4, "hidden_act": "gelu"}),
    "qwen3, norm_topk_prob": (qwen3, {}),
    "qwen3, 32 experts, relu": (qwen3, {"d": 24, "h": 8, "E": 32, "k": 8, "hidden_act": "relu"}),
    "olmoe, no norm_topk_prob": (olmoe, {}),
    "deepseek": (deepseek, {}),
    "deepseek, one group": (deepseek, {"groups": 1, "top_groups": 1, "k": 3}),
    "deepseek, best of 8 groups": (deepseek, {"d": 20, "E": 32, "k": 4, "groups": 8, "top_groups": 1}),
    "deepseek, 3 shared experts": (deepseek, {"shared": 3, "scale": 1.0, "k": 4}),
}


def random_block(case):
    build, options = CASES[case]
    block = build(**options)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    if build is deepseek:
        nn.init.normal_(block.gate.e_score_correction_bias, std=0.3)
    return block


@needs_transformers
@pytest.mark.parametrize("dispatch", ["sparse", "dense"])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_published_block(case, dispatch):
    block = random_block(case)
    moe = from_transformers(block)
    moe.dispatch = dispatch
    x = torch.randn(3, 11, block.gate.weight.shape[1], requires_grad=True)
    theirs, (ours, _) = block(x), moe(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)

    direction = torch.randn_like(theirs)
    (their_input,) = torch.autograd.grad((theirs * direction).sum(), x, retain_graph=True)
    (our_input,) = torch.autograd.grad((ours * direction).sum(), x, retain_graph=True)
    (theirs * direction).sum().backward(inputs=list(block.parameters()))
    (ours * direction).sum().backward(inputs=list(moe.parameters()))
    gate, up = block.experts.gate_up_proj.grad.chunk(2, dim=1)
    pairs = {
        "input": (our_input, their_input),
        "router": (moe.router.weight.grad, block.gate.weight.grad),
        "gate": (moe.experts.w_gate.grad, gate),
        "up": (moe.experts.w_in.grad, up),
        "down": (moe.experts.w_out.grad, block.experts.down_proj.grad.mT),
    }
    if moe.shared is not None:
        pairs["shared gate"] = (moe.shared.w_gate.grad[0], block.shared_experts.gate_proj.weight.grad)
        pairs["shared up"] = (moe.shared.w_in.grad[0], block.shared_experts.up_proj.weight.grad)
        pairs["shared down"] = (moe.shared.w_out.grad[0], block.shared_experts.down_proj.weight.grad.T)
    assert len(pairs) - 1 == len(list(moe.parameters()))  # every parameter is compared
    for name, (our, their) in pairs.items():
        torch.testing.assert_close(our, their, rtol=1e-5, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


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
    ("build", "options", "message"),
    [
        ("mixtral", {"router_jitter_noise": 0.1}, "block's router_jitter_noise must be 0, got 0.1"),
        ("mixtral", {"hidden_act": "gelu_new"}, "block's activation must be one of .*SiLU.*, got NewGELUActivation"),
    ],
)
def test_what_cannot_be_expressed_is_named(build, options, message):
    with pytest.raises(ValueError, match=message):
        from_transformers(globals()[build](**options))


def test_other_blocks_are_named():
    message = (
        "block must be one of MixtralSparseMoeBlock, Qwen3MoeSparseMoeBlock, OlmoeSparseMoeBlock, DeepseekV3MoE, got "
    )
    with pytest.raises(TypeError, match=f"^{message}Linear$"):
        from_transformers(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=f"^{message}NoneType$"):
        from_transformers(None)


def test_the_package_does_not_load_transformers():
    code = "import sys, moe_tutorial.layers; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
