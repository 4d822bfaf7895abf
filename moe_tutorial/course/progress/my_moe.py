"""``my_moe.py``: a learner's answers and a module that joins them, in one file of their workspace.

The answers are those that ``check`` was handed and found right, so it does not matter which notebook is saved or open.
"""

import builtins
import sys
import textwrap
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from moe_tutorial.course.exercises import EXERCISES, Exercise
from moe_tutorial.course.lesson import solved
from moe_tutorial.course.progress.backups import back_up
from moe_tutorial.course.progress.file import progress, write_file
from moe_tutorial.course.progress.storage import answered
from moe_tutorial.course.running import sentence
from moe_tutorial.layers import switch_loss

FILE = "my_moe.py"
COLLECTED = ("03.route", "03.my_mixture", "04.training_step")
BALANCING = ("06.noisy_topk", "07.switch_loss", "07.bias_update", "07.quantile")
READING = ("08.block", "08.lm_loss", "08.peeks")
GROWING = ("09.upcycle",)
LOADING = ("14.published_block", "14.deepseek_block")
JOINED = Path(__file__).with_name("joined.py").read_text(encoding="utf-8")
HEAD, JOINS, BALANCES, GROWS, LOADS, READS, SHOWS = JOINED.split("# %%\n")
LATER = {BALANCES: BALANCING, GROWS: GROWING, LOADS: LOADING, READS: READING}
"""What joins exercises that the file has as soon as the learner's answer to one of them is right -> their ids."""
OPEN = "the course's, until its check finds yours right (some are optional)"
MORE = "the course's, as yours needs something from outside the function. {}"


def my_moe(until: str = "04") -> ModuleType:
    """Collect the answers into ``my_moe.py`` of the workspace and return it as a module, with its text as ``source``.

    Without a workspace, nothing is written. The parts of lessons up to ``until``, such as ``"08"``, are there before an
    answer of them is right.
    """
    found, kept = parts(answered(), until), progress()
    if kept:
        print("\n".join(write(kept.file.parent, found)))
    module = ModuleType("my_moe")
    module.source = text(found)
    exec(compile(module.source, FILE, "exec"), vars(module))
    return module


def parts(kept: dict[str, dict[str, Any]], until: str = "04") -> dict[str, tuple[str, str]]:
    """Id of each exercise in the file -> whose answer stands there, in words, and its source; ``kept`` is progress."""
    found = {}
    for id in COLLECTED + BALANCING + READING + GROWING + LOADING:
        exercise, source = EXERCISES[id], solved(kept.get("exercise", {}).get(id, {}).get("source", ""))
        lacks = missing(exercise, source) if source else ""
        if source and not lacks:
            found[id] = "yours", source
        else:
            found[id] = MORE.format(lacks) if lacks else OPEN, exercise.solution
    begun = [ids for ids in LATER.values() if ids[-1][:2] <= until or any(found[id][0] != OPEN for id in ids)]
    if READING in begun:
        begun.append(BALANCING)  # a GPT has a penalty
    return {id: part for id, part in found.items() if id in COLLECTED + sum(begun, ())}


def missing(exercise: Exercise, source: str) -> str:
    """What an answer lacks in the file, which imports torch alone and has no other cells; "" if it is right there."""
    names = {"__builtins__": vars(builtins) | {"__import__": import_torch_alone}, "switch_loss": switch_loss}
    try:
        exec(HEAD + source, names)
    except Exception as error:
        return sentence(error, "")
    result = exercise.examine(names.get(exercise.name))
    return "" if result.passed else result.message.partition("\n")[0]


def import_torch_alone(name: str, *rest: Any) -> ModuleType:
    """Import torch or a module of the standard library.

    Raises ImportError for any other.
    """
    if name.partition(".")[0] not in {"torch", *sys.stdlib_module_names}:
        raise ImportError(f"{name} is not part of it")
    return __import__(name, *rest)


def text(found: dict[str, tuple[str, str]]) -> str:
    """The file's text."""
    answers = [f"# {id}: {whose}\n{source}\n\n\n" for id, (whose, source) in found.items()]
    later = [section for section, ids in LATER.items() if found.keys() >= set(ids)]
    return "".join([HEAD, "\n", *answers, JOINS, *later, SHOWS])


def write(folder: Path, found: dict[str, tuple[str, str]]) -> list[str]:
    """Write the file, with a backup if another text stands there. Returns the lines that report it."""
    path, content = folder / FILE, text(found).encode()
    ids: dict[str, list[str]] = {}
    for id, (whose, _) in found.items():
        ids.setdefault(whose, []).append(id)
    said = [f"✓ {FILE} is in your folder"]
    for whose, those in ids.items():
        said += textwrap.wrap(f"    {whose}: {', '.join(those)}", 80, subsequent_indent=" " * 8)
    if path.exists() and path.read_bytes() != content:
        said.append(f"    as it was before: {back_up(path, datetime.now()).relative_to(folder)}")
    write_file(path, content)
    return said
