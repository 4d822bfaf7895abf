"""A learner's progress: what is kept where, by whom at once, and what happens to a damaged file."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from moe_tutorial.course.progress.file import FILE, progress


def test_it_is_found_from_a_folder_below(workspace, monkeypatch):
    (workspace / "lessons").mkdir()
    monkeypatch.chdir(workspace / "lessons")
    progress().put("guess", "03.order", "not at all")
    assert progress().read()["guess"] == {"03.order": "not at all"}
    assert json.loads((workspace / FILE).read_text()) == {"guess": {"03.order": "not at all"}}


def test_many_write_at_once_and_nothing_is_lost(workspace):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: progress().put("exercise", f"03.{i}", i), range(60)))
    assert progress().read()["exercise"] == {f"03.{i}": i for i in range(60)}


@pytest.mark.parametrize("damaged", ['{"guess": {"03.order"', "[1, 2, 3]"])
def test_a_damaged_file_is_kept_beside(workspace, damaged):
    (workspace / FILE).write_text(damaged)
    progress().put("quiz", "03", 4)
    assert progress().read() == {"quiz": {"03": 4}}
    assert (workspace / "progress.unreadable.json").read_text() == damaged
