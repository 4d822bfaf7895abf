"""The playground's tree under Node.js: it trains as the layers' tree does under torch, and draws what it decides."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from moe_tutorial.layers import FastFeedForward, hardening_loss, node_balance_loss

DEPTH, H, BATCH, STEPS, RATE = 3, 3, 32, 50, 0.02
L = 2**DEPTH
CASES = [
    {"data": data, "hardening": hardening, "node_balance": balance, "centred": centred}
    for (data, centred), hardening, balance in itertools.product(
        (("regimes", True), ("clusters", False)), (0, 0.7), (0, 1.5)
    )
]


def rows(step: int) -> torch.Tensor:
    return torch.randint(512, (BATCH,), generator=torch.Generator().manual_seed(1000 + step))


def new_tree(n_classes: int) -> FastFeedForward:
    torch.manual_seed(3)
    tree = FastFeedForward(2, n_classes, DEPTH, H).double()
    with torch.no_grad():
        for parameter in tree.parameters():
            parameter.normal_(std=0.6)
    return tree


def parameters(tree: FastFeedForward) -> dict[str, torch.Tensor]:
    """Under the engine's names."""
    return {name.removeprefix("leaves."): value for name, value in tree.named_parameters()}


def places(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 2)


@pytest.fixture(scope="module")
def golden(engine):
    sizes = {"layer": "tree", "depth": DEPTH, "leaf_width": H, "batch": BATCH, "rate": RATE, "seed": 3}
    cases = []
    for case in CASES:
        first = parameters(new_tree(3 if case["data"] == "clusters" else 2))
        cases.append({"settings": case | sizes, "start": {name: p.flatten().tolist() for name, p in first.items()}})
    return engine("golden", cases=cases, rows=[rows(step).tolist() for step in range(STEPS)], stops=[1, STEPS])


@pytest.mark.parametrize("number", range(len(CASES)), ids=[" ".join(map(str, case.values())) for case in CASES])
def test_it_trains_as_torch_does(golden, engine, number):
    case, answer = CASES[number], golden[number]
    data = engine("data", name=case["data"], seed=3, centred=case["centred"])
    x, y = places(data["x"]), torch.tensor(data["y"])
    tree = new_tree(data["classes"]).train()
    optimizer = torch.optim.Adam(tree.parameters(), lr=RATE)
    for step in range(1, STEPS + 1):
        batch = rows(step - 1)
        scores, descent = tree(x[batch])
        parts = {
            "task": F.cross_entropy(scores, y[batch]),
            "hardening": case["hardening"] * hardening_loss(descent),
            "balance": case["node_balance"] * node_balance_loss(descent),
        }
        optimizer.zero_grad()
        sum(parts.values()).backward()
        optimizer.step()
        if step == 1:
            for name, part in parts.items():
                assert answer["first"][name] == pytest.approx(part.item(), abs=1e-12)
        if step in (1, STEPS):
            for name, values in parameters(tree).items():
                ours = torch.tensor(answer["after"][str(step)][name], dtype=torch.float64)
                worst = (ours - values.detach().flatten()).abs().max().item()
                assert worst < (1e-10 if step == 1 else 1e-6), f"{name} differs by {worst} after {step} steps"


EVALUATE = """
    const tree = createTree({settings});
    tree.train(200);
    const points = [0, 7, 100, 511].map((i) => [i, tree.inspect(i)]), seen = tree.evaluate(), plane = tree.plane(40);
    const leaves = {leaves}.map((l) => tree.partPlane(l, 40));
    return {{ data: tree.data, params: parameters(tree), points, seen, plane, leaves }};
"""


@pytest.fixture(scope="module", params=[{"hardening": 0.3}, {"data": "clusters", "centred": False, "node_balance": 1}])
def trained(engine, request):
    """The evaluation of a tree that the engine has trained, and the same tree in torch."""
    settings = {"depth": DEPTH, "leaf_width": H, "rate": 0.03} | request.param
    answer = engine("run", code=EVALUATE.format(settings=json.dumps(settings), leaves=list(range(L))))
    tree = new_tree(answer["data"]["classes"])
    with torch.no_grad():
        for name, value in parameters(tree).items():
            value.copy_(torch.tensor(answer["params"][name], dtype=torch.float64).reshape(value.shape))
    return answer, tree


def by_level(values: torch.Tensor, levels: int) -> torch.Tensor:
    """What arrives at each node, level by level, of what arrives at the leaves."""
    return torch.cat([values.reshape(2**level, -1).sum(-1) for level in range(levels)])


