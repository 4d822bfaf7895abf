"""What is changed in a page after Sphinx has written it."""

import pytest
from bs4 import BeautifulSoup

from moe_tutorial.tools.site.html.postprocess import defer_scripts, remove_unused

OPTIONS = '<script src="_static/documentation_options.js?v=1"></script>'


def edited(html, change):
    page = BeautifulSoup(html, "html.parser")
    change(page)
    return str(page)


def test_scripts_are_deferred_except_those_that_are_async_or_inline_or_that_inline_scripts_need():
    given = f'{OPTIONS}<script src="a.js"></script><script async="" src="b.js"></script><script>let c = 1;</script>'
    assert edited(given, defer_scripts) == given.replace('src="a.js"', 'defer="" src="a.js"')


def test_nothing_is_fetched_ahead_of_the_styles():
    style = '<link href="a.css" rel="stylesheet"/>'
    assert edited(f'<link rel="preload" as="script" href="a.js"/>{style}', remove_unused) == style


@pytest.mark.parametrize(
    ("files", "content"),
    [
        ('<script src="_static/searchtools.js"></script><script src="searchindex.js"></script>', 'id="search-results"'),
        ('<link href="_static/katex/katex.min.css?v=1" rel="stylesheet"/>', 'class="math notranslate"'),
        ('<script src="_static/lazy.js?v=1"></script>', 'class="moe-late"'),
        ('<script src="_static/folds.js"></script>', 'class="moe-veil"'),
    ],
)
def test_a_page_loads_a_file_only_if_it_has_what_the_file_is_for(files, content):
    assert edited(f"{files}<p>Text</p>", remove_unused) == "<p>Text</p>"
    assert edited(f"{files}<div {content}></div>", remove_unused) == f"{files}<div {content}></div>"
