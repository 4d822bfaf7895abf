"""An exercise in JupyterLab: wrong, then worse, then right; the kernel lives on and stays the learner's."""

import json

import pytest
from in_lab import jupyterlab, notebook, open_notebook, run_all
from on_page import faults

from moe_tutorial.tools.nbgrader import GOES_ON

ID = "03.topk_then_softmax"
ANSWERS = {
    "wrong": "return logits.topk(k).values",
    "leaving": "exit()",
    "asking": "return input('which? ')",
    "printing": "print('x' * 1_000_000)",
    "unwritten": "raise NotImplementedError()",
    "right": "import torch\n    return torch.softmax(logits.topk(k).values, dim=-1)",
}
CELLS = [
    f"""
from moe_tutorial.course import check

def topk_then_softmax(logits, k):
    {body}

given_back = check("{ID}", topk_then_softmax)
print("own:", given_back is topk_then_softmax)
""".strip()
    for body in ANSWERS.values()
]


CHECK = f'topk_then_softmax = check("{ID}", topk_then_softmax)'
DEFINED = "def topk_then_softmax(logits, k):\n    return logits.topk(k).values.softmax(-1)"
ENDLESS = "def topk_then_softmax(logits, k):\n    open('runs', 'w').close()\n    while True: pass"
STOPS = [
    f"from moe_tutorial.course import check\n{DEFINED}",
    DEFINED.replace(":", "", 1),
    CHECK,
    ENDLESS,
    CHECK,
    "print('still here')",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("lab")
    (home / "exercise.ipynb").write_text(notebook(*CELLS), encoding="utf-8")
    stops = json.loads(notebook(*STOPS))
    for cell in stops["cells"][1:5]:  # as in a learner's copy
        cell["metadata"]["tags"] = [GOES_ON]
    (home / "stops.ipynb").write_text(json.dumps(stops), encoding="utf-8")
    with jupyterlab(home) as address:
        yield address, home


@pytest.fixture(scope="module")
def page(chromium, lab):
    page = chromium.new_page(viewport={"width": 1280, "height": 1600})
    run_all(page, lab[0], "exercise.ipynb")
    return page


def test_each_answer_gets_its_panel_and_the_kernel_lives_on(page, axe):
    panels = page.locator(".moe-check")
    assert panels.count() == len(ANSWERS)
    said = dict(zip(ANSWERS, panels.all_inner_texts(), strict=True))
    assert "without a softmax" in said["wrong"]
    assert "Hint 1 of 3" in said["wrong"]
    assert "ends Python" in said["leaving"]
    assert "calls input()" in said["asking"]
    assert "characters more" in said["printing"]
    assert "not written yet" in said["unwritten"]
    assert said["right"].strip() == f"✓ exercise {ID}: right"
    own = page.locator(".jp-OutputArea-output").get_by_text("own:").all_inner_texts()
    assert [text.strip() for text in own] == ["own: False"] * (len(ANSWERS) - 1) + ["own: True"]
    for is_light in ("true", "false"):
        page.evaluate(f"document.body.dataset.jpThemeLight = '{is_light}'")
        assert faults(page, axe, ".moe-check") == []


def test_run_all_goes_on_after_a_syntax_error_and_after_stop(chromium, lab):
    address, home = lab
    page = chromium.new_page(viewport={"width": 1280, "height": 1600})
    open_notebook(page, address, "stops.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    while not (home / "runs").exists():
        page.wait_for_timeout(100)
    page.get_by_title("Interrupt the kernel").click()
    page.locator(".jp-OutputArea-output").get_by_text("still here").wait_for()
    failed, stopped = page.locator(".moe-check").all_inner_texts()
    assert "your cell did not run" in failed
    assert "SyntaxError: expected ':'" in failed
    assert "It was stopped while it ran" in stopped
    page.close()
