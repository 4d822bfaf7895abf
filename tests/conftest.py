"""What several test folders share: what this machine must have, and when its lack is a failure."""

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
PATIENCE = 90_000  # milliseconds for what a page has to do: it comes at once, but on a busy machine

# For planted mistakes: that a test fails is all that is asked, and not what its smallest failing case is.
settings.register_profile("first failure", phases=[Phase.explicit, Phase.generate])

# What runs for minutes, the longest first, so that no worker begins it when the others have nothing left to do. The
# tests of the site come when the lessons have run: it is built from what they showed.
PLANTED = "tests/planted/"
LONG = (
    "tests/browser/test_live_panel.py",  # it waits more than it computes, so the lessons run beside it
    "notebooks/",
    "tests/browser/test_lab",
    "tests/tools/test_further_seeds.py",
    PLANTED,
    "tests/study/test_parallel.py",
    "tests/browser/",
)
ONE_BY_ONE = ("tests/tools/test_further_seeds.py", PLANTED)  # files whose tests need not stay in one worker


def urgency(test: str) -> tuple[int, int]:
    """The place of a test's group in the queue: by LONG, and a later lesson before an earlier one."""
    rank = next((i for i, start in enumerate(LONG) if test.startswith(start)), len(LONG))
    lesson = re.search(r"(?:notebooks/|seeds\.py.*\[)(\d\d)_", test)
    return rank, -int(lesson[1]) if lesson else 0


def pytest_configure() -> None:
    """The date draws the seeds that nobody has looked at: once, for all workers."""
    os.environ.setdefault("MOE_NIGHT", f"{date.today():%Y%m%d}")


def pytest_report_header() -> str:
    """So that they can be had again."""
    return f"further seeds (nightly): MOE_SEED={os.environ['MOE_NIGHT']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the order of their urgency where workers share the tests; each file keeps its own order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: urgency(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """`--dist loadscope` in that order. A file stays in one worker, but for ONE_BY_ONE."""
    from xdist.scheduler import LoadScopeScheduling

    class LongestFirst(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith(ONE_BY_ONE) else super()._split_scope(nodeid)

    if config.getoption("dist") != "loadscope":
        return None
    config.option.loadscopereorder = False  # or the groups with most tests go first, however short they are
    return LongestFirst(config, log)


def lacking(what: str, how: str) -> None:
    """Skip with a clear line on a reader's machine; fail in CI, where nothing may go untested."""
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
    except Exception:  # on a minimal system its own Node.js finds no libatomic, and it says no more than "closed"
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
    """The built website; a build that is up to date is used as it is."""
    from moe_tutorial.tools.book import BookError, build

    if not shutil.which("npm"):
        lacking("npm", "install Node.js 20 or newer; the site is built with it")
    try:
        return build(root)
    except BookError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def axe(root: Path) -> str:
    """The code of axe, which finds what keeps people out of a page."""
    from moe_tutorial.tools.book import BookError, fetch_npm

    try:
        modules = fetch_npm(root / "moe_tutorial/tools/web", root / "_build")
    except BookError as error:
        lacking("axe", str(error))
    return (modules / "axe-core/axe.min.js").read_text(encoding="utf-8")
