"""Redirect the addresses that lessons had before they were renumbered to the present ones."""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx

from moe_tutorial.course.progress.renumbered import CLAIMS, LESSONS
from moe_tutorial.tools.site.html.social_meta import address

PLACE = re.compile(r'<(?:section|details)\b[^>]*\bid="([^"]+)"')
CLAIM = re.compile(r"claim-(\d\d)-(\d+)")
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>This lesson has moved</title>
<link rel="icon" href="_static/moe/icon.svg" />
{canonical}<script>
const places = {places};
location.replace(places[decodeURIComponent(location.hash.slice(1))] ?? "{new}" + location.hash);
</script>
<noscript><meta http-equiv="refresh" content="0; url={new}" /></noscript>
</head>
<body><h1>This lesson has moved</h1><p>It is now {links}.</p></body>
</html>
"""


def former(claim: str, old: str) -> str:
    """The id that a claim (such as ``12.4``) had when its lesson's number was ``old``."""
    lesson, number = claim.split(".")
    return CLAIMS[lesson][int(number) - 1] if lesson in CLAIMS else f"{old}.{number}"


def places(folder: Path, old: str, new: list[str]) -> dict[str, str]:
    """The present addresses of an old page's sections, folds and claims: anchor -> address."""
    found: dict[str, str] = {}
    for name in new:
        for id in PLACE.findall((folder / f"{name}.html").read_text(encoding="utf-8")):
            claim = CLAIM.fullmatch(id)
            before = f"claim-{former(f'{claim[1]}.{claim[2]}', old[:2]).replace('.', '-')}" if claim else id
            found.setdefault(before, f"{name}.html#{id}")
    return found


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the redirecting pages beside the others."""
    if exception or app.builder.format != "html":
        return
    folder, root = Path(app.outdir), address(app)
    for old, new in LESSONS.items():
        links = ", ".join(f'<a href="{name}.html">{app.env.titles[name].astext()}</a>' for name in new)
        canonical = f'<link rel="canonical" href="{root}{new[0]}.html" />\n' if root else ""
        anchors = json.dumps(places(folder, old, new))
        page = PAGE.format(canonical=canonical, new=f"{new[0]}.html", places=anchors, links=links)
        (folder / f"{old}.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register this part of the extension with Sphinx."""
    app.connect("build-finished", write)  # before their Content-Security-Policy is written
