"""What the tests in JupyterLab share, and how a widget is shown on a page with no kernel and no network."""

import base64
import json

import pytest

SCRIPT = """
const state = JSON.parse(%s, (_, value) => value?.base64 === undefined ? value
  : new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer));
const code = await import("data:text/javascript;base64,%s");
const refuse = () => { throw new Error("a page without a kernel has nobody to ask") };
const model = { get: (key) => state[key], set: refuse, save_changes: refuse, send: refuse, on() {}, off() {} };
window.stop = code.default.render({ model, el: document.querySelectorAll("main > div")[%d] });
"""


def page_of(*widgets, theme="light"):
    """A page of these widgets, as text: their code gets a stub of the model, with the state alone."""
    scripts = ""
    for number, widget in enumerate(widgets):
        state = {key: value for key, value in widget.get_state().items() if not key.startswith("_") and key != "layout"}
        text = json.dumps(state, default=lambda value: {"base64": base64.b64encode(value).decode()})
        code = SCRIPT % (json.dumps(text), base64.b64encode(widget._esm.encode()).decode(), number)
        scripts += f'<script type="module">{code}</script>'
    return (
        f'<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8"><title>Widgets</title>'
        f'<link rel="icon" href="data:,"><style>{widgets[0]._css}</style>'
        f'<body style="margin:0;background:var(--moe-ground)"><main>{"<div></div>" * len(widgets)}</main>{scripts}'
    )


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 1400})
    page = context.new_page()
    page.set_default_timeout(30_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


@pytest.fixture
def show(chromium):
    """Shows a widget and returns its page, which must make no request and raise no error."""
    contexts, requests, errors = [], [], []

    def show(widget, width=1280, theme="light", **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
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
