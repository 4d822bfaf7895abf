"""The lessons run before the site is built, several at once, and Jupyter Book finds their outputs."""

import os

import nbformat
import pytest
from jupyter_cache import get_cache

from moe_tutorial.course.book import BookError, execute_lessons

ENVIRONMENT = os.environ | {"MOE_SITE": "1"}


def write(path, *sources):
    cells = [nbformat.v4.new_code_cell(source, id=str(i)) for i, source in enumerate(sources)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def kept(cache, path):
    """What a notebook printed, as Jupyter Book's cache has it."""
    _, notebook = get_cache(cache).merge_match_into_notebook(nbformat.read(path, as_version=4))
    return [output.text for cell in notebook.cells for output in cell.outputs]


def test_a_lesson_runs_once_in_the_sites_environment(tmp_path):
    cache, log = tmp_path / "cache", tmp_path / "log"
    run = f"import os\nprint(os.environ['MOE_SITE'])\n_ = open({str(log)!r}, 'a').write('run\\n')"
    lessons = [write(tmp_path / f"0{n}_small.ipynb", run, f"print({n})") for n in (1, 2)]
    for _ in range(2):
        execute_lessons(tmp_path, cache, ENVIRONMENT)
        assert [kept(cache, lesson) for lesson in lessons] == [["1\n", "1\n"], ["1\n", "2\n"]]
        assert log.read_text() == "run\nrun\n"
    write(lessons[1], run, "print(3)")
    execute_lessons(tmp_path, cache, ENVIRONMENT)
    assert kept(cache, lessons[1]) == ["1\n", "3\n"]
    assert log.read_text() == "run\nrun\nrun\n"


def test_each_failing_lesson_and_cell_is_named_and_the_others_are_kept(tmp_path):
    cache = tmp_path / "cache"
    good = write(tmp_path / "01_good.ipynb", "print('good')")
    write(tmp_path / "02_broken.ipynb", "x = 1", "raise ValueError('it broke')")
    write(tmp_path / "03_ended.ipynb", "import os\nos._exit(1)")
    with pytest.raises(BookError) as failed:
        execute_lessons(tmp_path, cache, ENVIRONMENT)
    assert "02_broken.ipynb, cell 1: " in str(failed.value)
    assert "ValueError: it broke" in str(failed.value)
    assert "03_ended.ipynb, cell 0: Kernel died" in str(failed.value)
    assert kept(cache, good) == ["good\n"]
