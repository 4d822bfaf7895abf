"""The playground's engine under Node.js: it computes what the torch layers compute, and keeps its own promises."""

import itertools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from moe_tutorial.layers import BiasBalancer, HashRouter, MixtureOfExperts, importance_loss, switch_loss
from moe_tutorial.show.playground import SETTINGS
from moe_tutorial.study import dead, entropy, max_share, share, specialisation

LOSSES = {
    "switch": switch_loss,
    "importance": importance_loss,
}
E, H, BATCH, STEPS = 5, 3, 32, 50
NOISE, COEFFICIENT, RATE = 0.7, 0.3, 0.01
DATA = {"name": "clusters", "seed": 3, "centred": True}
GATES = [gate for gate in SETTINGS["gate"]["choices"] if gate != "hash"]
CASES = [
    {"gate": gate, "balance": balance, "k": k, "noise": noise}
    for gate, balance, k, noise in itertools.product(GATES, SETTINGS["balance"]["choices"], (1, 2), (0, NOISE))
] + [{"gate": "hash", "balance": "none", "k": k, "noise": 0} for k in (1, 2)]


@pytest.fixture(scope="module")
def points(engine):
    """The engine's points as tensors, (N, 2) and (N,)."""
    data = engine("data", **DATA)
    return torch.tensor(data["x"], dtype=torch.float64).reshape(-1, 2), torch.tensor(data["y"])


def rows(step: int) -> torch.Tensor:
    return torch.randint(512, (BATCH,), generator=torch.Generator().manual_seed(1000 + step))


def draws(step: int, n_experts: int = E) -> torch.Tensor:
    """What a router draws when torch is seeded with the step: it asks for its noise and for nothing else."""
    torch.manual_seed(step)
    return torch.randn(BATCH, n_experts, dtype=torch.float64)


def layer(case: dict, n_experts: int = E) -> MixtureOfExperts:
    torch.manual_seed(7)
    if case["gate"] == "hash":
        return MixtureOfExperts(2, H, n_experts, case["k"], HashRouter(2, n_experts, case["k"]), d_out=3).double()
    options = {"gate": case["gate"], "noise": case["noise"], "bias": case["balance"] == "bias"}
    moe = MixtureOfExperts(2, H, n_experts, case["k"], d_out=3, **options).double()
    if moe.router.bias is not None:
        moe.router.bias = moe.router.bias.double()  # no cast of a module lets it leave float32
    return moe


def state(moe: MixtureOfExperts) -> dict[str, torch.Tensor]:
    """Its parameters (a copy) under the engine's names."""
    return {name.split(".")[1]: value.detach().clone() for name, value in moe.named_parameters()}


def start(moe: MixtureOfExperts) -> dict[str, list[float]]:
    """The same as lists, with what else the engine has to know."""
    known = state(moe) | {name: value for name, value in moe.router.named_buffers() if name == "direction"}
    return {name: value.flatten().tolist() for name, value in known.items()}


def settings(case: dict) -> dict:
    data = {"layer": "mixture", "data": DATA["name"], "seed": DATA["seed"], "centred": DATA["centred"]}
    coefficient = RATE if case["balance"] == "bias" else COEFFICIENT
    return data | {"E": E, "width": H, "batch": BATCH, "rate": 0.02, "coefficient": coefficient} | case


def train_by_torch(moe, case, points):
    """Torch's Adam on the real layers. Yields the parameters after each step, and what was measured in it."""
    x, y = points
    optimizer = torch.optim.Adam(moe.parameters(), lr=0.02)
    for step in range(STEPS):
        torch.manual_seed(step)
        scores, routing = moe(x[rows(step)])
        task = F.cross_entropy(scores, y[rows(step)])
        term = COEFFICIENT * LOSSES[case["balance"]](routing) if case["balance"] in LOSSES else torch.zeros(())
        optimizer.zero_grad()
        (task + term).backward()
        weight = dict(moe.named_parameters()).get("router.weight")
        optimizer.step()
        if case["balance"] == "bias":
            BiasBalancer(RATE).update(moe.router.bias, routing.indices)
        shares = share(routing.indices, moe.experts.n_experts)
        norm = 0.0 if weight is None else weight.grad.norm().item()
        yield state(moe), {"task": task.item(), "balance": term.item(), "shares": shares, "routerGradient": norm}


def by_engine(engine, cases, noise):
    """What the engine's training comes to in these cases."""
    batches = [rows(step).tolist() for step in range(STEPS)]
    return engine("golden", cases=cases, rows=batches, noise=noise.flatten(1).tolist(), stops=[1, STEPS])


@pytest.fixture(scope="module")
def golden(engine):
    """All cases in one run of Node.js: case number -> the engine's answer."""
    cases = [{"settings": settings(case), "start": start(layer(case))} for case in CASES]
    return by_engine(engine, cases, torch.stack([draws(step) for step in range(STEPS)]))


