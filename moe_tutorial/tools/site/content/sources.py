"""The page of sources: every paper in ``sources.bib`` beside the lessons, and the lessons that cite it."""

import re
from pathlib import Path

from docutils import nodes
from pybtex.database import Entry, parse_file
from sphinx.util.docutils import SphinxDirective

from moe_tutorial.tools.notebooks.tables import lessons
from moe_tutorial.tools.site.content.cells import Fold


def address(entry: Entry) -> str:
    """A paper's address in the form that lessons link to: arXiv, DOI, or another URL."""
    fields = entry.fields
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    return f"https://doi.org/{fields['doi']}" if "doi" in fields else fields["url"]


def papers(notebooks: Path) -> list[Entry]:
    """The entries of ``sources.bib``, by first author and year."""
    entries = parse_file(str(notebooks / "sources.bib"), "bibtex").entries.values()
    return sorted(entries, key=lambda entry: (authors(entry).lower(), entry.fields["year"]))


def authors(entry: Entry) -> str:
    """The authors' last names, such as "A, B and C", or "A and others"."""
    names = [plain(" ".join([*person.prelast_names, *person.last_names])) for person in entry.persons["author"]]
    if names[-1] == "others":
        return f"{', '.join(names[:-1])} and others"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def plain(text: str) -> str:
    """A BibTeX field as plain text."""
    return re.sub("[{}]", "", text).replace("--", "–")


def where(entry: Entry) -> str:
    """The journal, conference or institution, with volume and pages; empty if the entry names none."""
    fields = entry.fields
    name = next((fields[key] for key in ("journal", "booktitle", "institution", "howpublished") if key in fields), "")
    number = fields.get("volume", "") + (f"({fields['number']})" if "volume" in fields else "")
    pages = f", pages {fields['pages']}" if "pages" in fields else ""
    return plain(f" {name} {number}".rstrip() + f"{pages}.") if name else ""


class Sources(SphinxDirective):
    """``{sources}``: the list of papers. The directive's content is for readers in JupyterLab."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """An item for each paper: authors, year, title, journal, the lessons that cite it, and its BibTeX."""
        notebooks = Path(self.env.srcdir)
        taught = lessons(notebooks.parent)
        items = []
        for entry in papers(notebooks):
            citing = [each for each in taught if address(entry) in each.lesson.links]
            line = nodes.paragraph("", f"{authors(entry)} ({entry.fields['year']}). ")
            line += nodes.reference("", plain(entry.fields["title"]), refuri=address(entry), internal=False)
            line += nodes.Text(f".{where(entry)} In lesson{'s' * (len(citing) > 1)} ")
            for lesson in citing:
                line += nodes.reference("", lesson.lesson.name[:2], refuri=f"{lesson.lesson.name}.html", internal=True)
                line += nodes.Text("." if lesson is citing[-1] else ", ")
            code = entry.to_string("bibtex").strip()
            fold = Fold("", nodes.literal_block(code, code, language="bibtex"), label="BibTeX")
            items.append(nodes.list_item("", line, fold, ids=[entry.key]))
        return [nodes.bullet_list("", *items, classes=["moe-sources"])]
