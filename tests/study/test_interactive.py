import os
import subprocess
import sys

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook


@pytest.mark.parametrize(
    ("session", "site", "expected"),
    [(None, None, [False, False]), ("a.ipynb", None, [True, True]), ("a.ipynb", "1", [False, False])],
)
def test_a_notebook_is_interactive_in_jupyterlab_and_not_while_a_page_is_built(session, site, expected):
    variables = {k: v for k, v in os.environ.items() if k not in ("JPY_SESSION_NAME", "MOE_SITE")}
    variables |= {"JPY_SESSION_NAME": session} if session else {}
    variables |= {"MOE_SITE": site} if site else {}
    code = "from moe_tutorial.study.environment import *; print([interactive(), shows_progress()])"
    run = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120)
    assert run.stdout == f"{expected}\n", run.stderr


def test_a_progress_bar_leaves_nothing_in_a_saved_notebook(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    code = "from moe_tutorial.study import progress\nfor i in progress(range(3), 3, 'seeds'): print(i)"
    cell = new_code_cell(code)
    NotebookClient(new_notebook(cells=[cell]), timeout=120).execute()
    bar, printed = cell.outputs
    assert (bar.data, printed.text) == ({}, "0\n1\n2\n")
