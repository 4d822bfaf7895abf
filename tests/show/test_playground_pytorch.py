"""A run as a PyTorch script: it trains as the page does, and holds nothing that the run does not use."""

import ast
import itertools
import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch

from moe_tutorial.show.playground import SETTINGS
from moe_tutorial.show.web import read

LINK = "https://example.org/playground.html#preset=rules&then=600.balance.switch"
STEPS, SAME = 200, 1e-6
CODE = """
return runs.map(({ settings, knocked = [], changes = [], steps }) => {
  const all = { ...defaultsOf(settings.layer ?? "mixture"), ...settings };
  const script = inPyTorch(template, { settings: all, knocked, changes, steps }, link);
  const model = createLayer(all), losses = [];
  knocked.forEach((gone, e) => gone && model.knock(e));
  for (let step = 0; ; step++) {
    for (const { at, set, knock } of changes) {
      if (at === step && set) model.set(set);
      if (at === step && knock) model.knock(...knock);
    }
    if (step === steps) break;
    model.set({ batch: model.settings.batch }); // so that it forgets the steps before, and `recent` is about one
    model.train();
    losses.push(model.recent().task);
  }
  const { shares, soft, hard, loss, accuracy = [soft.accuracy, hard.accuracy] } = model.evaluate();
  return { script, losses, shares, accuracy, loss, params: parameters(model) };
});
"""


def run(steps: int = STEPS, changes=(), knocked=(), **settings) -> dict:
    return {"settings": settings, "knocked": list(knocked), "changes": list(changes), "steps": steps}


def at(step: int, knock=None, **changed) -> dict:
    return {"at": step} | ({"knock": knock} if knock else {}) | ({"set": changed} if changed else {})


def first_steps(preset: dict) -> dict:
    """A preset's settings and, half-way, what it proposes next, if anything."""
    changes = [at(STEPS // 2, **preset["then"]["set"])] if "then" in preset else []
    return run(changes=changes, layer=preset["kind"], **preset["settings"])


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
OUT = [at(50, [2, True]), at(80, [0, True]), at(120, [2, False]), at(160, [3, True])]
CASES = {
    **{f"{gate}-{balance}": case for (gate, balance), case in zip(PAIRS, OFTEN, strict=True)},
    **{f"preset-{preset['id']}": first_steps(preset) for preset in PRESETS},
    **{
        f"out-{gate}-{balance}": run(
            gate=gate, balance=balance, k=3, E=4, noise=0.5 * (gate == "sigmoid_topk"), coefficient=0.05, batch=33,
            changes=OUT, knocked=[False, True],
        )
        for gate, balance in zip(CHOICES["gate"], ("bias", "switch", "importance", "none"), strict=True)
    },
    "switch-later": run(changes=[at(100, balance="switch", coefficient=1)]),
    "batch": run(changes=[at(40, batch=9), at(80, batch=512), at(120, rate=0.05), at(160, batch=1)], noise=1, E=3),
    "gates": run(
        changes=[at(30 * (i + 1), gate=gate) for i, gate in enumerate(("topk_softmax", "sigmoid_topk", "hash"))]
        + [at(130, k=3), at(150, gate="softmax_topk", balance="bias", coefficient=0.01)],
        gate="hash", noise=0.3, balance="switch", k=2, seed=12,
    ),
    "bias-twice": run(
        balance="bias", coefficient=0.03, k=2,
        changes=[at(40, balance="none"), at(60, balance="bias"), at(99, balance="none"), at(99, balance="bias")],
    ),
    "no-step": run(0, data="clusters"),
    **{
        f"tree-{depth}-{data}": run(
            layer="tree", depth=depth, data=data, centred=depth % 2 == 0, seed=depth, rate=0.03, leaf_width=depth,
            hardening=(0, 1)[depth > 2], node_balance=(0, 2)[depth % 2],
            changes=[at(60, hardening=3), at(100, node_balance=1, batch=50), at(150, node_balance=0, rate=0.01)],
        )
        for depth, data in zip((1, 2, 3, 4), CHOICES["data"], strict=True)
    },
    "tree-plain": run(layer="tree", seed=4242),
}  # fmt: skip


def answers(engine, runs: dict[str, dict]) -> dict[str, dict]:
    """Of each run: the script, and what the page's engine comes to."""
    given = {"template": read("playground/pytorch.py"), "link": LINK, "runs": list(runs.values())}
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
    return dict(zip(runs, engine("run", code=constants + CODE), strict=True))


@pytest.fixture(scope="module")
def short(engine):
    return answers(engine, CASES)


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
    for parameter, values in page["params"].items():
        np.testing.assert_allclose(ours[parameter].detach().flatten(), values, rtol=0, atol=SAME, err_msg=parameter)
    assert ours["loss"].item() == pytest.approx(page["loss"], abs=SAME)
    np.testing.assert_allclose(ours["shares"], page["shares"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours["accuracy"], page["accuracy"], rtol=0, atol=1e-12)


def test_it_says_where_it_comes_from_and_holds_nothing_that_it_does_not_use(short):
    for name, page in short.items():
        script, lines = page["script"], ast.parse(page["script"])
        assert script.splitlines()[2] == f"# {LINK}"
        assert not [left for left in ("# <", "LINK", "template") if left in script]
        functions = {part.name for part in lines.body if isinstance(part, ast.FunctionDef)}
        read = {part.id for part in ast.walk(lines) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
        assert functions <= read, name
        settings = next(
            part for part in lines.body if isinstance(part, ast.Assign) and part.targets[0].id == "settings"
        )
        given = ast.literal_eval(settings.value)
        assert [setting for setting in given if f'settings["{setting}"]' not in script] == [], name


def test_changes_that_nobody_sees_are_left_out(engine):
    tried = [at(5, noise=1), at(5, noise=0), at(7, k=2), at(7, k=3), at(7, knock=[1, True]), at(7, knock=[1, False])]
    later = [at(20, gate="hash")]  # the reader went back to step 10
    unread = [at(5, coefficient=1)]  # of no balance
    made = answers(engine, {"tried": run(10, tried + later), "unread": run(10, unread)})
    script = made["tried"]["script"]
    assert script.partition("CHANGES = [")[2].splitlines()[1:3] == ['    (7, "k", 3),', "]"]
    assert not [word for word in ("noise", "alive", "hash") if word in script]
    assert not [word for word in ("CHANGES", "coefficient") if word in made["unread"]["script"]]


def test_ruff_has_nothing_to_say(short, root, tmp_path):
    for name, page in short.items():
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(page["script"], encoding="utf-8")
    for command in (["check"], ["format", "--check", "--diff"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", root / "pyproject.toml", tmp_path]
        done = subprocess.run(ruff, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