def test_what_it_shows_is_what_torch_sees(trained):
    answer, tree = trained
    data, seen = answer["data"], answer["seen"]
    x, x_test = places(data["x"]), places(data["xTest"])
    y, y_test = torch.tensor(data["y"]), torch.tensor(data["yTest"])
    with torch.no_grad():
        soft, descent = tree.train()(x)
        soft_test = tree(x_test)[0].argmax(-1)
        hard, down = tree.eval()(x)
        hard_test = tree(x_test)[0].argmax(-1)
    shares = torch.bincount(down.leaf, minlength=L) / len(x)
    np.testing.assert_allclose(seen["shares"], shares, atol=1e-6)
    assert seen["dead"] == int((shares < 0.01).sum())
    assert seen["predicted"] == hard.argmax(-1).tolist()
    assert seen["soft"]["predicted"] == soft.argmax(-1).tolist()
    assert seen["soft"]["loss"] == pytest.approx(F.cross_entropy(soft, y).item(), abs=1e-9)
    assert seen["hard"]["loss"] == pytest.approx(F.cross_entropy(hard, y).item(), abs=1e-9)
    assert seen["soft"]["accuracy"] == pytest.approx((soft_test == y_test).double().mean().item())
    assert seen["hard"]["accuracy"] == pytest.approx((hard_test == y_test).double().mean().item())
    assert seen["undecided"] == pytest.approx(hardening_loss(descent).item(), abs=1e-9)
    np.testing.assert_allclose(seen["nodes"], by_level(shares, DEPTH), atol=1e-6)
    np.testing.assert_allclose(seen["weights"], by_level(descent.weights.mean(0), DEPTH + 1), atol=1e-9)
    for i, point in answer["points"]:
        scores, descent = tree.train()(x[i : i + 1])
        np.testing.assert_allclose(point["weights"], descent.weights[0].detach(), atol=1e-12)
        leaf = int(descent.leaf)
        says = tree.leaves(x[i : i + 1])[0].argmax(-1)
        assert point["leaf"] == leaf
        assert point["path"] == [2**level - 1 + (leaf >> (DEPTH - level)) for level in range(DEPTH)]
        assert point["says"] == says.tolist()
        assert (point["soft"], point["predicted"]) == (int(scores.argmax()), int(says[leaf]))
        loss = F.cross_entropy(scores, y[i : i + 1])
        np.testing.assert_allclose(point["gradient"], torch.autograd.grad(loss, descent.logits)[0][0], atol=1e-12)


def test_the_plane_and_its_lines_agree_with_the_decisions(trained):
    answer, tree = trained
    left, right, bottom, top = answer["data"]["extent"]
    across = torch.linspace(left, right, 40, dtype=torch.float64)
    up = torch.linspace(top, bottom, 40, dtype=torch.float64)
    plane, grid = answer["plane"], torch.cartesian_prod(up, across).flip(1)
    tree.train().requires_grad_(False)
    scores, descent = tree(grid)
    says = tree.leaves(grid).argmax(-1)
    leaf = descent.leaf[:, None]
    assert np.mean(leaf.flatten().numpy() == plane["owner"]) > 0.998
    assert np.mean(scores.argmax(-1).numpy() == plane["soft"]) > 0.998
    assert np.mean(says.gather(1, leaf).flatten().numpy() == plane["predicted"]) > 0.998
    np.testing.assert_allclose(plane["confidence"], descent.weights.gather(1, leaf)[:, 0], atol=1e-3)
    for number, opinion in enumerate(answer["leaves"]):
        assert np.mean(says[:, number].numpy() == opinion) > 0.998
    lines = [line for line in answer["seen"]["lines"] if line["ends"] is not None]
    assert lines
    for line in lines:
        node = line["node"]
        assert line["level"] == int(math.log2(node + 1))
        ends = torch.tensor(line["ends"], dtype=torch.float64)
        for share in (0.05, 0.5, 0.95):  # a place on the line is asked by this node, which cannot decide there
            place = share * ends[0] + (1 - share) * ends[1]
            assert left - 1e-9 <= place[0] <= right + 1e-9
            assert bottom - 1e-9 <= place[1] <= top + 1e-9
            here = tree(place[None])[1].logits[0]
            assert here[node].item() == pytest.approx(0, abs=1e-9)
            above = node
            while above:
                above, came_right = (above - 1) // 2, above % 2 == 0
                assert (here[above].item() >= 0) == came_right