def name(case: dict) -> str:
    return f"{case['gate']}-{case['balance']}-k{case['k']}{'-noise' if case['noise'] else ''}"


def check(answer, step, expected, seen, kept=slice(None)):
    """The engine's parameters (of the experts that are kept) and measurements against torch's, after 1 or all steps."""
    if step == 1:
        for what, value in seen.items():
            ours = np.asarray(answer["first"][what])
            np.testing.assert_allclose(ours[kept] if what == "shares" else ours, value, atol=1e-7, err_msg=what)
    if step in (1, STEPS):
        for what, values in expected.items():
            ours = torch.tensor(answer["after"][str(step)][what], dtype=torch.float64)
            worst = (ours.reshape(E, -1)[kept] - values.flatten(1)).abs().max().item()
            assert worst < (1e-10 if step == 1 else 1e-6), f"{what} differs by {worst} after {step} steps"


@pytest.mark.parametrize("number", range(len(CASES)), ids=[name(case) for case in CASES])
def test_it_trains_as_torch_does(golden, points, number):
    case, answer, moe = CASES[number], golden[number], layer(CASES[number])
    first = state(moe)
    for step, (expected, seen) in enumerate(train_by_torch(moe, case, points), 1):
        check(answer, step, expected, seen)
    still = {what for what, values in state(moe).items() if torch.equal(values, first[what])}
    through_weights = case["balance"] in ("none", "importance", "bias")  # the others ask for probabilities
    deaf = case["gate"] == "topk_softmax" and case["k"] == 1 and through_weights
    assert still == ({"weight"} if deaf else set()), "all learn, but a router behind a gate that lets nothing through"
    if case["balance"] == "bias" and case["gate"] != "hash":
        np.testing.assert_allclose(answer["after"][str(STEPS)]["bias"], moe.router.bias, atol=1e-12)
        assert moe.router.bias.abs().max() > RATE


