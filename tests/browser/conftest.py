"""What the tests in a browser share: pages of the site, a page in JupyterLab, and widgets without a kernel."""

import re

import pytest
from in_lab import jupyterlab
from on_page import page_of
from on_site import opening, serving

BLOCKED = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"


@pytest.fixture(scope="session")
def served(site):
    """The site's address on a server, below the path at which it will stand."""
    root = re.search(r'data-content_root="([^"]*)"', (site / "404.html").read_text(encoding="utf-8"))[1]
    with serving(site, root) as address:
        yield address


@pytest.fixture
def open_page(chromium, served, site):
    with opening(chromium, served, site) as open_page:
        yield open_page


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 1400})
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


@pytest.fixture
def show(chromium):
    """Shows a widget and returns its page, which must make no request and raise no error."""
    contexts, requests, errors = [], [], []

    def show(widget, width=1280, height=900, theme="light", **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_content(page_of(widget, theme=theme))
        page.locator(".moe-widget").wait_for()
        page.wait_for_function(
            "!document.querySelector('.moe-title') || document.querySelector('.moe-title').textContent"
        )
        return page

    yield show
    for context in contexts:
        context.close()
    assert [url for url in requests if not url.startswith("data:")] == []
    assert errors == []


@pytest.fixture
def visit(chromium):
    """Shows widgets as a page of a site, in a browser that keeps what it is given; returns the page."""
    contexts, errors = {}, []

    def visit(*widgets, site="course", fragment="", width=760, theme="light", blocked=False, **options):
        context = contexts.setdefault(blocked, chromium.new_context(**options))
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        if blocked:
            page.add_init_script(BLOCKED)
        page.on("pageerror", lambda error: errors.append(str(error)))
        html = page_of(*widgets, theme=theme)
        page.route("**/*", lambda route: route.fulfill(content_type="text/html", body=html))
        page.goto(f"http://site.test/{site}/lesson.html#{fragment}")
        page.locator(".moe-ask, .moe-live").first.wait_for()
        return page

    yield visit
    for context in contexts.values():
        context.close()
    assert errors == []


@pytest.fixture(scope="module")
def lab(workspace):
    """The address of a JupyterLab on the learner's folder of a file of tests."""
    with jupyterlab(workspace) as address:
        yield address
