"""The token view's Python side: what goes into the page, and what is refused."""

import numpy as np
import pytest
import torch

from moe_tutorial.show.widgets.token_view import token_view

TEXT = "a <b>&\tö 🙂\n12"
T = len(TEXT)
PROBS = torch.randn(2, T, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
BEST = PROBS.topk(2)


def view(**changes):
    arguments = {"text": TEXT, "indices": BEST.indices, "weights": BEST.values, "n_experts": 4} | changes
    return token_view(**arguments)


def test_the_page_gets_the_text_the_choices_and_the_weights():
    widget = view(labels=[("signs", 9), ("digits", T - 9)], title="Mine", probs=PROBS)
    assert widget.text == TEXT
    np.testing.assert_array_equal(np.frombuffer(widget.indices, np.uint8).reshape(2, T, 2), BEST.indices)
    np.testing.assert_array_equal(np.frombuffer(widget.weights, np.float32).reshape(2, T, 2), BEST.values)
    labels = [["signs", 9], ["digits", T - 9]]
    assert widget.settings == {"experts": 4, "blocks": 2, "k": 2, "labels": labels, "title": "Mine"}
    probs = np.frombuffer(widget.probs, np.uint16).reshape(PROBS.shape) / 65_535
    np.testing.assert_allclose(probs, PROBS, atol=1e-5)
    assert view().probs == b""


def test_lists_arrays_and_tensors_give_the_same_page_and_a_gradient_is_no_hindrance():
    for change in (
        {"indices": BEST.indices.tolist(), "weights": BEST.values.tolist()},
        {"indices": BEST.indices.numpy(), "weights": BEST.values.numpy()},
        {"weights": BEST.values.clone().requires_grad_()},
    ):
        assert (view(**change).indices, view(**change).weights) == (view().indices, view().weights)


def test_the_longest_text_stays_small():
    probs = torch.rand(4, 2000, 16).softmax(-1)
    best = probs.topk(2)
    widget = token_view("x" * 2000, best.indices, best.values, 16, probs=probs)
    assert sum(len(v) for v in widget.get_state().values() if isinstance(v, bytes)) < 350_000


def test_it_reads_as_a_line_of_text_where_widgets_are_not_shown():
    assert repr(view()) == "Token view: 13 characters, 4 experts, blocks: 2 (interactive)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ""}, "text is 0 characters long; allowed is a str of 1 to 2000"),
        ({"text": TEXT[:-1]}, r"indices has shape \(2, 13, 2\); allowed is \(blocks, 12, k\)"),
        ({"n_experts": 17}, "n_experts must be an integer from 1 to 16, got 17"),
        ({"n_experts": 3}, "indices holds 3; allowed are whole numbers from 0 to 2"),
        ({"indices": BEST.indices + 0.5}, "whole numbers"),
        ({"indices": BEST.indices * 0}, "names an expert twice"),
        ({"weights": BEST.values[..., :1]}, r"weights has shape \(2, 13, 1\); allowed is \(2, 13, 2\)"),
        ({"weights": -BEST.values}, "weights holds -"),
        ({"weights": BEST.values / 0}, "weights holds 52 values that are NaN or infinite"),
        ({"labels": [("a", 5), ("b", 5)]}, "labels cover 10 characters; allowed are 13"),
        ({"labels": [("a", 14), ("b", -1)]}, "a length in labels must be an integer of at least 1, got -1"),
        ({"probs": PROBS * 9}, "probs holds .* allowed are probabilities from 0 to 1"),
    ],
)
def test_it_refuses_with_name_value_and_what_is_allowed(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        view(**change)
