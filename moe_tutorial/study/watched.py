"""Does somebody watch? A test, a script and the site's build run the same lessons with nobody there."""

import os
import sys


def interactive() -> bool:
    """Whether a person runs this notebook in JupyterLab, so that a widget has a kernel and a picture a reader."""
    return "JPY_SESSION_NAME" in os.environ and not builds_page()


def builds_page() -> bool:
    """Whether this run is stored as a page, which has no kernel later (the site's build sets ``MOE_SITE=1``)."""
    return os.environ.get("MOE_SITE") == "1"


def watched() -> bool:
    """Whether somebody would see a progress bar now, in JupyterLab or a terminal. Where nobody does it is litter."""
    return interactive() or sys.stderr.isatty()


def say_compiled(seconds: float) -> None:
    """Tell a person who waits for a kernel's first call, of a mixture or of a tree, that it was compiled."""
    if watched():
        print(f"A part of a layer was compiled ({seconds:.0f} s) and is kept for the next time.", file=sys.stderr)
