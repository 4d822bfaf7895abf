"""A headless Chromium for the tests that drive real pages."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def chromium():
    """The browser. Without one the tests are skipped, except on CI, where that is a failure."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    with api.sync_playwright() as playwright:
        path = next(filter(None, found), None) or playwright.chromium.executable_path
        if not os.path.exists(path):
            reason = "no Chromium: install chromium or google-chrome, or run `python -m playwright install chromium`"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        # without a sandbox, because containers run as root; only this repository's own pages are opened
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
