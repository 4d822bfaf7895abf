"""The glossary's terms: each stands in the lesson that is its home, and a page links the first use of each."""

import re
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from moe_tutorial.course.lesson import Lesson, lesson_files
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


def test_each_term_stands_in_its_lesson_once_in_order(root):
    lessons = [Lesson.read(path) for path in lesson_files()]
    words = {each.name: "\n".join(cell.source for cell in each.cells if cell.kind == "markdown") for each in lessons}
    found = terms(root / "notebooks/glossary.md")
    names = [term.name for term in found]
    assert len(names) > 40
    assert names == sorted(set(names), key=str.lower)
    for term in found:
        everyday = term.name in EVERYDAY  # and so has to be stressed
        pattern = rf"\*{term.pattern}\*" if everyday else rf"(?<![\w-]){term.pattern}(?![\w-])"
        assert re.search(pattern, words[term.lesson], re.IGNORECASE), term.name
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
    """Links the terms of a page, and returns its links as (word, address, meaning)."""
    (tmp_path / "glossary.md").write_text(GLOSSARY)

    def linked(text):
        doctree = publish_doctree(f"Experts\n=======\n\nExperts open the page.\n\n{text}\n")
        link(SimpleNamespace(env=SimpleNamespace(docname="07_balance"), srcdir=tmp_path), doctree)
        found = [each for each in doctree.findall(nodes.reference) if "moe-term" in each["classes"]]
        return [(each.astext(), each["refuri"].split("#")[1], each["reftitle"]) for each in found]

    return linked


def test_the_first_use_in_prose_is_linked(linked):
    one = ("experts", "term-expert", "One of the small networks.")
    two = ("Expert\nchoice", "term-expert-choice", "The experts pick.")
    assert linked("Four experts. An expert.\n\nExpert\nchoice, expert choice.") == [one, two]
    assert linked("- In a list, *experts*.\n\nExperts.") == [one]
    assert linked("``expert``, `expert <a.html>`_, an expert-like thing, and experts.") == [one]
    assert linked("====== ==\nexpert 1\n====== ==\n") == []
    assert linked("::\n\n    expert\n") == []


def test_a_term_on_two_lines_is_one_though_each_line_is_a_text(tmp_path):
    (tmp_path / "glossary.md").write_text(GLOSSARY)
    doctree = publish_doctree("Opening.\n\nHere.\n")
    doctree[1][:] = [nodes.Text("An expert"), nodes.Text("\n"), nodes.Text("choice.")]
    link(SimpleNamespace(env=SimpleNamespace(docname="07_balance"), srcdir=tmp_path), doctree)
    assert [each.astext() for each in doctree.findall(nodes.reference)] == ["expert\nchoice"]


def test_an_everyday_word_is_a_term_where_it_is_stressed(linked):
    assert linked("They share it.\n\nThe **share** of each.") == [("share", "term-share", "A part.")]
