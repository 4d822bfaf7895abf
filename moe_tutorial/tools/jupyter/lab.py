"""Open JupyterLab on a folder, with the course's settings."""

import os
import socket
import sys
from pathlib import Path

PORTS_TRIED = 20


def is_free(port: int) -> bool:
    """Whether nothing listens on this port of this machine."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def free_port(wanted: str) -> int:
    """The wanted port, or the next free one after it, which is then printed.

    Raises:
        SystemExit: ``wanted`` is not a port, or no port near it is free.
    """
    if not wanted.isdecimal() or not 1 <= int(wanted) <= 65535:
        sys.exit(f"PORT is {wanted!r}; a port is a whole number from 1 to 65535")
    first = int(wanted)
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        if is_free(port):
            if port != first:
                print(f"Port {first} is taken: JupyterLab opens on {port}.", flush=True)
            return port
    sys.exit(f"Ports {first} to {port} are taken. Name another: make lab PORT=9000")


def open_lab(folder: Path, first: str, port: str, extra: list[str]) -> None:
    """Start JupyterLab in this folder with the file ``first`` open, passing on the arguments ``extra``."""
    number = free_port(port)
    # In JupyterLab's terminals, `moe-tutorial` is that of this Python environment.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the lessons were recorded
    # This folder has labconfig/ (no news, no update checks, no windowing of cells) and jupyter_server_config.json.
    path = [str(Path(__file__).parent), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, path))
    from jupyterlab.labapp import main  # reads the environment on import

    main(
        [
            f"--ServerApp.root_dir={folder.resolve()}",
            f"--ServerApp.port={number}",
            "--ServerApp.port_retries=0",
            f"--LabApp.default_url=/lab/tree/{first}",
            "--log-level=WARN",  # the address is still printed
            # JupyterLab refuses to run as root without this option; in a container, the user is root.
            *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            *extra,
        ]
    )