@pytest.mark.parametrize(
    ("gate", "k"), [("softmax_topk", 1), ("softmax_topk", 2), ("topk_softmax", 1), ("sigmoid_topk", 2), ("hash", 2)]
)
def test_it_measures_what_torch_measures(engine, gate, k):
    case = {"gate": gate, "k": k, "balance": "none", "noise": 0}
    moe = layer(case).eval()
    code = """
        const model = createMixture(settings);
        for (const name in start) (model.params[name] ?? model[name]).set(start[name]);
        const plane = model.plane(30), says = model.partPlane(4, 30);
        return { ...model.evaluate(), point: model.inspect(11), plane, says, data: model.data };
    """
    given = {"settings": settings(case), "start": start(moe)}
    page = engine("run", code="".join(f"const {name} = {json.dumps(value)};" for name, value in given.items()) + code)
    x, x_test = (torch.tensor(page["data"][name], dtype=torch.float64).reshape(-1, 2) for name in ("x", "xTest"))
    y, y_test, regime = (torch.tensor(page["data"][name]) for name in ("y", "yTest", "regime"))
    scores, routing = moe(x)
    usage = share(routing.indices, E)
    expected = {
        "shares": usage,
        "dead": dead(usage),
        "entropy": entropy(usage),
        "largest": max_share(usage),
        "nmi": specialisation(routing.indices[:, 0], regime),
        "loss": F.cross_entropy(scores, y).item(),
        "accuracy": (moe(x_test)[0].argmax(-1) == y_test).double().mean(),
        "predicted": scores.argmax(-1),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(page[name], value, atol=1e-6, err_msg=name)
    left, right, bottom, top = page["data"]["extent"]
    down, across = (torch.linspace(*ends, 30, dtype=torch.float64) for ends in ((top, bottom), (left, right)))
    places = torch.cartesian_prod(down, across).flip(1)
    answers, there = moe(places)
    owner = there.indices[:, 0]
    for name, value in {"owner": owner, "predicted": answers.argmax(-1)}.items():
        assert page["plane"][name] == value.tolist(), name
    confidence = there.probs.gather(1, owner[:, None])[:, 0].detach()
    np.testing.assert_allclose(page["plane"]["confidence"], confidence, atol=1e-6)
    assert page["says"] == moe.experts(places)[:, 4].argmax(-1).tolist()
    one, routed = moe(x[11:12])
    gradient = None
    if gate != "hash":
        (gradient,) = torch.autograd.grad(F.cross_entropy(one, y[11:12]), routed.logits, allow_unused=True)
    point = page["point"]
    assert (point["chosen"], point["label"], point["predicted"]) == (routed.indices[0].tolist(), y[11], one.argmax())
    assert point["says"] == moe.experts(x[11:12])[0].argmax(-1).tolist()
    for name, value in {"logits": routed.logits, "probs": routed.probs, "weights": routed.weights}.items():
        np.testing.assert_allclose(point[name], value.detach()[0], atol=1e-9, err_msg=name)
    np.testing.assert_allclose(point["gradient"], [0] * E if gradient is None else gradient[0], atol=1e-9)


KNOCKED, KEPT = 2, [0, 1, 3, 4]


def test_a_mixture_without_one_expert_is_the_smaller_mixture(engine, points):
    cases = [case for case in CASES if case["k"] == 2 and case["noise"]]
    requests = []
    for case in cases:
        small = start(layer(case, E - 1))
        for what, values in small.items():
            wide = np.full((E, len(values) // (E - 1)), 0.5)
            wide[KEPT] = np.reshape(values, (E - 1, -1))
            small[what] = wide.flatten().tolist()
        requests.append({"settings": settings(case), "start": small, "knocked": KNOCKED})
    noise = torch.zeros(STEPS, BATCH, E, dtype=torch.float64)
    for step in range(STEPS):
        noise[step][:, KEPT] = draws(step, E - 1)
    for case, answer in zip(cases, by_engine(engine, requests, noise), strict=True):
        moe = layer(case, E - 1)
        for step, (expected, seen) in enumerate(train_by_torch(moe, case, points), 1):
            check(answer, step, expected, seen, KEPT)
        assert answer["first"]["shares"][KNOCKED] == 0


def test_uncentred_points_are_the_same_ones_elsewhere(engine):
    names = ["regimes", "spirals", "checkerboard", "clusters"]
    code = f"return {names}.map((name) => [makeData(name, 5, true), makeData(name, 5, false)]);"
    for one, far in engine("run", code=code):
        x, moved = (np.reshape(part["x"], (-1, 2)) for part in (one, far))
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(moved - x, np.broadcast_to(moved[0] - x[0], x.shape), atol=1e-12)
        assert np.linalg.norm(moved.mean(0)) > 1.5 * np.linalg.norm(x, axis=1).mean()
        assert one["y"] == far["y"]
        left, right, bottom, top = one["extent"]
        assert ((x > [left, bottom]) & (x < [right, top])).all()
        assert right - left == pytest.approx(top - bottom)


def test_who_is_knocked_out_has_no_place_on_the_map(engine):
    code = """
        const model = createMixture({ E: 4, k: 1 });
        const owners = () => [...new Set(model.plane(20).owner)];
        const before = owners();
        model.knock(before[0], true);
        return [before[0], owners()];
    """
    gone, owners = engine("run", code=code)
    assert owners
    assert gone not in owners


def test_the_history_stays_short_and_keeps_its_ends(engine):
    code = """
        const model = createMixture({ E: 3, batch: 8, width: 2 });
        return [0, 10, 290, 5000].map((n) => (model.train(n), model.history.map((row) => row.step)));
    """
    begun, young, *_, thinned = histories = engine("run", code=code)
    assert (begun, young) == ([0], list(range(11)))
    assert thinned[-1] > 5250
    for steps in histories:
        assert len(steps) <= 301
        assert steps[0] == 0
        assert len(set(np.diff(steps))) <= 1


def test_the_wildest_settings_do_not_run_away(engine):
    """Adam's steps are bounded and the page counts in 64 bits, so that no slider can make a number infinite."""
    code = """
        const wild = { rate: 1, balance: "importance", coefficient: 1000, gate: "sigmoid_topk", noise: 10 };
        const model = createMixture(wild);
        model.train(2000);
        return [model.recent().task, model.evaluate().loss];
    """
    assert np.isfinite(engine("run", code=code)).all()


def test_the_explorers_points_and_map_are_routed_as_torch_routes_them(engine):
    logits = 3 * torch.randn(9 * 9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[::7, 3] = logits[::7, 1]  # equal values: the first is chosen
    code = """
        const [E, n] = [5, 9];
        const given = Float32Array.from(logits);
        const map = (choice) => cut(given, n, E, n, choice, 0.7);
        return choices.map((choice) => ({ points: routeAll(given, E, choice, 0.7), map: map(choice) }));
    """
    choices = [{"gate": gate, "k": k} for gate in ("softmax_topk", "topk_softmax") for k in (1, 2, 5)]
    answers = engine("run", code=f"const logits = {logits.flatten().tolist()}, choices = {json.dumps(choices)};{code}")
    for choice, answer in zip(choices, answers, strict=True):
        scaled = logits.float().double() / 0.7
        chosen = scaled.argsort(dim=-1, descending=True, stable=True)[:, : choice["k"]]
        probs, picked = scaled.softmax(-1), scaled.gather(-1, chosen)
        weights = probs.gather(-1, chosen) if choice["gate"] == "softmax_topk" else picked.softmax(-1)
        for what, expected in (("chosen", chosen), ("weights", weights), ("probs", probs)):
            np.testing.assert_allclose([point[what] for point in answer["points"]], expected, atol=1e-12, err_msg=what)
        assert answer["map"]["owner"] == chosen[:, 0].tolist()
        assert answer["map"]["set"] == (1 << chosen).sum(-1).tolist()
        np.testing.assert_allclose(answer["map"]["depth"], weights[:, 0], atol=5e-4)
