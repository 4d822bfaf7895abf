"""What a page may run is written in it: scripts of the site, and those in the page that the build knows."""

import base64
import hashlib
import re

import pytest

from moe_tutorial.course.site.pages import policy


def allowed(html):
    return re.search(r"script-src ([^;]*);", policy(html))[1].split()


def test_a_script_in_the_page_is_known_by_its_hash():
    code = "let a = 1;\n"
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert allowed(f"<script>{code}</script>") == ["'self'", f"'sha256-{digest}'"]
    assert allowed(f'<script type="text/javascript">{code}</script>') == ["'self'", f"'sha256-{digest}'"]
    assert allowed(f"<script>{code}</script><script>{code}</script>") == ["'self'", f"'sha256-{digest}'"]


@pytest.mark.parametrize("attributes", [' type="application/json"', ' src="a.js"', ' async src="a.js"'])
def test_data_and_files_need_none(attributes):
    assert allowed(f"<script{attributes}>{{}}</script>") == ["'self'"]


def test_nothing_else_may_run_or_load():
    rules = dict(rule.split(maxsplit=1) for rule in policy("").split("; "))
    assert rules["default-src"] == "'self'"
    assert rules["object-src"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    assert not [rule for rule in rules.values() if "http" in rule or "blob" in rule or "*" in rule]
