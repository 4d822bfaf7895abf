"""Find open notebooks: ask the Jupyter servers on this machine which notebooks have a kernel."""

import json
import os
import urllib.request
from pathlib import Path

from moe_tutorial.course import CourseError

SECONDS = 5
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a server on this machine needs no proxy


def opened(folder: Path) -> set[Path]:
    """The notebooks with a kernel in this folder.

    Raises:
        CourseError: a server on this folder does not answer.
    """
    from jupyter_server.serverapp import list_running_servers  # it takes a second to load

    found = set()
    for server in list_running_servers():
        root = Path(server.get("root_dir") or server.get("notebook_dir") or "/").resolve()
        if not folder.resolve().is_relative_to(root) and not root.is_relative_to(folder.resolve()):
            continue
        try:
            sessions = ask(server)
        except (OSError, ValueError):
            raise CourseError(
                f"a Jupyter server on this folder ({server['url']}, process {server['pid']}) does not say which "
                "notebooks are open; stop it first"
            ) from None
        found |= {(root / session["path"]).resolve() for session in sessions}
    return found


def ask(server: dict) -> list[dict]:
    """The sessions of a server, each with a notebook's path and its kernel."""
    token = server.get("token") or os.environ.get("JUPYTERHUB_API_TOKEN", "")
    request = urllib.request.Request(f"{server['url']}api/sessions", headers={"Authorization": f"token {token}"})
    with DIRECT.open(request, timeout=SECONDS) as answer:
        return json.load(answer)
