"""Buttons that open a lesson in Binder or Colab, or report an error, if the course's GitHub repository is known.

They are links: a page requests nothing from another host until the reader follows one.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def page_on_github(remote: str) -> str | None:
    """The https address of the repository that a git remote names, or None if it is not on github.com."""
    # A remote is an https or ssh URL, or the short form of ssh. A user name or token before the host is dropped.
    form = r"(?:https?://(?:[^@/\s]+@)?|ssh://(?:[^@/\s]+@)?|(?:[^@/\s]+@))(?:www\.)?github\.com(?::\d+/|[:/])"
    found = re.fullmatch(rf"{form}/?([\w.-]+)/([\w.-]+?)(?:\.git)?/?", remote.strip(), re.IGNORECASE)
    return f"https://github.com/{found[1]}/{found[2]}" if found else None


def repository(folder: Path) -> str | None:
    """The course's address on GitHub, from MOE_REPOSITORY or else from the git remote `origin`; None if unknown."""
    remote = os.environ.get("MOE_REPOSITORY")
    if remote is None:
        try:
            command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
            remote = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except FileNotFoundError:  # there is no git
            return None
    return page_on_github(remote)


def pages_address(repository: str | None) -> str | None:
    """The GitHub Pages address of the repository at this address, or None without one."""
    if not repository:
        return None
    owner, name = repository.rsplit("/", 2)[-2:]
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


LEARNERS = "learners"  # the branch with learners' copies, which the workflow learners.yml publishes


def binder(repository: str, lesson: str) -> str:
    """The address that opens a lesson in a learner's folder on Binder. ``postBuild`` makes this folder."""
    name = repository.removeprefix("https://github.com/")
    return f"https://mybinder.org/v2/gh/{name}/main?urlpath=lab/tree/my-course/{lesson}.ipynb"


def colab(repository: str, lesson: str) -> str:
    """The address that opens a learner's copy of a lesson in Colab."""
    name = repository.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{name}/blob/{LEARNERS}/{lesson}.ipynb"


def add_buttons(app: Sphinx, config: Any) -> None:
    """Tell the theme the repository's address, if it is known; otherwise no page has such a button."""
    address = repository(Path(app.srcdir))
    if address:
        config.html_theme_options |= {
            "repository_url": address,
            "repository_branch": "main",  # the workflow site.yml publishes this branch
            "path_to_docs": "notebooks",
            "use_issues_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }


def change_buttons(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Rename the theme's "Open an issue" button, and let Binder and Colab open learners' copies.

    Not every reader knows what an issue is.
    """
    address = repository(Path(app.srcdir)) or ""
    for button in context.get("header_buttons", []):
        if button.get("label") == "source-issues-button":
            button["tooltip"] = "Report an error"
        for launch in button.get("buttons", []):
            for host, opens in (("mybinder.org", binder), ("colab.research", colab)):
                if host in launch.get("url", ""):
                    launch["url"] = opens(address, page)
