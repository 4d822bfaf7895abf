"""The playground's tree under Node.js: it trains as the formula does under torch, and draws what it decides."""

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


def start(n_classes: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    shapes = {"node_weight": (L - 1, 2), "node_bias": (L - 1,), "w_in": (L, H, 2), "b_in": (L, H)}
    shapes |= {"w_out": (L, H, n_classes), "b_out": (L, n_classes)}
    return {name: torch.randn(shape, dtype=torch.float64).mul(0.6).requires_grad_() for name, shape in shapes.items()}


def soft_tree(p, x):
    """The formula: answers (T, C), the nodes' logits (T, N), the leaves' weights (T, L)."""
    logits = x @ p["node_weight"].T + p["node_bias"]
    weights = x.new_ones(len(x), L)
    for leaf, level in itertools.product(range(L), range(DEPTH)):
        node = 2**level - 1 + (leaf >> (DEPTH - level))
        right = logits[:, node].sigmoid()
        factor = right if leaf >> (DEPTH - level - 1) & 1 else 1 - right
        weights = torch.cat([weights[:, :leaf], (weights[:, leaf] * factor)[:, None], weights[:, leaf + 1 :]], dim=1)
    neurons = torch.einsum("lhd,td->tlh", p["w_in"], x).add(p["b_in"]).relu()
    y = torch.einsum("tl,tlh,lho->to", weights, neurons, p["w_out"]) + weights @ p["b_out"]
    return y, logits, weights


def node_entropy(logits):
    right = logits.sigmoid()
    return -(right * right.log() + (1 - right) * (1 - right).log()).mean()


def unevenness(weights):
    """How far each node's mean decision, over what arrives there, is from a half: mean of (2 mean - 1)²."""
    terms = []
    for level in range(DEPTH):
        parts = weights.mean(0).reshape(2**level, 2, -1).sum(-1)
        terms.append((2 * parts[:, 1] / parts.sum(-1) - 1).square())
    return torch.cat(terms).mean()


@pytest.fixture(scope="module")
def golden(engine):
    sizes = {"depth": DEPTH, "leaf_width": H, "batch": BATCH, "rate": RATE, "seed": 3}
    cases = []
    for case in CASES:
        first = start(3 if case["data"] == "clusters" else 2)
        cases.append({"settings": case | sizes, "start": {name: p.flatten().tolist() for name, p in first.items()}})
    return engine("goldenTree", cases=cases, rows=[rows(step).tolist() for step in range(STEPS)], stops=[1, STEPS])


@pytest.mark.parametrize("number", range(len(CASES)), ids=[" ".join(map(str, case.values())) for case in CASES])
def test_it_trains_as_torch_does(golden, engine, number):
    case, answer = CASES[number], golden[number]
    data = engine("data", name=case["data"], seed=3, centred=case["centred"])
    x, y = torch.tensor(data["x"], dtype=torch.float64).reshape(-1, 2), torch.tensor(data["y"])
    p = start(data["classes"])
    optimizer = torch.optim.Adam(p.values(), lr=RATE)
    for step in range(1, STEPS + 1):
        batch = rows(step - 1)
        scores, logits, weights = soft_tree(p, x[batch])
        parts = F.cross_entropy(scores, y[batch]), node_entropy(logits), unevenness(weights)
        optimizer.zero_grad()
        (parts[0] + case["hardening"] * parts[1] + case["node_balance"] * parts[2]).backward()
        optimizer.step()
        if step == 1:
            first = answer["first"]
            assert first["task"] == pytest.approx(parts[0].item(), abs=1e-12)
            assert first["hardening"] == pytest.approx(case["hardening"] * parts[1].item(), abs=1e-12)
            assert first["balance"] == pytest.approx(case["node_balance"] * parts[2].item(), abs=1e-12)
        if step in (1, STEPS):
            for name, values in p.items():
                ours = torch.tensor(answer["after"][str(step)][name], dtype=torch.float64)
                worst = (ours - values.detach().flatten()).abs().max().item()
                assert worst < (1e-10 if step == 1 else 1e-6), f"{name} differs by {worst} after {step} steps"


LOOK = """
    const tree = createTree({settings});
    tree.train(200);
    const points = [0, 7, 100, 511].map((i) => [i, tree.inspect(i)]), seen = tree.evaluate(), plane = tree.plane(40);
    const leaves = {leaves}.map((l) => tree.partPlane(l, 40)), lines = tree.evaluate().lines;
    return {{ data: tree.data, params: parameters(tree), points, seen, plane, leaves, lines, recent: tree.recent() }};
"""


@pytest.fixture(scope="module", params=[{"hardening": 0.3}, {"data": "clusters", "centred": False, "node_balance": 1}])
def look(engine, request):
    settings = {"depth": DEPTH, "leaf_width": H, "rate": 0.03} | request.param
    answer = engine("run", code=LOOK.format(settings=json.dumps(settings), leaves=list(range(L))))
    n_classes = answer["data"]["classes"]
    p = {
        name: torch.tensor(answer["params"][name], dtype=torch.float64).reshape(value.shape).requires_grad_()
        for name, value in start(n_classes).items()
    }
    return answer, p


def hard_leaf(logits):
    """Down the tree, one token at a time."""
    leaves = []
    for row in logits.tolist():
        node = 0
        while node < L - 1:
            node = 2 * node + (2 if row[node] >= 0 else 1)
        leaves.append(node - (L - 1))
    return torch.tensor(leaves)


def leaf_answers(p, x):
    neurons = torch.einsum("lhd,td->tlh", p["w_in"], x).add(p["b_in"]).relu()
    return torch.einsum("tlh,lho->tlo", neurons, p["w_out"]) + p["b_out"]


def test_what_it_shows_is_what_the_formula_says(look):
    answer, p = look
    data, seen = answer["data"], answer["seen"]
    for part, labels in (("x", "y"), ("xTest", "yTest")):
        x, y = torch.tensor(data[part], dtype=torch.float64).reshape(-1, 2), torch.tensor(data[labels])
        scores, logits, weights = soft_tree(p, x)
        leaf = hard_leaf(logits)
        hard = leaf_answers(p, x)[torch.arange(len(x)), leaf]
        if part == "x":
            shares = torch.bincount(leaf, minlength=L) / len(x)
            np.testing.assert_allclose(seen["shares"], shares, atol=1e-6)
            assert seen["predicted"] == hard.argmax(-1).tolist()
            assert seen["dead"] == int((shares < 0.01).sum())
            assert seen["soft"]["loss"] == pytest.approx(F.cross_entropy(scores, y).item(), abs=1e-9)
            assert seen["hard"]["loss"] == pytest.approx(F.cross_entropy(hard, y).item(), abs=1e-9)
            assert seen["undecided"] == pytest.approx(node_entropy(logits).item(), abs=1e-9)
            assert 0 <= seen["undecided"] <= math.log(2)
            passed = [shares.reshape(2**level, -1).sum(-1) for level in range(DEPTH)]
            np.testing.assert_allclose(seen["nodes"], torch.cat(passed), atol=1e-6)
            mean = weights.detach().mean(0)
            arriving = [mean.reshape(2**level, -1).sum(-1) for level in range(DEPTH + 1)]
            np.testing.assert_allclose(seen["weights"], torch.cat(arriving), atol=1e-9)
            assert seen["soft"]["predicted"] == scores.argmax(-1).tolist()
        else:
            assert seen["soft"]["accuracy"] == pytest.approx((scores.argmax(-1) == y).double().mean().item())
            assert seen["hard"]["accuracy"] == pytest.approx((hard.argmax(-1) == y).double().mean().item())
    x, y = torch.tensor(data["x"], dtype=torch.float64).reshape(-1, 2), torch.tensor(data["y"])
    for i, point in answer["points"]:
        scores, logits, weights = soft_tree(p, x[i : i + 1])
        np.testing.assert_allclose(point["weights"], weights[0].detach(), atol=1e-12)
        leaf = int(hard_leaf(logits))
        says = leaf_answers(p, x[i : i + 1])[0].argmax(-1)
        assert point["leaf"] == leaf
        assert point["path"] == [2**level - 1 + (leaf >> (DEPTH - level)) for level in range(DEPTH)]
        assert point["says"] == says.tolist()
        assert (point["soft"], point["predicted"]) == (int(scores.argmax()), int(says[leaf]))
        loss = F.cross_entropy(scores, y[i : i + 1])
        np.testing.assert_allclose(point["gradient"], torch.autograd.grad(loss, logits)[0][0], atol=1e-12)


def test_the_plane_and_its_lines_agree_with_the_decisions(look):
    answer, p = look
    left, right, bottom, top = answer["data"]["extent"]
    across = torch.linspace(left, right, 40, dtype=torch.float64)
    up = torch.linspace(top, bottom, 40, dtype=torch.float64)
    places = torch.cartesian_prod(up, across).flip(1)
    scores, logits, weights = soft_tree(p, places)
    leaf, says = hard_leaf(logits), leaf_answers(p, places).argmax(-1)
    plane = answer["plane"]
    assert np.mean(leaf.numpy() == plane["owner"]) > 0.998
    assert np.mean(scores.argmax(-1).numpy() == plane["soft"]) > 0.998
    own = says[torch.arange(len(places)), leaf]
    assert np.mean(own.numpy() == plane["predicted"]) > 0.998
    np.testing.assert_allclose(plane["confidence"], weights.gather(1, leaf[:, None])[:, 0].detach(), atol=1e-3)
    for number, opinion in enumerate(answer["leaves"]):
        assert np.mean(says[:, number].numpy() == opinion) > 0.998
    drawn = 0
    for line in answer["lines"]:
        node = line["node"]
        assert line["level"] == int(math.log2(node + 1))
        if line["ends"] is None:
            continue
        drawn += 1
        ends = torch.tensor(line["ends"], dtype=torch.float64)
        for share in (0.05, 0.5, 0.95):  # a place on the line is asked by this node, which cannot decide there
            place = (share * ends[0] + (1 - share) * ends[1])[None]
            assert left - 1e-9 <= place[0, 0] <= right + 1e-9
            assert bottom - 1e-9 <= place[0, 1] <= top + 1e-9
            here = soft_tree(p, place)[1][0]
            assert here[node].item() == pytest.approx(0, abs=1e-9)
            above = node
            while above:
                above, came_right = (above - 1) // 2, above % 2 == 0
                assert (here[above].item() >= 0) == came_right
    assert drawn > 0


def test_the_seed_decides_the_run_and_looking_changes_nothing(engine):
    code = """
        const run = (seed, look) => {
          const tree = createTree({ seed, hardening: 0.5, node_balance: 1 });
          for (let i = 0; i < 4; i++) {
            tree.train(20);
            if (look) tree.evaluate(), tree.plane(20), tree.inspect(3), tree.recent(), tree.evaluate().lines;
          }
          return JSON.stringify(parameters(tree));
        };
        return [run(0, false), run(0, true), run(1, false)];
    """
    first, looked_at, other = engine("run", code=code)
    assert first == looked_at != other


RUNS = """
    return Array.from({{ length: 10 }}, (_, i) => {plans}.map(([settings, ...stages]) => {{
      const tree = createTree({{ ...settings, seed: 2000 + i }});
      for (const stage of stages) {{
        tree.set(stage);
        tree.train(200);
      }}
      const {{ soft, hard, undecided, dead }} = tree.evaluate();
      return {{ gap: soft.accuracy - hard.accuracy, undecided, dead }};
    }}));
"""


def runs(engine, plans, *names):
    """What is measured after each plan (settings, then what is set before every 200 steps): (10 seeds, plans) each."""
    answer = engine("run", code=RUNS.format(plans=json.dumps(plans)))
    return [np.array([[plan[name] for plan in seed] for seed in answer]) for name in names]


def test_hardening_makes_decisions_and_closes_a_part_of_the_gap(engine):
    plans = [[{"rate": 0.05}, {}, {"hardening": weight}, {}] for weight in (0, 3)]
    undecided, gap = runs(engine, plans, "undecided", "gap")
    assert (undecided[:, 1] < 0.5 * undecided[:, 0]).all()
    assert gap[:, 1].mean() < 0.85 * gap[:, 0].mean()


def test_away_from_the_origin_hardening_empties_all_leaves_but_one_and_node_balance_cures_it(engine):
    plans = [[{"centred": False, "rate": 0.03, "hardening": 3, "node_balance": weight}, {}] for weight in (0, 3)]
    (dead,) = runs(engine, plans, "dead")
    assert (dead[:, 0] == 7).all()
    assert (dead[:, 1] <= 1).all()


def test_a_mild_balance_loss_keeps_the_leaves_at_work(engine):
    plans = [[{"rate": 0.03, "hardening": 0.3, "node_balance": weight}, {}, {}, {}] for weight in (0, 0.3)]
    (dead,) = runs(engine, plans, "dead")
    assert dead[:, 0].mean() > 2
    assert dead[:, 1].mean() < 0.5


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("createTree({ depth: 5 })", "depth is 5; allowed are whole numbers from 1 to 4"),
        ("createTree({ hardening: -1 })", "hardening is -1; allowed are numbers from 0 to 100"),
        ("createTree({ E: 8 })", "there is no setting E; allowed are data, centred, seed"),
        ("createTree().set({ depth: 2 })", "depth cannot change while it trains; allowed are rate, batch"),
        ("createTree().partPlane(8, 10)", "leaf is 8; allowed are 0 to 7"),
    ],
)
def test_what_it_cannot_use_it_refuses(engine, code, message):
    assert message in engine("run", code=f"try {{ {code}; return ''; }} catch (error) {{ return error.message; }}")


def test_it_is_the_tree_of_the_layers(look):
    answer, p = look
    data = answer["data"]
    fff = FastFeedForward(2, data["classes"], DEPTH, H).double()
    with torch.no_grad():
        for name, value in fff.named_parameters():
            value.copy_(p[name.removeprefix("leaves.")])
    x = torch.tensor(data["x"], dtype=torch.float64).reshape(-1, 2)
    scores, descent = fff.train()(x)
    expected, logits, weights = soft_tree(p, x)
    torch.testing.assert_close(scores, expected, atol=1e-9, rtol=0)
    assert hardening_loss(descent).item() == pytest.approx(node_entropy(logits).item(), abs=1e-9)
    assert node_balance_loss(descent).item() == pytest.approx(unevenness(weights).item(), abs=1e-9)
    hard, descent = fff.eval()(x)
    assert hard.argmax(-1).tolist() == answer["seen"]["predicted"]
    shares = descent.leaf.bincount(minlength=fff.n_leaves) / len(descent.leaf)
    np.testing.assert_allclose(answer["seen"]["shares"], shares, atol=1e-6)
