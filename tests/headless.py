"""The browser of the tests and benchmarks."""

import shutil

# The one without a window first: a full Chromium draws its own toolbar anew for every page, and that takes time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browser_path() -> str | None:
    """Where this machine's Chromium is; None leaves it to Playwright, which may have installed one of its own."""
    return next(filter(None, map(shutil.which, NAMES)), None)
