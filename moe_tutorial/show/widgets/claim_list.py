"""The claims of all lessons as one list with a summary, for the site's page and for JupyterLab."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import NamedTuple

from moe_tutorial.show import look
from moe_tutorial.show.web import read
from moe_tutorial.show.widgets.claim_box import anchor, box
from moe_tutorial.study.claims import Claim, read_claims


class Measured(NamedTuple):
    """A lesson's claims. ``file`` is its name, such as ``05_collapse``; ``address`` is the URL of the lesson."""

    file: str
    title: str
    address: str
    claims: list[Claim]


def summary(claims: list[Claim]) -> str:
    """HTML list of counts: claims that hold, seeds, refuted beliefs, and claims that depend on the machine."""
    seeds = [claim.n_seeds for claim in claims if claim.n_seeds > 1 and not claim.timed]
    figures = {
        "claims hold here": f"{sum(claim.holds for claim in claims)} of {len(claims)}",
        f"random seeds behind each of the {len(seeds)} experiments": f"{min(seeds)} to {max(seeds)}" if seeds else "0",
        "refute a popular belief": sum(bool(claim.refutes) for claim in claims),
        "depend on the machine, as times do": sum(claim.timed for claim in claims),
    }
    items = "".join(f"<li><b>{figure}</b> <span>{words}</span></li>" for words, figure in figures.items())
    return f'<ul class="moe-claims-summary">{items}</ul>'


def listed(lessons: Iterable[Measured], *, in_page: bool = False) -> str:
    """HTML of every lesson's claims below its title. With ``in_page``, each claim links to itself and its lesson."""
    parts = []
    for lesson in lessons:
        rows = ""
        for claim in lesson.claims:
            place = f"#{anchor(claim)}"
            link = f'<a href="{escape(lesson.address)}{place}">where it is measured</a>' if in_page else ""
            rows += box(claim, address=place if in_page else "", link=link)
        title = f'<a href="{escape(lesson.address)}">{escape(lesson.title)}</a>'
        parts.append(f'<section class="moe-claims" id="lesson-{lesson.file[:2]}"><h2>{title}</h2>{rows}</section>')
    return "".join(parts)


def stored(folder: Path) -> list[Measured]:
    """Read the claims from the stored outputs of the lessons in a folder, each lesson's in the order of their ids.

    Raises:
        ValueError: no lesson in the folder stores a claim.
    """
    found = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        if claims := read_claims(output for cell in cells for output in cell.get("outputs", [])):
            title = "".join(cells[0]["source"]).partition("\n")[0].removeprefix("# ")
            claims.sort(key=lambda claim: [int(part) for part in claim.id.split(".")])
            found.append(Measured(path.stem, title, path.name, claims))
    if not found:
        raise ValueError(f"no lesson in {folder.resolve()} stores a claim; run this in the folder of the lessons")
    return found


def show_claims(folder: str = ".") -> None:
    """Display the claims stored in a folder's lessons. Running and saving a lesson updates its claims."""
    from IPython.display import display

    lessons = stored(Path(folder))
    claims = [claim for lesson in lessons for claim in lesson.claims]
    html = f"<style>{look.css()}{read('web/widgets/claim.css')}</style>{summary(claims)}{listed(lessons)}"
    display({"text/plain": "\n".join(map(str, claims)), "text/html": html}, raw=True)
