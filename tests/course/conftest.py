"""A kernel that has just started, and a learner's folder."""

import pytest

from moe_tutorial.course.progress import storage
from moe_tutorial.course.progress.file import FILE


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """The kernel keeps no answers, and no page is built or notebook graded."""
    monkeypatch.setattr(storage, "_in_kernel", {})
    for variable in ("MOE_SITE", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A learner's folder, which is the working directory."""
    (tmp_path / FILE).write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path
