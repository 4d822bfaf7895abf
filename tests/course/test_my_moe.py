"""my_moe.py of learners whose answers are right, open, wrong, or need more than PyTorch."""

import inspect
import io
import re
import runpy
import signal
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
import transformers
from answers import RIGHT as OTHERS
from jupyter_client.manager import start_new_kernel
from torch import nn

from moe_tutorial.course import check, my_moe
from moe_tutorial.course.exercises import EXERCISES
from moe_tutorial.course.progress.file import FILE, progress
from moe_tutorial.course.progress.my_moe import BALANCING, COLLECTED, GROWING, LOADING, READING, parts
from moe_tutorial.study import published

ROUTE, MIXTURE, STEP = COLLECTED
NOISE, PENALTY, BIAS, QUANTILE = BALANCING
BLOCK, LOSS, PEEKS = READING
(UPCYCLE,) = GROWING
PUBLISHED, DEEPSEEK = LOADING
ALL = COLLECTED + BALANCING + READING + GROWING + LOADING


def in_another_style(id: str, style: str) -> str:
    """The source of a right answer in ``other_answers``, as it stands in a learner's cell."""
    (answer,) = (answer for one, answer in OTHERS if (one, answer.__name__) == (id, style))
    _, source = inspect.getsource(answer).split("\n", 1)  # its first line is the decorator
    return source.replace(f"def {style}(", f"def {EXERCISES[id].name}(")


STYLES = {
    ROUTE: "by_einsum",
    MIXTURE: "right_sum",
    STEP: "by_closure",
    NOISE: "by_sorting",
    PENALTY: "right_by_one_hot",
    BIAS: "by_shares",
    QUANTILE: "as_the_quantile_of_the_lead",
    BLOCK: "in_place_of_a_sum",
    LOSS: "by_hand",
    PEEKS: "cut_off",
    PUBLISHED: "all_experts_and_a_table",
}
RIGHT = {id: in_another_style(id, style) for id, style in STYLES.items()} | {
    UPCYCLE: """
def upcycle(dense, n_experts):
    from copy import deepcopy

    return nn.ModuleList(map(deepcopy, n_experts * [dense]))  # by map
""",
}
WRONG = {
    ROUTE: "def route(x, weight, k):\n    return (x @ weight.T).topk(k).indices, torch.ones(len(x), k)\n",
    STEP: RIGHT[STEP].replace("optimizer.zero_grad()", "pass"),
    PENALTY: RIGHT[PENALTY].replace("probs.shape[1] * f", "f"),
    LOSS: RIGHT[LOSS].replace("c * ", ""),
}
STUBS = {id: EXERCISES[id].stub for id in ALL}
UNTIL_04 = {id: RIGHT[id] for id in COLLECTED}
YOURS, COURSES = "yours", "the course's, until its check finds yours right (some are optional)"


pytestmark = pytest.mark.usefixtures("workspace")


def hand_in(answers: dict[str, str]) -> None:
    for id, source in answers.items():
        check(id, EXERCISES[id].written(source))


def marks() -> dict[str, str]:
    """Whose answer my_moe.py has, by its comments."""
    return dict(re.findall(r"^# (\d\d\.\w+): (.*)", Path("my_moe.py").read_text(), re.MULTILINE))


