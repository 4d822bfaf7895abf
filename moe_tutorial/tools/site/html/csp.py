"""Give every page a Content-Security-Policy, remove scripts that it does not use, and mend its accessibility.

The policy allows scripts from the site itself, and inline scripts by their hash.
"""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

INLINE = re.compile(r"<script(?P<attributes>[^>]*)>(?P<code>.*?)</script>", re.DOTALL)
NO_CODE = re.compile(r'\bsrc=|type="(?!text/javascript|module)[^"]*"')  # an external script, or data
# Accessibility errors in the theme's HTML -> their corrections.
MENDED = {
    '<div id="pst-primary-sidebar"': '<div id="pst-primary-sidebar" role="complementary" aria-label="The course"',
    ' title="Search" aria-label="Search" ': ' title="Search" ',  # the button's text says more
    '<summary aria-label="Toggle hidden content">': "<summary>",
}
ICONS = re.compile(r"<script[^>]*/fontawesome\.js[^>]*></script>\n?")  # site.css has the few icons that are used


def trim(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Remove Thebe, which would run code on another host."""
    for kind in ("script_files", "css_files"):
        context[kind][:] = [file for file in context[kind] if "thebe" not in told(file)]


def told(file: Any) -> str:
    """A file's address and its inline code, in lower case."""
    return f"{file} {getattr(file, 'attributes', {}).get('body', '')}".lower()


def policy(html: str) -> str:
    """The Content-Security-Policy of this page, with the hashes of its inline scripts."""
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
    """Correct every page, and write its policy ahead of everything that the policy governs."""
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
    """Register this part of the extension with Sphinx."""
    app.connect("html-page-context", trim, priority=950)  # after Jupyter Book's own
    app.connect("build-finished", secure, priority=950)  # after all other changes to the pages
