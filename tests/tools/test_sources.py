"""The sources: each paper that a lesson cites stands in sources.bib, and no other; and how to cite the course."""

import re
import tomllib

import pytest
import yaml
from pybtex.database import Entry, Person

from moe_tutorial.course.lesson import Lesson, lesson_files
from moe_tutorial.tools.site.content.sources import address, authors, papers

# What lessons link to in their sources, and is no paper.
OTHER = re.compile(
    r"https://(docs\.python\.org|huggingface\.co|inventivehq\.com|pypi\.org|www\.latent\.space)/.+"
    r"|https://github\.com/[^/]+/[^/]+(/(issues|pull)/\d+)?"
)


def test_every_paper_that_lessons_cite_is_there_and_no_other(root):
    notebooks = root / "notebooks"
    links = set().union(*(Lesson.read(path).links for path in lesson_files()))
    listed = [address(entry) for entry in papers(notebooks)]
    assert sorted(listed) == sorted(link for link in links if not OTHER.fullmatch(link))
    assert len(listed) > 20


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Kingma, Diederik P.", "Ba, Jimmy"], "Kingma and Ba"),
        (["A, B", "C, D", "E, F"], "A, C and E"),
        (["Yang, An", "others"], "Yang and others"),
        (["{DeepSeek-AI}"], "DeepSeek-AI"),
    ],
)
def test_authors_are_named_as_a_reader_writes_them(names, said):
    assert authors(Entry("misc", persons={"author": [Person(name) for name in names]})) == said


def test_the_course_is_cited_alike_everywhere(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    page = (root / "notebooks/sources.md").read_text(encoding="utf-8")
    title = yaml.safe_load((root / "book.yml").read_text(encoding="utf-8"))["title"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert set(re.findall(r"[Vv]ersion (\d+\.\d+\.\d+)", page)) == {project["version"]}
    assert citation["title"].startswith(title)
    assert title in page
