"""The glossary's terms: each stands in the lesson that is its home, and a page links the first use of each."""

import re
from types import SimpleNamespace

import jupytext
import pytest
from docutils import nodes
from docutils.core import publish_doctree
from sphinx import addnodes

from moe_tutorial.tools.site.content.glossary import EVERYDAY, link, terms

GLOSSARY = """# Glossary

**expert**
: One of the small
  networks. Lesson [02](02_experts.ipynb).

**expert choice**
: The experts pick. Also called *picky experts*, *EC*. Lesson [07](07_balance.ipynb).

**share**
: A part. Lesson [07](07_balance.ipynb).
"""


def words(path):
    return "\n".join(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "markdown")


def test_each_term_stands_in_its_lesson_once_in_order(root):
    found = terms(root / "notebooks/glossary.md")
    names = [term.name for term in found]
    assert len(names) > 40
    assert names == sorted(set(names), key=str.lower)
    for term in found:
        stressed = r"\*" if term.name in EVERYDAY else r"(?<![\w-])"
        pattern = f"{stressed}{term.pattern}" + (r"\*" if term.name in EVERYDAY else r"(?![\w-])")
        assert re.search(pattern, words(root / f"notebooks/{term.lesson}.py"), re.IGNORECASE), term.name
    assert set(names) >= EVERYDAY


def test_an_entry_says_what_where_and_how_else(tmp_path):
    (tmp_path / "glossary.md").write_text(GLOSSARY)
    expert, choice, _ = terms(tmp_path / "glossary.md")
    assert (expert.meaning, expert.aliases, expert.lesson) == ("One of the small networks.", [], "02_experts")
    assert (choice.aliases, choice.anchor) == (["picky experts", "EC"], "term-expert-choice")
    (tmp_path / "glossary.md").write_text("**expert**\n: One of them.\n")
    with pytest.raises(ValueError, match="'expert' must end in its lesson"):
        terms(tmp_path / "glossary.md")


@pytest.fixture
def linked(tmp_path):
    """Links the terms of a page, and returns it with its links as (word, address, meaning)."""
    (tmp_path / "glossary.md").write_text(GLOSSARY)

    def linked(text, page="07_balance"):
        doctree = publish_doctree(f"Experts\n=======\n\nExperts open the page.\n\n{text}\n")
        link(SimpleNamespace(env=SimpleNamespace(docname=page), srcdir=tmp_path), doctree)
        found = [each for each in doctree.findall(nodes.reference) if "moe-term" in each["classes"]]
        return doctree, [(each.astext(), each["refuri"].split("#")[1], each["reftitle"]) for each in found]

    return linked


def test_the_first_use_in_prose_is_linked(linked):
    one = ("experts", "term-expert", "One of the small networks.")
    two = ("Expert\nchoice", "term-expert-choice", "The experts pick.")
    assert linked("Four experts. An expert.\n\nExpert\nchoice, expert choice.")[1] == [one, two]
    assert linked("- In a list, *experts*.\n\nExperts.")[1] == [one]
    assert linked("``expert``, `expert <a.html>`_, an expert-like thing, and experts.")[1] == [one]
    assert linked("====== ==\nexpert 1\n====== ==\n")[1] == []
    assert linked("::\n\n    expert\n")[1] == []


def test_a_term_on_two_lines_is_one_though_each_line_is_a_text(tmp_path):
    (tmp_path / "glossary.md").write_text(GLOSSARY)
    doctree = publish_doctree("Opening.\n\nHere.\n")
    doctree[1][:] = [nodes.Text("An expert"), nodes.Text("\n"), nodes.Text("choice.")]
    link(SimpleNamespace(env=SimpleNamespace(docname="07_balance"), srcdir=tmp_path), doctree)
    assert [each.astext() for each in doctree.findall(nodes.reference)] == ["expert\nchoice"]


def test_an_everyday_word_is_a_term_where_it_is_stressed(linked):
    assert linked("They share it.\n\nThe **share** of each.")[1] == [("share", "term-share", "A part.")]


def test_pages_that_are_no_lessons_link_nothing(linked):
    assert linked("Experts.", page="claims")[1] == []


def test_a_search_for_another_name_leads_to_the_lesson_that_is_its_home(linked):
    doctree, _ = linked("Here is *expert choice*, and an expert.")
    (index,) = doctree.findall(addnodes.index)
    assert [entry[1:4] for entry in index["entries"]] == [
        (name, "term-expert-choice", "main") for name in ("expert choice", "picky experts", "EC")
    ]
    assert "term-expert-choice" in index.parent.parent["ids"] + index.parent["ids"]
    assert not list(linked("Here is expert choice.", page="08_moe_gpt")[0].findall(addnodes.index))


def test_two_terms_at_home_in_a_paragraph_have_one_place(linked):
    """A second id would be that of an empty element, in which a search finds no excerpt."""
    doctree, _ = linked("The **share**, and expert choice.")
    places = {entry[2] for index in doctree.findall(addnodes.index) for entry in index["entries"]}
    assert list(places) == doctree[2]["ids"] == ["term-share"]
