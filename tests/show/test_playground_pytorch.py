"""A run as a PyTorch script: it trains as the page does."""

import ast
import itertools
import json
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch

from moe_tutorial.show.playground import SETTINGS
from moe_tutorial.show.web import read

LINK = "https://example.org/playground.html#preset=rules&then=600.balance.switch"
FILE = read("playground/pytorch.py")
STATEMENT = re.compile(r"^settings = \{\n.*?^\}$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"#.*")
STEPS, SAME = 200, 1e-6
CODE = """
return runs.map(({ settings, out, then, steps }) => {
  const changes = then.map(([at, name, value]) => ({ at, name, value }));
  const all = { ...defaultsOf(settings.layer ?? "mixture"), ...settings };
  const state = stateOf(all, { knocked: knockedOf(out), changes, steps });
  const script = inPyTorch(file, state, link);
  const run = makeRun(state, makeData(all.data, all.seed, all.centred));
  const { model } = run;
  while (model.step < steps) {
    model.set({ batch: model.settings.batch }); // so that it forgets the steps before: a row of the history is of one
    run.train(1);
  }
  const losses = model.history.slice(1).map(({ task }) => task);
  const { shares, soft, hard, loss, accuracy } = model.evaluate();
  const accuracies = soft ? [soft.accuracy, hard.accuracy] : [accuracy];
  return { script, losses, shares, accuracies, loss, params: parameters(model) };
});
"""


def run(steps: int = STEPS, then=(), out=(), **settings) -> dict:
    return {"settings": settings, "out": list(out), "then": list(then), "steps": steps}


def first_steps(preset: dict) -> dict:
    """A preset's settings and, half-way, what it proposes next, if anything."""
    proposed = preset.get("then", {"set": {}})["set"].items()
    then = [(STEPS // 2, name, value) for name, value in proposed]
    return run(then=then, layer=preset["kind"], **preset["settings"])


PRESETS = json.loads(read("playground/experiment/experiment.json"))["presets"]
CHOICES = {name: tuple(SETTINGS[name]["choices"]) for name in ("gate", "balance", "data")}
PAIRS = list(itertools.product(CHOICES["gate"], CHOICES["balance"]))
OFTEN = [  # all gates and balances with all data, centred and not, with noise and without
    run(
        gate=gate, balance=balance, k=2, noise=0.7 * (i % 3 == 1), coefficient=0.02 if balance == "bias" else 0.3,
        data=CHOICES["data"][(i + i // 4) % 4], centred=i % 2 == 0, seed=(7, 4242, 999_999)[i % 3], batch=32, E=5,
    )
    for i, (gate, balance) in enumerate(PAIRS)
]  # fmt: skip
OUT = [(50, "out", 2), (80, "out", 0), (120, "in", 2), (160, "out", 3)]
CASES = {
    **{f"{gate}-{balance}": case for (gate, balance), case in zip(PAIRS, OFTEN, strict=True)},
    **{f"preset-{preset['id']}": first_steps(preset) for preset in PRESETS},
    **{
        f"out-{gate}-{balance}": run(
            gate=gate, balance=balance, k=2, E=6, noise=0.5 * (gate == "sigmoid_topk"), coefficient=0.05, batch=33,
            then=OUT, out=[1],
        )
        for gate, balance in zip(CHOICES["gate"], ("bias", "switch", "importance", "none"), strict=True)
    },
    "batch": run(
        then=[(40, "batch", 9), (80, "batch", 512), (120, "rate", 0.05), (160, "batch", 1)], noise=1, E=3
    ),
    "gates": run(
        then=[
            (30, "gate", "topk_softmax"), (60, "gate", "sigmoid_topk"), (90, "gate", "hash"), (130, "k", 3),
            (150, "gate", "softmax_topk"), (150, "balance", "bias"), (150, "coefficient", 0.01),
        ],
        gate="hash", noise=0.3, balance="switch", k=2, seed=12,
    ),
    "bias-twice": run(
        balance="bias", coefficient=0.03, k=2,
        then=[(40, "balance", "none"), (60, "balance", "bias"), (99, "balance", "none"), (99, "balance", "bias")],
    ),
    "no-step": run(0, data="clusters"),
    **{
        f"tree-{depth}-{data}": run(
            layer="tree", depth=depth, data=data, centred=depth % 2 == 0, seed=depth, rate=0.03, leaf_width=depth,
            hardening=(0, 1)[depth > 2], node_balance=(0, 2)[depth % 2],
            then=[
                (60, "hardening", 3), (100, "node_balance", 1), (100, "batch", 50), (150, "node_balance", 0),
                (150, "rate", 0.01),
            ],
        )
        for depth, data in zip((1, 2, 3, 4), CHOICES["data"], strict=True)
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def short(engine) -> dict[str, dict]:
    """The script of each case, and what the page's engine computes."""
    given = {"file": FILE, "link": LINK, "runs": list(CASES.values())}
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
    return dict(zip(CASES, engine("run", code=constants + CODE), strict=True))


@pytest.fixture
def execute(tmp_path):
    """Run a script here, which is faster than in a process of its own: what its names mean in the end."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()

    def execute(script: str) -> dict:
        path = tmp_path / "script.py"
        path.write_text(script, encoding="utf-8")
        return runpy.run_path(str(path))

    yield execute
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", CASES)
def test_the_script_trains_as_the_page_does(short, execute, name):
    page = short[name]
    ours = execute(page["script"])
    np.testing.assert_allclose(ours["losses"], page["losses"], rtol=0, atol=SAME)
    parameters = {where.split(".")[-1]: values.detach() for where, values in ours["model"].named_parameters()}
    assert parameters.keys() == page["params"].keys()
    for parameter, values in page["params"].items():
        np.testing.assert_allclose(parameters[parameter].flatten(), values, rtol=0, atol=SAME, err_msg=parameter)
    assert ours["loss"] == pytest.approx(page["loss"], abs=SAME)
    np.testing.assert_allclose(ours["shares"], page["shares"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours["accuracies"], page["accuracies"], rtol=0, atol=1e-12)


def settings_of(script: str) -> dict:
    (found,) = STATEMENT.findall(script)
    return ast.literal_eval(found.removeprefix("settings = "))


def test_the_script_is_the_file_with_the_settings_and_the_link_of_the_run(short):
    for name, page in short.items():
        case = CASES[name]
        assert f"\nThe run in the page: {LINK}\n" in page["script"]
        script = page["script"].replace(LINK, "playground.html")
        assert STATEMENT.sub("", script) == STATEMENT.sub("", FILE)
        assert COMMENT.findall(script) == COMMENT.findall(FILE)
        expected = settings_of(FILE) | case["settings"] | {"steps": case["steps"], "out": case["out"]}
        assert settings_of(script) | {"changes": []} == expected


def test_the_file_needs_pytorch_alone_and_begins_as_the_page_does():
    assert set(re.findall(r"^(?:import|from) (\w+)", FILE, re.MULTILINE)) == {"math", "torch"}
    defaults = {name: row["default"] for name, row in SETTINGS.items()}
    assert settings_of(FILE) == {"layer": "mixture", **defaults, "out": [], "steps": 600, "changes": []}


def test_the_script_is_formatted(short, root, tmp_path):
    for name, page in short.items():
        (tmp_path / f"{name}.py").write_text(page["script"], encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "format", "--diff", "--no-cache", "--config", root / "pyproject.toml"]
    done = subprocess.run([*ruff, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
