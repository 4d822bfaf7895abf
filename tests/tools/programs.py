"""Programs that tests start, and a Python of their own for them."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def run(*command: str | Path, folder: Path, **more: str) -> str:
    """What a command prints in this folder, with more in its environment; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MOE_SITE")} | more
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert not done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fresh_python(folder: Path) -> Path:
    """Make the environment ``.venv``, with this Python's packages but not the course. Returns its Python.

    Nothing is fetched for it.
    """
    subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
    names = {"base": str(folder / ".venv"), "platbase": str(folder / ".venv")}
    python = Path(sysconfig.get_path("scripts", vars=names)) / Path(sys.executable).name
    # A path alone: what this environment's own .pth files add, the course among it, is not followed.
    Path(sysconfig.get_path("purelib", vars=names), "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python
