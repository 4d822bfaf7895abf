"""The site's buttons: where the course lies on GitHub they lead there, and elsewhere there are none."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from moe_tutorial.tools.notebooks.lessons import METADATA
from moe_tutorial.tools.site.repository import LEARNERS, page_on_github, repository

COURSE = "https://github.com/some-one/the.course"


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://github.com/some-one/the.course.git\n", COURSE),
        ("http://GitHub.com/some-one/the.course/", COURSE),
        ("https://user:secret@github.com/some-one/the.course.git", COURSE),
        ("git@github.com:some-one/the.course.git", COURSE),
        ("ssh://git@github.com:22/some-one/the.course.git", COURSE),
        ("https://github.com/some-one/course/tree/main", None),
        ("https://notgithub.com/some-one/course", None),
    ],
)
def test_the_page_of_a_remote(remote, page):
    assert page_on_github(remote) == page


def test_the_repository_is_origins_unless_the_variable_names_another(tmp_path, monkeypatch):
    monkeypatch.delenv("MOE_REPOSITORY", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    assert repository(folder) is None  # not in git
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    origin = ["git", "remote", "add", "origin", "git@github.com:some-one/course.git"]
    subprocess.run(origin, cwd=tmp_path, check=True)
    assert repository(folder) == "https://github.com/some-one/course"
    monkeypatch.setenv("MOE_REPOSITORY", "https://github.com/another/course")
    assert repository(folder) == "https://github.com/another/course"
    monkeypatch.setenv("MOE_REPOSITORY", "")
    assert repository(folder) is None
    monkeypatch.delenv("MOE_REPOSITORY")
    monkeypatch.setenv("PATH", "")
    assert repository(folder) is None  # no git at all


def test_the_workflow_publishes_the_branch_that_colab_opens():
    workflow = (Path(__file__).parents[2] / ".github/workflows/learners.yml").read_text()
    assert f"--initial-branch {LEARNERS}\n" in workflow
    assert workflow.count(f'github.repository }}}}" {LEARNERS}\n') == 1


CONFIGURATION = """
from moe_tutorial.tools.site.repository import add_buttons, change_buttons

extensions = ["myst_nb"]
html_theme, nb_execution_mode = "sphinx_book_theme", "off"


def setup(app):
    app.connect("config-inited", add_buttons)
    app.connect("html-page-context", change_buttons, priority=900)
"""


@pytest.mark.nightly
def test_a_page_has_buttons_and_loads_nothing_for_them(tmp_path, monkeypatch):
    (tmp_path / "conf.py").write_text(CONFIGURATION)
    cells = [nbformat.v4.new_markdown_cell("# A lesson"), nbformat.v4.new_code_cell("1 + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=METADATA), tmp_path / "00_start_here.ipynb")
    monkeypatch.setenv("MOE_REPOSITORY", "https://github.com/some-one/course")
    command = [sys.executable, "-m", "sphinx", "-qW", "-D", "root_doc=00_start_here", str(tmp_path)]
    subprocess.run([*command, str(tmp_path / "html")], check=True)
    page = (tmp_path / "html/00_start_here.html").read_text(encoding="utf-8")
    tags = re.findall(r"<(\w+)\b([^>]*?\b(?:href|src)=\"(https?:[^\"]*)\"[^>]*)>", page)
    links = {url: attributes for tag, attributes, url in tags if tag == "a"}
    assert "https://mybinder.org/v2/gh/some-one/course/main?urlpath=lab/tree/my-course/00_start_here.ipynb" in links
    colab = "https://colab.research.google.com/github/some-one/course/blob/learners/00_start_here.ipynb"
    assert colab in links
    (report,) = (url for url in links if url.startswith("https://github.com/some-one/course/issues/new?"))
    assert 'title="Report an error"' in links[report]
    assert [url for tag, _, url in tags if tag != "a"] == []
