"""An exercise in JupyterLab: wrong, then worse, then right; the kernel lives on and stays the learner's."""

import pytest
from in_lab import jupyterlab, notebook, run_all

ID = "03.topk_then_softmax"
ANSWERS = {
    "wrong": "return logits.topk(k).values",
    "endless": "while True: pass",
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


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    home = tmp_path_factory.mktemp("lab")
    (home / "exercise.ipynb").write_text(notebook(*CELLS), encoding="utf-8")
    with jupyterlab(home) as lab:
        page = chromium.new_page(viewport={"width": 1280, "height": 1600})
        run_all(page, lab, "exercise.ipynb")
        yield page


def test_each_answer_gets_its_panel_and_the_kernel_lives_on(page):
    panels = page.locator(".moe-check")
    assert panels.count() == len(ANSWERS)
    said = dict(zip(ANSWERS, panels.all_inner_texts(), strict=True))
    assert "without a softmax" in said["wrong"]
    assert "Hint 1 of 3" in said["wrong"]
    assert "stopped after 2 seconds" in said["endless"]
    assert "ends Python" in said["leaving"]
    assert "calls input()" in said["asking"]
    assert "characters more" in said["printing"]
    assert "not written yet" in said["unwritten"]
    assert said["right"].strip() == f"✓ exercise {ID}: right"
    own = page.locator(".jp-OutputArea-output").get_by_text("own:").all_inner_texts()
    assert [text.strip() for text in own] == ["own: False"] * (len(ANSWERS) - 1) + ["own: True"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_panels_are_readable(page, axe, theme):
    page.evaluate("(light) => document.body.setAttribute('data-jp-theme-light', light)", str(theme == "light").lower())
    page.evaluate(axe)
    found = page.evaluate("axe.run('.moe-check')")
    assert not found["violations"], [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
