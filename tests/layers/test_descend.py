"""What the compiled descent leaves as it was."""

import subprocess
import sys

import pytest

pytest.importorskip("numba")

FIRST_CALLS = """
import sys, torch
from moe_tutorial.layers import FastFeedForward

torch.set_num_threads(int(sys.argv[1]))
tree, x = FastFeedForward(8, 8, 3, 4).eval(), torch.randn(200, 8)
with torch.inference_mode():
    for tokens in (x[:1], x):
        tree(tokens)
        print(torch.get_num_threads())
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_torch_keeps_its_number_of_threads(threads):
    run = subprocess.run([sys.executable, "-c", FIRST_CALLS, threads], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [threads, threads]
