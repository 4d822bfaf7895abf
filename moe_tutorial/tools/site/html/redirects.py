"""Redirect the addresses that lessons had before they were renumbered to the present ones."""

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from moe_tutorial.course.progress.renumbered import CLAIMS, LESSONS
from moe_tutorial.show.widgets.claim_box import anchor
from moe_tutorial.tools.site.content.claims import measured
from moe_tutorial.tools.site.html.social_meta import address

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>This lesson has moved</title>
<link rel="icon" href="_static/icon.svg" />
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


def places(app: Sphinx, old: str, new: list[str]) -> dict[str, str]:
    """The present addresses of an old page's sections and claims: anchor -> address."""
    claims = {lesson.file: lesson.claims for lesson in measured(Path(app.srcdir).parent)}
    found: dict[str, str] = {}
    for name in new:
        sections = app.env.get_doctree(name).findall(nodes.section)
        anchors = {id: id for section in sections for id in section["ids"]}
        for claim in claims.get(name, []):
            anchors[f"claim-{former(claim.id, old[:2]).replace('.', '-')}"] = anchor(claim)
        for before, now in anchors.items():
            found.setdefault(before, f"{name}.html#{now}")
    return found


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the redirecting pages beside the others."""
    if exception or app.builder.format != "html":
        return
    root = address(app)
    for old, new in LESSONS.items():
        links = ", ".join(f'<a href="{name}.html">{app.env.titles[name].astext()}</a>' for name in new)
        canonical = f'<link rel="canonical" href="{root}{new[0]}.html" />\n' if root else ""
        anchors = json.dumps(places(app, old, new))
        page = PAGE.format(canonical=canonical, new=f"{new[0]}.html", places=anchors, links=links)
        (Path(app.outdir) / f"{old}.html").write_text(page, encoding="utf-8")
