"""Lesson 14's cell that reads a checkpoint from the disk, on one that is made here."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from moe_tutorial.course import my_moe
from moe_tutorial.course.lesson import Lesson

transformers = pytest.importorskip("transformers")


@pytest.fixture
def cell(root) -> str:
    lesson = Lesson.read(root / "notebooks/14_capstone.py")
    (source,) = (cell.source for cell in lesson.cells if "def who_takes" in cell.source)
    return source


@pytest.fixture
def folder(tmp_path, cell) -> str:
    """Two layers of OLMoE with random weights, and a tokenizer that knows the words of the lesson's text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = {}
    exec(cell.split("\n\n")[0], names)
    found = ["?", "padding", *dict.fromkeys(names["TEXT"].replace(".", " .").split())]
    words = {word: number for number, word in enumerate(found)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = transformers.OlmoeConfig(
        **sizes, vocab_size=len(words), eos_token_id=None, num_hidden_layers=2, num_experts=8, num_experts_per_tok=2
    )
    model = transformers.OlmoeForCausalLM(config)
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.mlp.gate.weight)
    model.save_pretrained(tmp_path)
    return str(tmp_path)


def test_a_checkpoint_on_the_disk_shows_who_takes_which_token(cell, folder, monkeypatch, capsys):
    monkeypatch.setenv("MOE_WEIGHTS", folder)
    names = {"os": os, "torch": torch}
    exec(cell, names)
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head == ["layer", "0", "1"]
    model = transformers.OlmoeForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    ids = transformers.AutoTokenizer.from_pretrained(folder)(names["TEXT"], return_tensors="pt")["input_ids"]
    logits = model(ids, output_router_logits=True).router_logits
    assert [row[0] for row in rows[:2]] == ["'The'", "'router'"]
    assert [[int(expert) for expert in row[-2:]] for row in rows] == torch.stack(
        [layer.argmax(-1) for layer in logits], -1
    ).tolist()
    assert len({tuple(row[-2:]) for row in rows}) > 1


def test_a_file_of_it_goes_into_a_learners_block_as_the_lesson_says(folder):
    weights, config = load_file(f"{folder}/model.safetensors"), json.loads(Path(folder, "config.json").read_text())
    model, x = transformers.OlmoeForCausalLM.from_pretrained(folder, local_files_only=True), torch.randn(5, 16)
    mine = my_moe(until="14")
    for n, layer in enumerate(model.model.layers):
        torch.testing.assert_close(mine.load_block(weights, config, layer=n)(x), layer.mlp(x[None])[0])
