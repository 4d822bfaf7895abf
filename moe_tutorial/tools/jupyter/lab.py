"""Open JupyterLab on a folder, with the course's settings."""

import os
import sys
from pathlib import Path


def open_lab(folder: Path, first: str, port: int, extra: list[str]) -> None:
    """Start JupyterLab in this folder with the file ``first`` open, passing on the arguments ``extra``."""
    # In JupyterLab's terminals, `moe-tutorial` is that of this Python environment. Without a terminal behind the
    # server, they would be login shells, which set PATH anew; they are not where the shell is given.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    shell = os.environ.get("SHELL", "sh")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the lessons were recorded
    # This folder has labconfig/ (no news, no update checks, no windowing of cells, widgets are stored) and
    # jupyter_server_config.json.
    path = [str(Path(__file__).parent), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, path))
    from jupyterlab.labapp import main  # reads the environment on import

    main(
        [
            f"--ServerApp.root_dir={folder.resolve()}",
            f"--ServerApp.port={port}",
            *([] if os.name == "nt" else [f"--ServerApp.terminado_settings=shell_command={shell}"]),
            f"--LabApp.default_url=/lab/tree/{first}",
            "--log-level=WARN",  # the address is still printed
            # JupyterLab refuses to run as root without this option; in a container, the user is root.
            *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            *extra,
        ]
    )
