"""The museum: from any seed each bug shows its symptom and its repair does not, and each has its sources beside it."""

import re
import runpy
from datetime import date

import pytest

import moe_tutorial.show
from moe_tutorial.course.lesson import Lesson, lesson_files
from moe_tutorial.tools.site.content.cells import answers

TITLE = re.compile(r"^## (.+)$", re.MULTILINE)
LOOKED_UP = re.compile(r"Looked up (\d{4}-\d\d-\d\d)\.$")
SOURCE = re.compile(r"\]\(https://github\.com/[\w.-]+/[\w.-]+/(?:issues|pull)/\d+\)")


@pytest.fixture(scope="module")
def page() -> Lesson:
    return Lesson.read(lesson_files()[0].with_name("museum.py"))


@pytest.fixture(scope="module")
def exhibits(page) -> dict[str, tuple[str, list[str], str]]:
    """Title -> what stands above the exhibit, its code, and what stands below it."""
    found: dict[str, tuple[str, list[str], str]] = {}
    title, above, code = "", "", []
    for cell in page.cells:
        if cell.kind == "code":
            code.append(cell.source)
        elif re.search(r"^exhibit\(", "\n".join(code), re.MULTILINE):
            found[title] = above, code, cell.source
            code = []
        else:
            titles = TITLE.findall(cell.source)
            title, above, code = titles[-1] if titles else "", cell.source, []
    return found


def anchor(title: str) -> str:
    """A heading's anchor on the site. JupyterLab's own keeps case and punctuation, so the page names this one, too."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_each_exhibit_has_its_links_its_day_and_its_row_in_the_table(page, exhibits):
    assert len(exhibits) >= 15
    rows = re.findall(r"^\| \[(.+?)\]\(#(.+?)\) \| (.+) \|$", page.cells[0].source, re.MULTILINE)
    assert [title for title, _, _ in rows] == list(exhibits)
    assert [place for _, place, _ in rows] == [anchor(title) for title in exhibits]
    assert len({cause for _, _, cause in rows}) == len(rows)
    for title, (above, code, below) in exhibits.items():
        assert f"\n## {title}\n\n" in above, title
        assert "def wrong(" in "\n".join(code), title
        assert SOURCE.search(below), title
        assert "**Mended**" in below, title
        assert date(2026, 1, 1) < date.fromisoformat(LOOKED_UP.search(below.replace("\n", " "))[1]), title


def test_each_heading_has_an_anchor_for_jupyterlab_which_is_that_of_the_site(page):
    text = "\n\n".join(cell.source for cell in page.cells if cell.kind == "markdown")
    named = re.findall(r'^<a data-jupyter-id="(.+?)"></a>\n\n## (.+)$', text, re.MULTILINE)
    assert named == [(anchor(title), title) for title in TITLE.findall(text)]
    assert not answers(page.cells)[-1]  # no exhibit's guess hides the last section


@pytest.mark.parametrize("seed", ["7", pytest.param("4242", marks=pytest.mark.nightly)])
def test_each_bug_shows_its_symptom_and_its_repair_does_not_from_other_seeds(monkeypatch, exhibits, seed):
    shown, show = [], moe_tutorial.show.exhibit
    monkeypatch.setenv("MOE_SEED", seed)
    monkeypatch.setattr(moe_tutorial.show, "exhibit", lambda *given: shown.append(show(*given)))
    runpy.run_path(str(lesson_files()[0].with_name("museum.py")))  # an exhibit raises where that is not so
    assert len(shown) == len(exhibits)
