"""A page that shows widgets with no kernel, for a test or a benchmark."""

import base64
import json

# Wait for 25 animation frames, after which a page has drawn everything, even on a busy machine.
FRAMES = "new Promise((done) => { let n = 25; const next = () => --n ? requestAnimationFrame(next) : done(); next(); })"
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


def faults(page, axe, within="html"):
    """What axe finds there: each rule that is broken, and the first element that breaks it."""
    page.evaluate(axe)
    options = "{ preload: false, rules: { 'target-size': { enabled: true } } }"  # a file may not load its styles anew
    found = page.evaluate(f"axe.run('{within}', {options})")["violations"]
    return [(each["id"], each["nodes"][0]["html"][:160]) for each in found if each["impact"] != "minor"]
