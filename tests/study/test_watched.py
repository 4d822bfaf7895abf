import os
import subprocess
import sys

import pytest

from moe_tutorial.layers import fast
from moe_tutorial.study import watched


@pytest.mark.parametrize("watches", [True, False])
def test_who_waits_for_a_kernel_is_told_and_nobody_else(watches, monkeypatch, capsys):
    monkeypatch.setattr(watched, "watched", lambda: watches)
    fast.on_compile(3.4)
    said = "A part of a layer was compiled (3 s) and is kept for the next time.\n"
    assert capsys.readouterr().err == (said if watches else "")


@pytest.mark.parametrize(
    ("session", "site", "expected"),
    [(None, None, [False, False]), ("a.ipynb", None, [True, True]), ("a.ipynb", "1", [False, False])],
)
def test_somebody_watches_in_jupyterlab_and_not_where_a_page_is_built(session, site, expected):
    environment = {k: v for k, v in os.environ.items() if k not in ("JPY_SESSION_NAME", "MOE_SITE")}
    environment |= {"JPY_SESSION_NAME": session} if session else {}
    environment |= {"MOE_SITE": site} if site else {}
    code = "from moe_tutorial.study.watched import *; print([interactive(), watched()])"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert run.stdout == f"{expected}\n", run.stderr
