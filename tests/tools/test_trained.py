"""The site's GPT: trained once, kept until the code that makes it changes, and hardly changed by rounding."""

import shutil

import pytest
import torch

from moe_tutorial.show.widgets.live_gpt import Dare
from moe_tutorial.tools.site.content import trained as module

DARE = Dare("abc", "def", [(0, 1, "fed")], "a book")


@pytest.fixture
def repository(root, tmp_path, monkeypatch):
    """A copy of the code that makes the model; training takes two steps there."""
    for part in module.MADE_BY:
        source, target = (folder / "moe_tutorial" / part for folder in (root, tmp_path))
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    monkeypatch.setattr(module, "STEPS", ((2, 1e-3),))
    return tmp_path


@pytest.fixture
def trainings(monkeypatch):
    """One entry for each training."""
    done, train = [], module._train
    monkeypatch.setattr(module, "_train", lambda *given: done.append(given) or train(*given))
    return done


def found(repository):
    module.trained_gpt.cache_clear()  # as in another process
    return module.trained_gpt(repository)


def test_it_is_trained_once_and_again_when_the_code_that_makes_it_changes(repository, trainings, monkeypatch):
    monkeypatch.setattr(module, "find_dares", lambda gpt: [DARE])
    (first, made), (second, kept) = found(repository), found(repository)
    assert len(trainings) == 1
    assert made == kept == [DARE]
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name])
    assert not second.training
    with (repository / "moe_tutorial/study/language.py").open("a") as file:
        file.write("\n")
    found(repository)
    assert len(trainings) == 2


def test_a_model_that_rounding_spoils_is_refused(repository, monkeypatch):
    monkeypatch.setattr(module, "dequantised", lambda gpt: module.GPT(gpt.config).eval())  # with other weights
    with pytest.raises(ValueError, match=r"rounding costs 0\.\d+ nats; allowed is 0.01"):
        found(repository)
