"""A Python of its own for a test, which has this one's packages but not the course."""

import subprocess
import sys
import sysconfig
from pathlib import Path


def fresh_python(folder: Path) -> Path:
    """Make the environment ``.venv`` in this folder; returns its Python. Nothing is fetched for it."""
    subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
    names = {"base": str(folder / ".venv"), "platbase": str(folder / ".venv")}
    python = Path(sysconfig.get_path("scripts", vars=names)) / Path(sys.executable).name
    # A path alone: what this environment's own .pth files add, the course among it, is not followed.
    Path(sysconfig.get_path("purelib", vars=names), "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python
