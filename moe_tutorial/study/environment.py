"""What the environment tells: the seeds, and whether the code runs in JupyterLab, in a terminal, or unattended."""

import os
import sys

from moe_tutorial.layers.checks import check_count


def seeds(n: int) -> list[int]:
    """``n`` consecutive seeds from 1000 times the environment variable ``MOE_SEED`` on (0 if it is not set).

    Every lesson takes its seeds from here, so one variable moves the whole course to seeds that nobody has looked at.

    Raises:
        TypeError, ValueError: ``MOE_SEED`` is not a whole number from 0 to 10**12, or ``n`` no integer of at least 1.
    """
    text = os.environ.get("MOE_SEED", "0")
    if not text.isdecimal() or int(text) > 10**12:  # a random generator takes no more than 64 bits
        raise ValueError(f"MOE_SEED is {text!r}; allowed is a whole number from 0 to 10**12")
    check_count("n", n)
    base = 1000 * int(text)  # so that two bases share no seed
    return list(range(base, base + n))


def interactive() -> bool:
    """Whether a person runs this notebook in JupyterLab, so that widgets have a kernel."""
    return "JPY_SESSION_NAME" in os.environ and not builds_page()


def builds_page() -> bool:
    """Whether this run is stored as a page, which has no kernel later (the site's build sets ``MOE_SITE=1``)."""
    return os.environ.get("MOE_SITE") == "1"


def shows_progress() -> bool:
    """Whether a person would see a progress bar, in JupyterLab or a terminal."""
    return interactive() or sys.stderr.isatty()
