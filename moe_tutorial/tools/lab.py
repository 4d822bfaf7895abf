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
    """The wanted port, or the next free one after it, which is said.

    Raises:
        SystemExit: it is not a port, or none near it is free.
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
    """Start JupyterLab in this folder, with the file ``first`` open; ``extra`` goes to it as it stands."""
    number = free_port(port)
    # In its terminals, `moe-tutorial` is the one of this Python.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the lessons were recorded
    # Beside this module lie labconfig/ (no news, no update checks, every cell stays on the page) and the server's JSON.
    path = [str(Path(__file__).parent), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, path))
    from jupyterlab.labapp import main  # it reads the environment when it is imported

    main(
        [
            f"--ServerApp.root_dir={folder.resolve()}",
            f"--ServerApp.port={number}",
            "--ServerApp.port_retries=0",
            f"--LabApp.default_url=/lab/tree/{first}",
            "--log-level=WARN",  # the address is still printed
            # JupyterLab refuses to run as root unless told; in a container the reader is root.
            *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            *extra,
        ]
    )
