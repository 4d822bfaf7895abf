"""The claims of all lessons as one list, and what they come to in figures: on the site's page, and in JupyterLab."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import NamedTuple

from moe_tutorial.show import look
from moe_tutorial.show.claim_box import anchor, box
from moe_tutorial.show.web import read
from moe_tutorial.study.claims import Claim, read_claims


class Measured(NamedTuple):
    """A lesson's claims. ``file`` is its name, such as ``05_collapse``; ``address``, where it is read."""

    file: str
    title: str
    address: str
    claims: list[Claim]

    @property
    def number(self) -> str:
        """As lessons are numbered."""
        return self.file[:2]


def summary(claims: list[Claim]) -> str:
    """How many hold, from how many seeds, how many refute a belief, how many depend on the machine."""
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
    """Every lesson's claims below its title. ``in_page``: their numbers lead to their own places on this page."""
    parts = []
    for lesson in lessons:
        rows = ""
        for claim in lesson.claims:
            place = f"#{anchor(claim)}"
            link = f'<a href="{escape(lesson.address)}{place}">where it is measured</a>' if in_page else ""
            rows += box(claim, address=place if in_page else "", link=link)
        title = f'<a href="{escape(lesson.address)}">{escape(lesson.title)}</a>'
        parts.append(f'<section class="moe-claims" id="lesson-{lesson.number}"><h2>{title}</h2>{rows}</section>')
    return "".join(parts)


def stored(folder: Path) -> list[Measured]:
    """What the lessons in a folder say in the outputs that their notebooks store.

    Raises:
        ValueError: no notebook of a lesson stores a claim there.
    """
    found = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
        if claims := [claim for text in texts for claim in read_claims("".join(text))]:
            title = "".join(cells[0]["source"]).partition("\n")[0].removeprefix("# ")
            found.append(Measured(path.stem, f"{path.stem[:2]} {title}", path.name, claims))
    if not found:
        raise ValueError(f"no lesson in {folder.resolve()} stores a claim; run this in the folder of the lessons")
    return found


def show_claims(folder: str = ".") -> None:
    """Show the claims that the lessons in a folder store; a lesson that is run anew and saved changes its own."""
    from IPython.display import display

    lessons = stored(Path(folder))
    claims = [claim for lesson in lessons for claim in lesson.claims]
    html = f"<style>{look.css()}{read('web/claim.css')}</style>{summary(claims)}{listed(lessons)}"
    display({"text/plain": "\n".join(claim.line for claim in claims), "text/html": html}, raw=True)
