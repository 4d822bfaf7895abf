"""The lessons run before the site is built, several at once, and Jupyter Book finds their outputs."""

import json

import nbformat
import pytest
from jupyter_cache import get_cache

from moe_tutorial.tools.book import BookError, execute_lessons, fill_cache
from moe_tutorial.tools.notebooks import executed


def write(path, *sources):
    cells = [nbformat.v4.new_code_cell(source, id=str(i)) for i, source in enumerate(sources)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def printed(notebook):
    return ["".join(output.text for output in cell.outputs) for cell in notebook.cells]


def test_a_lesson_runs_once_in_the_sites_environment_and_jupyter_book_finds_its_outputs(tmp_path):
    cache, log = tmp_path / "cache", tmp_path / "log"
    run = f"import os\nprint(os.environ['MOE_SITE'])\n_ = open({str(log)!r}, 'a').write('run\\n')"
    lessons = [write(tmp_path / f"0{n}_small.ipynb", run, f"print({n})") for n in (1, 2)]

    def execute():
        done = execute_lessons(lessons, tmp_path / "kept", "code", executed.environment(tmp_path))
        fill_cache(done, cache)
        found = [get_cache(cache).merge_match_into_notebook(nbformat.read(path, as_version=4)) for path in lessons]
        assert [printed(notebook) for _, notebook in found] == [printed(notebook) for notebook in done]
        return [printed(notebook) for notebook in done], log.read_text().count("run")

    assert execute() == ([["1\n", "1\n"], ["1\n", "2\n"]], 2)
    write(lessons[1], run, "print(3)")
    assert execute() == ([["1\n", "1\n"], ["1\n", "3\n"]], 3)


def test_each_failing_lesson_and_cell_is_named_and_the_others_are_kept(tmp_path):
    good = write(tmp_path / "01_good.ipynb", "print('good')")
    broken = write(tmp_path / "02_broken.ipynb", "x = 1", "raise ValueError('it broke')")
    ended = write(tmp_path / "03_ended.ipynb", "import os\nos._exit(1)")
    with pytest.raises(BookError) as failed:
        execute_lessons([good, broken, ended], tmp_path / "kept", "code", executed.environment(tmp_path))
    assert "02_broken.ipynb, cell 1: " in str(failed.value)
    assert "ValueError: it broke" in str(failed.value)
    assert "03_ended.ipynb, cell 0: Kernel died" in str(failed.value)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["01_good.ipynb"]
    assert printed(executed.find(good, tmp_path / "kept", "code")) == ["good\n"]


def test_the_lock_names_no_host_and_pins_what_the_site_serves(root):
    web = root / "moe_tutorial/tools/web"
    lock = json.loads((web / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
    wanted = json.loads((web / "package.json").read_text())["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())


def test_jupyter_book_runs_no_lesson_again(site):
    records = get_cache(site.parent / ".jupyter_cache").list_cache_records()
    assert [record.uri for record in records if record.uri.endswith(".ipynb")] == []
