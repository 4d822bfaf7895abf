"""The sources: each paper that a lesson cites stands in sources.bib, and no other; and how to cite the course."""

import re
import tomllib

import pytest
import yaml
from pybtex.database import Entry, Person

from moe_tutorial.course.lesson import Lesson, lesson_files
from moe_tutorial.tools.site.content.sources import address, authors, papers, where

# What lessons link to in their sources, and is no paper.
OTHER = {
    "https://docs.python.org/3/license.html",
    "https://github.com/Dao-AILab/sonic-moe/issues/63",
    "https://github.com/FlashML-org/FreeToken/issues/174",
    "https://github.com/Helldez/BigMoeOnEdge/issues/33",
    "https://github.com/JustVugg/colibri/pull/223",
    "https://github.com/huggingface/transformers",
    "https://github.com/jundot/omlx/issues/2077",
    "https://github.com/kekzl/imp/pull/1359",
    "https://github.com/ml-explore/mlx-lm/issues/1485",
    "https://github.com/pbelcak/UltraFastBERT/issues/1",
    "https://github.com/pbelcak/UltraFastBERT/issues/20",
    "https://github.com/pbelcak/fastfeedforward/issues/8",
    "https://github.com/pytorch/torchtitan/pull/4577",
    "https://huggingface.co/moonshotai/Kimi-K3/blob/main/config.json",
    "https://inventivehq.com/blog/moe-on-cpu-benchmark",
    "https://pypi.org/project/fastfeedforward/",
    "https://www.latent.space/p/ainews-kimi-k3-28t-a50b-the-largest",
}


def test_every_paper_that_lessons_cite_is_there_and_no_other(root):
    notebooks = root / "notebooks"
    links = set().union(*(Lesson.read(path).links for path in lesson_files()))
    assert links >= OTHER
    listed = [address(entry) for entry in papers(notebooks)]
    assert sorted(listed) == sorted(links - OTHER)
    assert len(listed) > 20


def test_each_entry_says_who_what_and_when(root):
    for entry in papers(root / "notebooks"):
        assert entry.persons["author"], entry.key
        assert entry.fields["title"], entry.key
        assert re.fullmatch(r"(19|20)\d\d", entry.fields["year"]), entry.key


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


def test_a_journal_is_named_with_its_pages():
    fields = {"journal": "Computer", "volume": "11", "number": "4", "pages": "34--41"}
    assert where(Entry("article", fields)) == " Computer 11(4), pages 34–41."
    assert where(Entry("misc", {"eprint": "1701.06538"})) == ""


def test_the_course_is_cited_alike_everywhere(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    page = (root / "notebooks/sources.md").read_text(encoding="utf-8")
    title = yaml.safe_load((root / "book.yml").read_text(encoding="utf-8"))["title"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert set(re.findall(r"[Vv]ersion (\d+\.\d+\.\d+)", page)) == {project["version"]}
    assert citation["title"].startswith(title)
    assert title in page
