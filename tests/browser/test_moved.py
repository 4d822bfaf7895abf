"""The addresses that lessons had before they were renumbered lead to the present ones, and so do their anchors."""

import re

import pytest
from playwright.sync_api import expect

from moe_tutorial.course.progress.renumbered import LESSONS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("09_where_it_pays.html#claim-09-2", "09_modern_moe.html#claim-09-2"),
        ("09_where_it_pays.html#claim-09-19", "10_edge.html#claim-10-4"),
        ("09_where_it_pays.html#the-verdict", "11_scale.html#the-verdict"),
        ("10_fff_trees.html#claim-10-4", "12_fff_trees.html#claim-12-4"),
        ("11_fff_vs_moe.html#recap", "13_fff_vs_moe.html#recap"),
        ("12_capstone.html#gone", "14_capstone.html#gone"),
    ],
)
def test_an_old_address_leads_to_the_lesson_and_an_anchor_to_its_place(chromium, site, old, new):
    page = chromium.new_page()
    errors = []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.goto(f"{site.as_uri()}/{old}")
    expect(page).to_have_url(f"{site.as_uri()}/{new}")
    if "gone" not in new and "#" in new:
        expect(page.locator(f"[id='{new.partition('#')[2]}']")).to_be_visible()
    assert errors == []
    page.context.close()


@pytest.mark.parametrize(("old", "new"), LESSONS.items())
def test_it_does_so_without_javascript_and_has_a_link_for_each_lesson(chromium, site, old, new):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(f"{site.as_uri()}/{old}.html")
    expect(page).to_have_url(f"{site.as_uri()}/{new[0]}.html")
    page.context.close()
    html = (site / f"{old}.html").read_text(encoding="utf-8")
    assert re.findall(r'<a href="([^"]+)\.html">', html) == new
    assert "Content-Security-Policy" in html