def alone(*words: str) -> str:
    """What `python my_moe.py WORDS` prints where this course and NumPy are missing."""
    hidden = "import runpy, sys; sys.modules |= dict.fromkeys(['moe_tutorial', 'numpy'])"
    code = f"{hidden}; sys.argv[0] = 'my_moe.py'; runpy.run_path('my_moe.py', run_name='__main__')"
    command = [sys.executable, "-I", "-W", "ignore", "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_alone() -> tuple[float, list[int]]:
    """Run my_moe.py on the plane: its accuracy, and the points of each expert."""
    said = re.fullmatch(r"(\d+) % of new points are right\npoints of each expert: \[(.*)\]\n", alone())
    return int(said[1]) / 100, [int(number) for number in said[2].split(",")]


nightly = partial(pytest.param, marks=pytest.mark.nightly)


@pytest.mark.parametrize(
    ("answers", "whose"),
    [
        nightly(RIGHT, (*(YOURS,) * 12, COURSES)),
        nightly(STUBS | {ROUTE: RIGHT[ROUTE], BIAS: RIGHT[BIAS]}, (YOURS, *(COURSES,) * 4, YOURS, COURSES)),
        (RIGHT | WRONG, (COURSES, YOURS, COURSES, YOURS, COURSES, *(YOURS,) * 3, COURSES, *(YOURS,) * 3, COURSES)),
        nightly({BLOCK: RIGHT[BLOCK]}, (*(COURSES,) * 7, YOURS, COURSES, COURSES)),
        nightly(UNTIL_04, (YOURS, YOURS, YOURS)),
        nightly(STUBS | {PENALTY: WRONG[PENALTY]}, (COURSES, COURSES, COURSES)),
        nightly({}, (COURSES, COURSES, COURSES)),
    ],
    ids=["all right", "some open", "some wrong", "one of 08", "nothing after 04", "nothing right", "nothing begun"],
)
def test_the_file_has_the_right_answers_and_the_courses_for_others_and_learns_with_torch_alone(answers, whose, capsys):
    hand_in(answers)
    capsys.readouterr()
    my_moe()
    said = capsys.readouterr().out.replace("\n        ", " ")  # long lines are wrapped
    assert marks() == dict(zip(ALL, whose, strict=False))
    listed = dict(line.strip().split(": ") for line in said.splitlines() if line.startswith("    "))
    assert {id: mark for mark, ids in listed.items() for id in ids.split(", ")} == marks()
    text = Path("my_moe.py").read_text()
    for id, mark in marks().items():
        assert ((RIGHT[id].strip() if mark == YOURS else EXERCISES[id].solution) + "\n\n\n") in text
    assert len(marks()) == len(whose)
    assert ("balance" in text) == (len(whose) > 3)  # a learner who wrote nothing of it meets nothing of it
    assert ("class GPT" in text) == (len(whose) > 7)
    assert ("upcycle" in text) == (len(whose) > 10)
    assert ("load_block" in text) == (len(whose) > 11)
    accuracy, points = run_alone()
    assert accuracy > 0.9
    assert sum(points) == 1000


def busiest(mine, **options) -> float:
    """The largest share of eight experts after training on points that have a mean, for collapse."""
    torch.manual_seed(1)
    moe = mine.BalancedMoE(d_model=3, d_hidden=4, n_experts=8, top_k=1, d_out=2)
    x, y = mine.plane(500)
    x = torch.cat([x, torch.full((len(x), 1), 3.0)], dim=-1)
    mine.train_balanced(moe, x, y, steps=300, **options)
    with torch.no_grad():
        _, (chosen, _) = moe(x)
    return chosen.flatten().bincount(minlength=8).max().item() / len(x)


def test_its_balanced_mixture_shares_the_work_by_penalty_and_either_bias_and_repeats_itself_without_noise():
    hand_in({PENALTY: RIGHT[PENALTY]})
    mine = my_moe()
    alone = busiest(mine)
    assert busiest(mine, penalty=1.0) < 0.6 * alone
    assert busiest(mine, rate=0.02) < 0.6 * alone
    assert busiest(mine, rate="quantile") < 0.6 * alone
    noisy, x = mine.BalancedMoE(d_model=3, d_hidden=4, n_experts=8, top_k=2, d_out=2, noise=1.0), torch.randn(50, 3)
    choices = [noisy(x)[1].indices for _ in range(2)]
    assert not torch.equal(*choices)
    noisy.eval()
    again = [noisy(x)[1].indices for _ in range(2)]
    assert torch.equal(*again)


def test_the_bias_changes_the_choice_and_not_the_weights_of_a_noisy_mixture_too():
    hand_in({NOISE: RIGHT[NOISE]})
    mine = my_moe()
    moe, x = mine.BalancedMoE(d_model=3, d_hidden=4, n_experts=4, top_k=2, d_out=2, noise=0.5), torch.randn(60, 3)
    torch.manual_seed(0)
    before = moe.choose(x)
    moe.bias[:2] += 20.0
    torch.manual_seed(0)
    after = moe.choose(x)
    assert (after.indices < 2).all()
    assert not (before.indices < 2).all()
    torch.testing.assert_close(after.logits, before.logits)
    same = (before.indices < 2).all(-1)  # those who would have chosen these two anyway
    assert same.any()
    for way in (before, after):
        way.weights = way.weights.gather(-1, way.indices.argsort(-1))
    torch.testing.assert_close(after.weights[same], before.weights[same])


@pytest.mark.parametrize("source", [RIGHT[MIXTURE], EXERCISES[MIXTURE].solution], ids=["token by token", "course's"])
def test_it_takes_sequences_and_an_expert_reads_the_tokens_that_chose_it_and_no_others(source):
    hand_in({MIXTURE: source})
    mine = my_moe(until="08")
    moe, x = mine.MyMoE(d_model=3, d_hidden=4, n_experts=8, top_k=2, d_out=5), torch.randn(6, 16, 3)
    y, routing = moe(x)
    flat, of_flat = moe(x.flatten(0, 1))
    assert y.shape == (6, 16, 5)
    torch.testing.assert_close(y.flatten(0, 1), flat)
    assert torch.equal(routing.indices, of_flat.indices)
    everyone = torch.stack([expert(x.flatten(0, 1)) for expert in moe.experts], 1)
    chosen = everyone[torch.arange(96)[:, None], routing.indices]
    torch.testing.assert_close(flat, (routing.weights[..., None] * chosen).sum(1))
    expected = len(routing.probs.T) * (routing.indices.flatten().bincount(minlength=8) / 192) @ routing.probs.mean(0)
    torch.testing.assert_close(mine.switch_loss(routing), expected)
    torch.testing.assert_close(mine.switch_loss(routing.probs, routing.indices), expected)
    read = dict.fromkeys(moe.experts, 0)

    def count(expert, given):
        read[expert] += given[0].numel() // 3

    for expert in moe.experts:
        expert.register_forward_pre_hook(count)
    moe.router.data[:, 0], moe.router.data[:, 1:] = torch.arange(8.0), 0.0
    _, routing = moe(x.abs())
    assert list(read.values()) == [0, 0, 0, 0, 0, 0, 96, 96]


@pytest.mark.nightly
def test_it_learns_a_text_better_than_a_table_of_pairs_and_writes_on(workspace):
    hand_in({id: RIGHT[id] for id in READING})
    my_moe()
    Path("text.txt").write_text("to be, or not to be: " * 60)
    begun, said = alone("train", "text.txt", "20"), alone("train", "text.txt", "80")
    assert said.startswith("goes on with my_moe.pt")
    for each in (begun, said):
        assert "the GPT looks ahead at 0 of 63 places" in each
    assert re.findall(r"\[(#* *)\] step (\d+) of 80, held out", said)[::19] == [(f"{'#':20}", "4"), (20 * "#", "80")]
    at_first, (loss, table) = (
        re.search(r"nats a character: (.*); of a table of pairs: (.*)\n", s).groups() for s in (begun, said)
    )
    assert float(loss) < float(at_first[0])
    assert float(loss) < float(table) - 0.3
    taken = re.findall(r"expert (\d) of the first block takes most often: '(.)'", said)
    assert len(taken) > 1
    assert {character for _, character in taken} <= set("to be, r:n")
    assert re.fullmatch("to be[:, beonrt]{300}\n", alone("write", "to be"))


@pytest.mark.nightly
def test_a_training_that_is_stopped_goes_on_with_what_it_learned(workspace):
    my_moe(until="08")
    Path("text.txt").write_text("to be, or not to be: " * 60)
    command = [sys.executable, "my_moe.py", "train", "text.txt", "400"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    stoppable = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs are not
    training = subprocess.Popen(command, preexec_fn=stoppable, **pipes)
    said = ""
    while "step 40 " not in said:
        said += training.stdout.read(1)
        assert training.poll() is None, said
    training.send_signal(signal.SIGINT)
    assert "the same command goes on with what it learned" in training.communicate(timeout=60)[1]
    assert alone("train", "text.txt", "20").startswith("goes on with my_moe.pt; to begin anew, rename it\n")


@pytest.mark.parametrize("colored", [True, False])
def test_in_a_terminal_each_character_has_the_colour_of_the_expert_that_reads_it(monkeypatch, colored):
    mine = my_moe(until="08")
    torch.manual_seed(0)
    gpt = mine.GPT("ab \n")
    torch.save({"characters": "ab \n", "weights": gpt.state_dict()}, "my_moe.pt")
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "argv", ["my_moe.py", "write", "ab"])
    monkeypatch.setenv("NO_COLOR", "" if colored else "1")
    runpy.run_path("my_moe.py", run_name="__main__")
    begins = f"\x1b[38;5;{mine.COLORS[gpt.readers('ab')[0]]}ma" if colored else "ab"
    assert terminal.getvalue().startswith(begins)
    assert re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue()).startswith("ab")


