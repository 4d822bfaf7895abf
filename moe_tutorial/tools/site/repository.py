"""Buttons that open a lesson in Binder or Colab, and one that reports an error, where the course lies on GitHub.

They are links: a page asks another host for nothing until the reader follows one.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

BRANCH = "main"  # from which the workflow site.yml publishes


def page_on_github(remote: str) -> str | None:
    """The https address of the repository that a git remote names, or None where that is not on github.com."""
    # As git writes it: https, ssh, or the short form of ssh; a user or a token before the host is left out.
    form = r"(?:https?://(?:[^@/\s]+@)?|ssh://(?:[^@/\s]+@)?|(?:[^@/\s]+@))(?:www\.)?github\.com(?::\d+/|[:/])"
    found = re.fullmatch(rf"{form}/?([\w.-]+)/([\w.-]+?)(?:\.git)?/?", remote.strip(), re.IGNORECASE)
    return f"https://github.com/{found[1]}/{found[2]}" if found else None


def repository(folder: Path) -> str | None:
    """The course's page on GitHub: of MOE_REPOSITORY where that is set, or else of the folder's git remote `origin`."""
    remote = os.environ.get("MOE_REPOSITORY")
    if remote is None:
        try:
            command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
            remote = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except FileNotFoundError:  # there is no git
            return None
    return page_on_github(remote)


def pages_address(repository: str | None) -> str | None:
    """Where GitHub publishes the pages of a repository that it has at this address."""
    if not repository:
        return None
    owner, name = repository.rsplit("/", 2)[-2:]
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def add_buttons(app: Sphinx, config: Any) -> None:
    """Tell the theme where the course lies, if that is known; without it, no page has such a button."""
    address = repository(Path(app.srcdir))
    if address:
        config.html_theme_options |= {
            "repository_url": address,
            "repository_branch": BRANCH,
            "path_to_docs": "notebooks",
            "use_issues_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }


def mend_the_buttons(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The theme's button says "Open an issue", which not every reader understands; and on Binder a lesson is opened in
    the learner's folder, which ``postBuild`` makes there."""
    for button in context.get("header_buttons", []):
        if button.get("label") == "source-issues-button":
            button["tooltip"] = "Report an error"
        for launch in button.get("buttons", []):
            if "mybinder.org" in launch.get("url", ""):
                launch["url"] = launch["url"].replace("lab/tree/notebooks/", "lab/tree/my-course/")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", add_buttons)
    app.connect("html-page-context", mend_the_buttons, priority=900)  # after the theme's own
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
