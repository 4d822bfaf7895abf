"""What every page needs and Sphinx does not give it: a Content-Security-Policy, and no more scripts than it uses.

Scripts come from the site alone, or stand in the page and are known by their hash.
"""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

INLINE = re.compile(r"<script(?P<attributes>[^>]*)>(?P<code>.*?)</script>", re.DOTALL)
NO_CODE = re.compile(r'\bsrc=|type="(?!text/javascript|module)[^"]*"')  # another file's code, or data
# What keeps a screen reader's users out of the theme's frame, and what mends it.
MENDED = {
    '<div id="pst-primary-sidebar"': '<div id="pst-primary-sidebar" role="complementary" aria-label="The course"',
    ' title="Search" aria-label="Search" ': ' title="Search" ',  # the button says more than this name
    '<summary aria-label="Toggle hidden content">': "<summary>",
}
ICONS = re.compile(r"<script[^>]*/fontawesome\.js[^>]*></script>\n?")  # the few that are used stand in site.css


def trim(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Take out Thebe, which would run code on another host's server."""
    for kind in ("script_files", "css_files"):
        context[kind][:] = [file for file in context[kind] if "thebe" not in told(file)]


def told(file: Any) -> str:
    """A file's address, or the code that stands in its place."""
    return f"{file} {getattr(file, 'attributes', {}).get('body', '')}".lower()


def policy(html: str) -> str:
    """What this page may load and run."""
    hashes = set()
    for found in INLINE.finditer(html):
        if not NO_CODE.search(found["attributes"]) and found["code"]:
            digest = hashlib.sha256(found["code"].encode()).digest()
            hashes.add(f"'sha256-{base64.b64encode(digest).decode()}'")
    scripts = " ".join(["'self'", *sorted(hashes)])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'"
    )


def secure(app: Sphinx, exception: Exception | None) -> None:
    """Write the policy into every page, before anything that it rules."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).glob("*.html"):
        html = ICONS.sub("", page.read_text(encoding="utf-8"))
        for given, mended in MENDED.items():
            html = html.replace(given, mended)
        start, charset, rest = re.split(r"(<meta charset=[^>]*>)", html, maxsplit=1)
        meta = f'\n<meta http-equiv="Content-Security-Policy" content="{policy(html)}" />'
        page.write_text("".join((start, charset, meta, rest)), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register it."""
    app.connect("html-page-context", trim, priority=950)  # after Jupyter Book's own
    app.connect("build-finished", secure, priority=950)  # when the pages stand as they are sent
