"""A page's meta tags for search engines and link previews: a description, a title, and a picture."""

import os
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from moe_tutorial.tools.site.content.front_page import answers
from moe_tutorial.tools.site.content.trained import trained_gpt
from moe_tutorial.tools.site.html.social_card import CARD, SIZE, draw
from moe_tutorial.tools.site.repository import pages_address, repository


def address(app: Sphinx) -> str:
    """The site's address, ending in a slash: MOE_ADDRESS, or else that on GitHub Pages; empty if unknown."""
    given = os.environ.get("MOE_ADDRESS")
    if given is None:
        given = pages_address(repository(Path(app.srcdir)))
    return f"{given.rstrip('/')}/" if given else ""


def description(doctree: nodes.document | None) -> str:
    """The page's first paragraph, without the minutes that a lesson opens with."""
    paragraph = next(iter(doctree.findall(nodes.paragraph)), None) if doctree else None
    words = " ".join(paragraph.astext().split()) if paragraph else ""
    minutes, _, rest = words.partition(" minutes. ")
    return rest if minutes.isdigit() else words


def tags(title: str, site: str, words: str, page: str, root: str) -> str:
    """The meta tags and the canonical link of one page; ``root`` is the site's address, or empty if unknown."""
    lines = [
        ("property", "og:site_name", site),
        ("property", "og:type", "website"),
        ("property", "og:title", title),
        ("property", "og:image", f"{root}_static/{CARD}"),
        ("property", "og:image:width", str(SIZE[0])),
        ("property", "og:image:height", str(SIZE[1])),
        ("property", "og:image:alt", "How a small GPT ends a sentence, and what it writes without one expert"),
        ("name", "twitter:card", "summary_large_image"),
    ]
    if words:
        lines += [("name", "description", words), ("property", "og:description", words)]
    if root:
        lines.append(("property", "og:url", f"{root}{page}.html"))
    html = "".join(f'<meta {kind}="{name}" content="{escape(value)}" />\n' for kind, name, value in lines)
    return html + (f'<link rel="canonical" href="{root}{page}.html" />\n' if root else "")


def add_tags(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add the tags to a page's head. Pages without text of their own, such as the search, get none."""
    if doctree:
        site = app.config.html_title or app.config.project
        title = app.env.titles[page].astext()
        context["title"] = "Home" if title == site else context["title"]  # the site's name follows it
        context["metatags"] = context.get("metatags", "") + tags(title, site, description(doctree), page, address(app))


def draw_card(app: Sphinx, config: Any) -> None:
    """Draw the picture, before Sphinx copies the static files."""
    file = Path(app.srcdir).parent / "_build/assets" / CARD
    gpt, (dare, *_) = trained_gpt(Path(app.srcdir).parent)
    first, *_ = answers(gpt, dare.text)
    draw(dare, [e for e, *_ in first], config.html_title or config.project, file)
