"""A page waits for no script before it shows itself."""

from moe_tutorial.tools.site.html.deferred import quicken

OPTIONS = '<script src="_static/documentation_options.js?v=1"></script>'


def test_scripts_come_after_the_page_in_their_order():
    given = f'{OPTIONS}<script src="a.js"></script><script data-b="c" src="b.js?v=2"></script>'
    assert (
        quicken(given)
        == f'{OPTIONS}<script defer src="a.js"></script><script defer data-b="c" src="b.js?v=2"></script>'
    )


def test_what_is_deferred_or_stands_in_the_page_stays_as_it_is():
    given = '<script defer src="a.js"></script><script async src="b.js"></script><script>let c = 1;</script>'
    assert quicken(given) == given


def test_nothing_is_fetched_ahead_of_the_styles():
    styles = '<link rel="stylesheet" href="a.css" />'
    assert quicken(f'<link rel="preload" as="script" href="a.js" />\n{styles}') == styles


def test_only_the_search_loads_what_it_searches_with():
    given = '<script src="_static/searchtools.js"></script><script src="searchindex.js"></script>'
    assert quicken(given) == ""
    assert quicken(given, searches=True).count("<script defer src=") == 2