BLOCKS = {  # a config's model_type -> the module and the class in transformers
    "mixtral": ("mixtral", "MixtralSparseMoeBlock"),
    "olmoe": ("olmoe", "OlmoeSparseMoeBlock"),
    "qwen3_moe": ("qwen3_moe", "Qwen3MoeSparseMoeBlock"),
    "deepseek_v3": ("deepseek_v3", "DeepseekV3MoE"),
    "kimi_k2": ("deepseek_v3", "DeepseekV3MoE"),  # a name of its own for the same code
    "glm4_moe": ("glm4_moe", "Glm4MoeMoE"),
    "glm_moe_dsa": ("glm_moe_dsa", "GlmMoeDsaMoE"),
    "minimax_m2": ("minimax_m2", "MiniMaxM2SparseMoeBlock"),
}
W = ("w1", "w3", "w2")


def published_like(config: dict, seed: int = 1) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A block of transformers with random weights, and these by the names that they have in a checkpoint."""
    family, name = BLOCKS[config["model_type"]]
    theirs = transformers.AutoConfig.for_model(**config | {"model_type": family})
    block = getattr(import_module(f"transformers.models.{family}.modeling_{family}"), name)(theirs)
    torch.manual_seed(seed)
    for numbers in (*block.parameters(), *block.buffers()):
        nn.init.normal_(numbers, std=0.3)
    named = {name: kept for name, kept in block.state_dict(keep_vars=True).items() if not name.startswith("experts.")}
    names = W if family in ("mixtral", "minimax_m2") else ("gate_proj", "up_proj", "down_proj")
    for e, (both, down) in enumerate(zip(block.experts.gate_up_proj, block.experts.down_proj, strict=True)):
        for name, kept in zip(names, (*both.chunk(2), down), strict=True):
            named[f"experts.{e}.{name}.weight"] = kept
    return block, {f"model.layers.0.mlp.{name}": kept for name, kept in named.items()}


def narrow(config: dict, d: int = 12, h: int = 10) -> dict:
    """The config of a model with the same choices, d wide, and experts h wide."""
    widths = {"hidden_size": d, "intermediate_size": h, "moe_intermediate_size": h}
    return {key: widths.get(key, value) for key, value in config.items()}


def assert_same(loaded, block: nn.Module, x: torch.Tensor) -> None:
    """Require the same answers, and the same gradients of the tokens and of all weights, to 1e-5 of their size."""
    parameters = [x.requires_grad_(), *block.parameters()]
    y, theirs = loaded(x), block(x[None])[0]
    slopes = [
        torch.autograd.grad(answers.square().sum(), parameters, retain_graph=True, materialize_grads=True)
        for answers in (y, theirs)
    ]
    for ours, other in zip((y, *slopes[0]), (theirs, *slopes[1]), strict=True):
        assert (ours - other).norm() < 1e-5 * other.norm()


MIXTURES = {model.name: model.config for model in published() if model.choices}
V3 = MIXTURES["DeepSeek-V3"] | {"n_routed_experts": 12, "num_experts_per_tok": 3}
CONFIGS = {name: config for name, config in MIXTURES.items() if config["model_type"] in BLOCKS} | {
    "Qwen3, as it is": MIXTURES["Qwen3-30B-A3B"] | {"norm_topk_prob": False},
    "the best of 4 groups, 3 shared": V3 | {"n_group": 4, "topk_group": 1, "n_shared_experts": 3},
    "3 of 4 groups, not divided": V3 | {"n_group": 4, "topk_group": 3, "norm_topk_prob": False},
}
AGAIN = ("Mixtral 8x7B", "Qwen3, as it is")  # by answers that are not the course's


@pytest.mark.parametrize(
    ("name", "answers"),
    [*((name, {}) for name in CONFIGS), *((name, {PUBLISHED: RIGHT[PUBLISHED]}) for name in AGAIN)],
    ids=[*(f"{name}, the course's" for name in CONFIGS), *(f"{name}, theirs" for name in AGAIN)],
)
def test_it_computes_what_a_published_block_computes(name, answers):
    hand_in(answers)
    mine = my_moe(until="14")
    for seed, tokens, d, h in ((1, 20, 12, 10), (2, 1, 33, 5), (3, 7, 8, 16)):
        config = narrow(CONFIGS[name], d, h)
        block, weights = published_like(config, seed)
        assert_same(mine.load_block(weights, config), block, torch.randn(tokens, d))


def test_it_refuses_what_it_cannot_compute():
    mine, config = my_moe(until="14"), narrow(MIXTURES["Mixtral 8x7B"])
    weights = published_like(config)[1]
    for other in MIXTURES.values():
        if other["model_type"] not in BLOCKS:
            with pytest.raises(ValueError, match=f"^model_type must be one of mixtral, .*got '{other['model_type']}'"):
                mine.load_block(weights, other)
    with pytest.raises(ValueError, match="layer must be below 1, which is how many"):
        mine.load_block(weights, config, layer=1)
    gate = "model.layers.0.mlp.gate"
    with pytest.raises(ValueError, match=r"weights of mixtral lack experts.0.down_proj.weight, experts.0.gate"):
        mine.load_block({f"{gate}.weight": weights[f"{gate}.weight"]}, config)
    with pytest.raises(ValueError, match=r"weights of mixtral must not have gate.e_score_correction_bias$"):
        mine.load_block(weights | {f"{gate}.e_score_correction_bias": torch.zeros(8)}, config)
    with pytest.raises(ValueError, match=r"weights of kimi_k2 lack gate.e_score_correction_bias"):
        mine.load_block(weights, config | {"model_type": "kimi_k2"})


def test_weights_in_float8_are_multiplied_by_the_scales_of_their_squares():
    mine, config = my_moe(until="14"), narrow(V3, 130, 260) | {"n_routed_experts": 4, "n_group": 2, "topk_group": 1}
    exact, packed = published_like(config)[1], {}
    for name, kept in exact.items():
        packed[name] = kept
        if name.endswith("_proj.weight"):
            scale = torch.rand(-(-kept.shape[0] // 128), -(-kept.shape[1] // 128)) + 0.5
            everywhere = torch.kron(scale, torch.ones(128, 128))[: kept.shape[0], : kept.shape[1]]
            packed[name] = (kept / everywhere).to(torch.float8_e4m3fn)
            packed[f"{name}_scale_inv"] = scale
            exact[name] = packed[name].float() * everywhere
    x = torch.randn(9, 130)
    torch.testing.assert_close(mine.load_block(packed, config)(x), mine.load_block(exact, config)(x))


def test_layers_of_a_checkpoint_are_counted_and_not_spelled():
    mine, config = my_moe(until="14"), narrow(MIXTURES["OLMoE-1B-7B"])
    blocks = {n: published_like(config, seed=n) for n in (10, 2)}
    named = {name.replace(".0.", f".{n}.", 1): kept for n, (_, block) in blocks.items() for name, kept in block.items()}
    for layer, n in enumerate((2, 10)):
        assert_same(mine.load_block(named, config, layer), blocks[n][0], torch.randn(7, 12))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "none.txt"], "none.txt cannot be read: No such file"),
        (["train", "short.txt"], "short.txt is too short: it has 999 characters, and at least 1000 are needed"),
        (["train", "latin.txt"], "latin.txt is not a text in UTF-8"),
        (["train", "text.txt", "0"], "My mixture of experts"),
        (["paint", "a horse"], "My mixture of experts"),
        (["write", "a"], "there is no my_moe.pt yet; this makes it: python my_moe.py train FILE"),
        (["write", "a, b!"], "the text that it learned has no '!' ','"),
    ],
)
def test_it_says_what_is_wrong_with_what_it_is_given(words, says, monkeypatch):
    my = my_moe(until="08")
    Path("short.txt").write_text("a" * 999)
    Path("latin.txt").write_bytes("é".encode("latin-1") * 2000)
    if "!" in words[-1]:
        torch.save({"characters": "ab ", "weights": my.GPT("ab ").state_dict()}, "my_moe.pt")
    monkeypatch.setattr(sys, "argv", ["my_moe.py", *words])
    with pytest.raises(SystemExit, match=f"^{re.escape(says)}"):
        runpy.run_path("my_moe.py", run_name="__main__")


def test_it_lists_what_it_does_and_before_lesson_08_it_says_that_texts_come_there(monkeypatch, capsys):
    my_moe()
    monkeypatch.setattr(sys, "argv", ["my_moe.py", "--help"])
    runpy.run_path("my_moe.py", run_name="__main__")
    assert "python my_moe.py train FILE" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["my_moe.py", "train", "text.txt"])
    with pytest.raises(SystemExit, match="lesson 08 is not in this file yet"):
        runpy.run_path("my_moe.py", run_name="__main__")


def test_it_makes_a_mixture_of_a_network_by_the_learners_copies():
    hand_in({UPCYCLE: RIGHT[UPCYCLE]})
    mine = my_moe()
    dense, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(20, 3)
    moe = mine.upcycled(dense, n_experts=5, top_k=2)
    y, (_, weights) = moe(x)
    assert torch.allclose(y, weights.sum(-1, keepdim=True) * dense(x), atol=1e-6)
    mine.train(moe, x, (x[:, 0] > 0).long(), steps=20)
    answers = torch.stack([expert(x) for expert in moe.experts])
    assert (answers != answers[0]).any()  # each goes its own way


@pytest.mark.parametrize(
    ("source", "lacks"),
    [
        ("    import numpy\n    {}", "It raises ImportError: numpy is not part of it"),
        ("    import torch, moe_tutorial.study\n    {}", "It raises ImportError: moe_tutorial.study is not part of it"),
        ("    np.ones(3)\n    {}", "It raises NameError: name 'np' is not defined"),
        ("    {}  # by\n\ndef helper(): pass", None),
        ("    helper()\n    {}", "It raises NameError: name 'helper' is not defined"),
    ],
)
def test_an_answer_that_needs_more_than_torch_is_marked_so(source, lacks):
    body = source.format("weights, chosen = (x @ weight.T).softmax(-1).topk(k); return chosen, weights")
    answer = EXERCISES[ROUTE].written(f"def route(x, weight, k):\n{body}\n")
    answer.__globals__.setdefault("helper", lambda: None)
    assert check(ROUTE, answer) is answer
    my_moe()
    assert marks()[ROUTE] == (
        f"the course's, as yours needs something from outside the function. {lacks}" if lacks else YOURS
    )


def test_the_last_right_answer_stays_when_a_later_one_is_wrong():
    hand_in({ROUTE: RIGHT[ROUTE]})
    hand_in(WRONG)
    assert progress().read()["exercise"][ROUTE] == {"attempts": 1, "solved": True, "source": RIGHT[ROUTE]}
    my_moe()
    assert marks()[ROUTE] == YOURS


def test_what_a_learner_changed_in_the_file_is_kept_in_old(workspace, capsys):
    my_moe()
    assert not (workspace / "old").exists()
    my_moe()  # nothing new
    assert not (workspace / "old").exists()
    mine = Path("my_moe.py").read_text() + "\nprint('my own line')\n"
    Path("my_moe.py").write_text(mine)
    my_moe()
    (copy,) = (workspace / "old").iterdir()
    assert copy.read_text() == mine
    assert "my own line" not in Path("my_moe.py").read_text()
    assert capsys.readouterr().out.endswith(f"    as it was before: old/{copy.name}\n")


def test_without_a_workspace_the_module_is_there_and_no_file_is_written(workspace, capsys):
    (workspace / FILE).unlink()
    hand_in({ROUTE: RIGHT[ROUTE]})
    capsys.readouterr()
    module = my_moe()
    assert capsys.readouterr().out == ""
    assert list(workspace.iterdir()) == []
    moe = module.MyMoE(d_model=3, d_hidden=2, n_experts=4, top_k=2, d_out=5)
    y, (chosen, weights) = moe(torch.randn(6, 3))
    assert (y.shape, chosen.shape, weights.shape) == ((6, 5), (6, 2), (6, 2))
    assert module.route.__code__.co_varnames != EXERCISES[ROUTE].own.__code__.co_varnames  # theirs, from this kernel


def test_the_answers_of_a_notebook_that_was_never_saved_are_collected(workspace):
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(workspace))
    try:
        for cell in (
            "import torch; import torch.nn.functional as F; from moe_tutorial.course import check",
            RIGHT[ROUTE],
            f"route = check({ROUTE!r}, route)",
        ):
            assert client.execute_interactive(cell, timeout=120)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert parts(progress().read())[ROUTE] == (YOURS, RIGHT[ROUTE].strip())
