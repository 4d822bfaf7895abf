"""A learner's folder in JupyterLab: the front page is a page, a double-click opens a lesson, and what is open stays."""

import nbformat
import pytest
from in_lab import close

from moe_tutorial.tools.workspace.copies import MARK, read_course
from moe_tutorial.tools.workspace.opened import opened
from moe_tutorial.tools.workspace.update import make_or_update


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A learner's folder."""
    folder = tmp_path_factory.mktemp("workspace") / "my-course"
    make_or_update(folder, read_course())
    return folder


def test_the_front_page_leads_to_the_first_lesson(page, lab):
    page.goto(f"{lab}/lab/tree/START.md?reset")
    start = page.locator(".jp-MarkdownViewer")
    start.get_by_role("heading", name="Mixture of experts, measured").wait_for()
    assert start.locator("tbody tr").count() >= len(read_course()) - 1
    start.get_by_role("link", name="00 Start here").first.click()
    page.locator(".jp-NotebookPanel h1", has_text="Start here").wait_for()


def test_a_double_click_opens_a_lesson_and_an_open_lesson_is_not_replaced(page, lab, workspace, monkeypatch):
    page.goto(f"{lab}/lab/tree/START.md?reset")
    files = page.locator(".jp-DirListing-item")
    files.filter(has_text="02_experts").dblclick()
    page.locator(".jp-NotebookPanel h1", has_text="Experts").wait_for()
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()  # the kernel has answered

    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(workspace / ".jupyter/RUNTIME"))
    assert opened(workspace)
    lesson = nbformat.read(workspace / "02_experts.ipynb", as_version=4)
    lesson.metadata[MARK].version = "an older one"
    nbformat.write(lesson, workspace / "02_experts.ipynb")
    assert "02_experts.ipynb is open in JupyterLab" in make_or_update(workspace, read_course()).amiss[0]
    close(page)
    page.wait_for_timeout(2000)
    assert make_or_update(workspace, read_course()).done == ["✓ 02_experts is the course's present version"]
