"""Link each term from its first use in a lesson to the glossary, and let the search find all of its names.

The source is ``glossary.md`` beside the lessons: each term with its meaning, its other names, and its home lesson.
"""

import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PAGE = "glossary"
ENTRY = re.compile(r"^\*\*(?P<name>[^*\n]+)\*\*\n: (?P<text>.+?)(?=\n\n|\n?\Z)", re.MULTILINE | re.DOTALL)
PARTS = re.compile(
    r"(?P<meaning>.+?)(?: Also called (?P<aliases>[^.]+)\.)? Lesson \[\d\d\]\((?P<lesson>\w+)\.ipynb\)\."
)
# These terms are everyday words, too, and are linked only where a lesson sets them in bold or italics.
EVERYDAY = {"active", "bias", "claim", "control", "groups", "importance", "share", "total"}


class Term(NamedTuple):
    """An entry of the glossary."""

    name: str
    meaning: str
    aliases: list[str]
    lesson: str

    @property
    def anchor(self) -> str:
        """Its anchor in the glossary."""
        return nodes.make_id(f"term-{self.name}")

    @property
    def pattern(self) -> str:
        """A regular expression that matches the term in the singular and in the plural."""
        return r"s?\s+".join(re.escape(word) for word in self.name.split()) + "(?:e?s)?"


def terms(glossary: Path) -> list[Term]:
    """The entries of the glossary.

    Raises ValueError if an entry does not end in its lesson.
    """
    found = []
    for entry in ENTRY.finditer(glossary.read_text(encoding="utf-8")):
        parts = PARTS.fullmatch(" ".join(entry["text"].split()))
        if not parts:
            how = "Lesson [03](03_router.ipynb)."
            raise ValueError(f"{glossary.name}: {entry['name']!r} must end in its lesson, as in: {how}")
        aliases = re.findall(r"\*([^*]+)\*", parts["aliases"] or "")
        found.append(Term(entry["name"], parts["meaning"], aliases, parts["lesson"]))
    return found


def prose(doctree: nodes.document) -> list[nodes.Text]:
    """The text nodes of a page's paragraphs after the first, without those in tables, links, formulas and code."""
    texts = []
    for paragraph in list(doctree.findall(nodes.paragraph))[1:]:
        if isinstance(paragraph.parent, nodes.entry):
            continue
        parts = [
            paragraph,
            *(child for child in paragraph.children if isinstance(child, nodes.strong | nodes.emphasis)),
        ]
        for part in parts:
            _join_lines(part)
        texts += [text for text in paragraph.findall(nodes.Text) if text.parent in parts]
    return texts


def _join_lines(part: nodes.Element) -> None:
    """Join adjacent text nodes: MyST makes one for each line, and a term may span two lines."""
    joined: list[nodes.Node] = []
    for child in part.children:
        if isinstance(child, nodes.Text) and joined and isinstance(joined[-1], nodes.Text):
            joined[-1] = nodes.Text(joined[-1] + child)
        else:
            joined.append(child)
    part[:] = joined


def link(app: Sphinx, doctree: nodes.document) -> None:
    """In a lesson, link each term's first use; in the glossary, give each term its anchors and index entries."""
    page = app.env.docname
    known = terms(Path(app.srcdir) / f"{PAGE}.md")
    if page == PAGE:
        places = {term.name: term for term in known}
        for entry in list(doctree.findall(nodes.definition_list_item)):
            word, meaning = entry.children
            term = places[word.astext()]
            word["ids"].append(term.anchor)
            meaning["ids"].append(f"{term.anchor}-means")
            meaning.insert(0, found_by(term, meaning["ids"][-1]))
    elif page[0].isdigit():
        words = sorted(known, key=lambda term: -len(term.name))  # "expert choice" before "expert"
        pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(f'({t.pattern})' for t in words)})(?![\w-])", re.IGNORECASE)
        unused = {term.name for term in words}
        for text in prose(doctree):
            _link_in(text, words, pattern, unused, page)


def found_by(term: Term, place: str) -> addnodes.index:
    """Index entries with which a search for any of the term's names or plurals finds ``place``.

    An entry is found by a part of it, so the plural serves for both.
    """
    return addnodes.index(entries=[("single", f"{name}s", place, "main", None) for name in (term.name, *term.aliases)])


def _link_in(text: nodes.Text, words: list[Term], pattern: re.Pattern, unused: set[str], page: str) -> None:
    parent, whole, end = text.parent, str(text), 0
    stressed = not isinstance(parent, nodes.paragraph)
    pieces: list[nodes.Node] = []
    for found in pattern.finditer(whole):
        term = words[found.lastindex - 1]
        if term.name not in unused or (term.name in EVERYDAY and not stressed):
            continue
        unused.remove(term.name)
        pieces.append(nodes.Text(whole[end : found.start()]))
        address = f"{PAGE}.html#{term.anchor}"
        how = {"refuri": address, "reftitle": term.meaning, "internal": True, "classes": ["moe-term"]}
        pieces.append(nodes.reference("", found[0], **how))
        end = found.end()
        if term.lesson == page:
            paragraph = parent.parent if stressed else parent
            if not paragraph["ids"]:  # a second id would go to an empty element, with an empty excerpt
                paragraph["ids"].append(term.anchor)
            pieces.append(found_by(term, paragraph["ids"][0]))
    if pieces:
        parent.replace(text, [*pieces, nodes.Text(whole[end:])])
