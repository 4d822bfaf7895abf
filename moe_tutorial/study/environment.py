"""Where the code runs: in JupyterLab, in a terminal, or unattended in a test, a script or the site's build."""

import os
import sys


def interactive() -> bool:
    """Whether a person runs this notebook in JupyterLab, so that widgets have a kernel."""
    return "JPY_SESSION_NAME" in os.environ and not builds_page()


def builds_page() -> bool:
    """Whether this run is stored as a page, which has no kernel later (the site's build sets ``MOE_SITE=1``)."""
    return os.environ.get("MOE_SITE") == "1"


def shows_progress() -> bool:
    """Whether a person would see a progress bar, in JupyterLab or a terminal."""
    return interactive() or sys.stderr.isatty()


def say_compiled(seconds: float) -> None:
    """Print that a layer's kernel was compiled, where a progress bar would be shown."""
    if shows_progress():
        print(f"A part of a layer was compiled ({seconds:.0f} s) and is kept for the next time.", file=sys.stderr)
