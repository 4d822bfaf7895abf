import sys
import time

import pytest
import torch
from torch import nn

from moe_tutorial.study.timing import beyond_cache, in_turn, time_side_by_side


def test_each_function_has_one_figure_a_turn_and_the_slower_one_a_larger():
    result = time_side_by_side(
        {"short": lambda: sum(range(10_000)), "long": lambda: sum(range(100_000))}, turns=4, seconds=0.02
    )
    assert [len(figures) for figures in result.values()] == [4, 4]
    assert all(0 < one < other for one, other in zip(result["short"], result["long"], strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts a thread's time too coarsely")
def test_the_clock_stands_still_while_the_processor_does_something_else():
    result = time_side_by_side({"waits": lambda: time.sleep(0.01)}, turns=2, seconds=0)
    assert max(result["waits"]) < 0.005


def test_functions_take_turns_after_one_call_each():
    calls = []
    time_side_by_side({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, turns=2, seconds=0)
    assert "".join(calls) == "ab" + "ab" * 2


def test_it_runs_on_one_thread_and_gives_the_others_back_even_after_an_error():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []
        time_side_by_side({"a": lambda: seen.append(torch.get_num_threads())}, turns=1, seconds=0)
        assert set(seen) == {1}
        with pytest.raises(ZeroDivisionError):
            time_side_by_side({"a": lambda: 1 / 0})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_layers_fill_as_many_bytes_as_asked_and_are_all_new():
    assert len(beyond_cache(lambda: nn.Linear(10, 10, bias=False), n_bytes=1)) == 1
    layers = beyond_cache(lambda: nn.Linear(10, 10, bias=False), n_bytes=1000)
    assert sum(layer.weight.nbytes for layer in layers) == 1200
    assert len({layer.weight.data_ptr() for layer in layers}) == 3


def test_each_call_asks_the_next_layer_with_the_next_input():
    call = in_turn([lambda x: ("a", x), lambda x: ("b", x)], [1, 2, 3])
    assert [call() for _ in range(4)] == [("a", 1), ("b", 2), ("a", 3), ("b", 1)]
