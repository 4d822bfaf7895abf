"""An exercise in JupyterLab: wrong, then worse, then right; the kernel lives on and stays the learner's."""

import json

import pytest
from in_lab import open_notebook, workspace_with
from on_page import faults

from moe_tutorial.tools.nbgrader import GOES_ON

ID = "03.topk_then_softmax"
ANSWERS = {
    "return logits.topk(k).values": "without a softmax",
    "exit()": "ends Python",
    "print('x' * 1_000_000)": "characters more",
    "import torch\n    return torch.softmax(logits.topk(k).values, dim=-1)": "right",
}
ASKED = """
from moe_tutorial.course import check

def topk_then_softmax(logits, k):
    {}

given_back = check("{}", topk_then_softmax)
print("own:", given_back is topk_then_softmax)
""".strip()
CHECK = f'topk_then_softmax = check("{ID}", topk_then_softmax)'
ENDLESS = "def topk_then_softmax(logits, k):\n    open('runs', 'w').close()\n    while True: pass"
STOPS = ["def topk_then_softmax(logits, k)\n    return logits", CHECK, ENDLESS, CHECK]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    cells = [*(ASKED.format(body, ID) for body in ANSWERS), *STOPS, "print('still here')"]
    home = workspace_with(tmp_path_factory.mktemp("exercise"), "exercise.ipynb", *cells)
    notebook = json.loads((home / "exercise.ipynb").read_text())
    for cell in notebook["cells"][len(ANSWERS) : -1]:  # as in a learner's copy
        cell["metadata"]["tags"] = [GOES_ON]
    (home / "exercise.ipynb").write_text(json.dumps(notebook))
    return home


def test_each_answer_gets_its_panel_and_run_all_goes_on_after_a_syntax_error_and_after_stop(page, lab, workspace, axe):
    open_notebook(page, lab, "exercise.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    while not (workspace / "runs").exists():
        page.wait_for_timeout(100)
    page.get_by_title("Interrupt the kernel").click()
    page.locator(".jp-OutputArea-output").get_by_text("still here").wait_for()
    panels = page.locator(".moe-check").all_inner_texts()
    expected = [*ANSWERS.values(), "SyntaxError: expected ':'", "It was stopped while it ran"]
    assert [words in panel for panel, words in zip(panels, expected, strict=True)] == [True] * len(expected), panels
    own = page.locator(".jp-OutputArea-output").get_by_text("own:").all_inner_texts()
    assert [text.strip() for text in own] == ["own: False"] * (len(ANSWERS) - 1) + ["own: True"]
    for is_light in ("true", "false"):
        page.evaluate(f"document.body.dataset.jpThemeLight = '{is_light}'")
        assert faults(page, axe, ".moe-check") == []
