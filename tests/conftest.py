"""Fixtures and hooks of all tests: what the machine must have, and the order in which workers take the tests."""

import os
import re
import shutil
from datetime import date
from pathlib import Path

import pytest
from headless import browser_path
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[1]
IN_CI = os.environ.get("CI", "").lower() in {"true", "1"}
PATIENCE = 90_000  # milliseconds to wait for an action in a page, which is slow only on a busy machine

# For planted mistakes: a test only has to fail, so its smallest failing example is not searched.
settings.register_profile("first failure", phases=[Phase.explicit, Phase.generate])

# Tests that take minutes, the longest first, so that no worker starts one when the others have finished. The site is
# built from the outputs of all lessons: one worker builds it for the claims page when they are done, while the others
# have tests that do without it. The other tests in a browser come last.
PLANTED = "tests/planted/"
EARLY = (
    "notebooks/",
    "tests/browser/test_lab",
    "tests/course/test_my_moe.py",
    "tests/tools/test_further_seeds.py",
    PLANTED,
    "tests/browser/test_claims_page.py",
    "tests/study/",
)
ONE_BY_ONE = ("tests/tools/test_further_seeds.py", PLANTED)  # files whose tests need not stay in one worker


def urgency(test: str) -> tuple[int, int]:
    """The place of a test's group in the queue: by EARLY, and a later lesson before an earlier one."""
    late = len(EARLY) + test.startswith("tests/browser/")
    rank = next((i for i, start in enumerate(EARLY) if test.startswith(start)), late)
    lesson = re.search(r"(?:notebooks/|seeds\.py.*\[)(\d\d)_", test)
    return rank, -int(lesson[1]) if lesson else 0


def pytest_configure() -> None:
    """Set the seed of the nightly tests from the date, once for all workers."""
    os.environ.setdefault("MOE_NIGHT", f"{date.today():%Y%m%d}")


def pytest_report_header() -> str:
    """Print this seed, so that a failure can be repeated."""
    return f"further seeds (nightly): MOE_SEED={os.environ['MOE_NIGHT']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests by urgency if workers share them; the order within a file stays."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: urgency(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """``--dist loadscope`` in that order. A file stays in one worker, except those in ONE_BY_ONE."""
    from xdist.scheduler import LoadScopeScheduling

    class LongestFirst(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith(ONE_BY_ONE) else super()._split_scope(nodeid)

    if config.getoption("dist") != "loadscope":
        return None
    config.option.loadscopereorder = False  # or the groups with most tests go first, however short they are
    return LongestFirst(config, log)


def lacking(what: str, how: str) -> None:
    """Skip the test with a message on a reader's machine; fail in CI, where no test may be skipped."""
    line = f"{what} is missing here: {how}"
    if IN_CI:
        pytest.fail(line, pytrace=False)
    pytest.skip(line)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, which runs the playground's engine without a page."""
    path = shutil.which("node")
    if not path:
        lacking("Node.js", "install version 20 or newer; the playground's engine is tested with it")
    return path


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium: the machine's own, or else the one that Playwright installs."""
    from playwright.sync_api import Error, expect, sync_playwright

    install = "install it, or run `python -m playwright install --with-deps chromium`"
    try:
        playwright = sync_playwright().start()
    except Exception:  # without libatomic, its Node.js fails with no other message than "closed"
        lacking("Chromium, or a library that Playwright needs,", install)
    try:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
    except Error:
        playwright.stop()
        lacking("Chromium", install)
    with_pages = browser.new_context
    expect.set_options(timeout=PATIENCE)

    def patient(**options):
        context = with_pages(**options)
        context.set_default_timeout(PATIENCE)
        return context

    browser.new_context, browser.new_page = patient, lambda **options: patient(**options).new_page()
    yield browser
    browser.close()
    playwright.stop()


@pytest.fixture(scope="session")
def site(root: Path) -> Path:
    """The built website; an up-to-date build is reused."""
    from moe_tutorial.tools.book import BookError, build

    if not shutil.which("npm"):
        lacking("npm", "install Node.js 20 or newer; the site is built with it")
    try:
        return build(root)
    except BookError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def axe(root: Path) -> str:
    """The code of axe, which checks the accessibility of a page."""
    from moe_tutorial.tools.book import BookError, fetch_npm

    try:
        modules = fetch_npm(root / "moe_tutorial/tools/web", root / "_build")
    except BookError as error:
        lacking("axe", str(error))
    return (modules / "axe-core/axe.min.js").read_text(encoding="utf-8")
