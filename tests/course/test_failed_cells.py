"""In a real kernel: the Stop button ends an answer, and of a cell that failed no older function is examined."""

import time

import pytest
from jupyter_client.manager import start_new_kernel

ID = "03.topk_then_softmax"
HEAD = "def topk_then_softmax(logits, k):"
RIGHT = f"{HEAD}\n    return logits.topk(k).values.softmax(-1)"
WRONG = f"{HEAD}\n    return logits.topk(k).values"
CHECK = f'topk_then_softmax = check("{ID}", topk_then_softmax)'
GOES_ON = "The course's own goes on from here"


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel(kernel_name="python3")
    ask(client, client.execute("from moe_tutorial.course import check"))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def ask(client, message: str) -> str:
    """What this cell printed, and the name of its error."""
    said = ""
    while True:
        reply = client.get_iopub_msg(timeout=120)
        if reply["parent_header"].get("msg_id") != message:
            continue
        said += reply["content"].get("text", "") + reply["content"].get("ename", "")
        if reply["content"].get("execution_state") == "idle":
            return said


def run_all(kernel, *cells: str) -> list[str]:
    """As JupyterLab does it with cells that may raise: all are handed in, and none is dropped."""
    _, client = kernel
    asked = [client.execute(cell, stop_on_error=False) for cell in cells]
    return [ask(client, message) for message in asked]


@pytest.mark.parametrize(
    ("cell", "error", "line"),
    [
        (f"{HEAD[:-1]}\n    return logits", "SyntaxError: expected ':'", f"1 of your cell: {HEAD[:-1]}"),
        (f"{HEAD}\n    best = (logits\n    return best", "SyntaxError: '(' was never closed", "2 of your cell: best ="),
        (f"{HEAD[:-2]}=K):\n    return logits", "NameError: name 'K' is not defined", "1 of your cell"),
    ],
)
def test_where_the_cell_fails_the_function_of_an_earlier_run_is_not_examined(kernel, cell, error, line):
    _, right, failed, said, goes_on = run_all(kernel, RIGHT, CHECK, cell, CHECK, "print(topk_then_softmax.__module__)")
    assert right == f"✓ exercise {ID}: right\n"
    assert failed.endswith("Error")
    assert said.startswith(f"○ exercise {ID}: your cell did not run\nIt raises {error}")
    assert f"\nIn line {line}" in said
    assert GOES_ON in said
    assert goes_on == "__main__\n"
    assert run_all(kernel, RIGHT, CHECK)[1] == right


def test_a_function_that_was_defined_before_its_cell_failed_is_examined(kernel):
    _, failed, said = run_all(kernel, RIGHT, f"{WRONG}\n\nnothing", CHECK)
    assert failed.endswith("NameError")
    assert "without a softmax" in said


def test_the_stop_button_ends_an_answer_and_the_cells_below_run(kernel, tmp_path):
    manager, client = kernel
    runs = tmp_path / "runs"
    endless = f"{HEAD}\n    open({str(runs)!r}, 'w').close()\n    while True:\n        pass"
    asked = [client.execute(cell) for cell in (endless, CHECK, "print(check('00.rule', topk_then_softmax) is None)")]
    while not runs.exists():
        time.sleep(0.1)
    manager.interrupt_kernel()
    _, said, below = (ask(client, message) for message in asked)
    assert said.startswith(
        f"○ exercise {ID}: stopped\nIt was stopped while it ran. Is there a loop that does not end?\n"
    )
    assert GOES_ON in said
    assert "exercise 00.rule" in below
