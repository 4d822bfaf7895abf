"""The detective: what each probe costs and finds, what stands open in the page, and what bad probes are told."""

import json
from base64 import b64decode

import pytest
import torch
from torch import nn

from moe_tutorial.course import detective
from moe_tutorial.course.quizzes.detective import SOUND

LOUD = "twice as loud"
WHY = {LOUD: "It says all twice."}
DOES = {LOUD: "Its answers are twice as large."}


class Loud(nn.Linear):
    """A layer that stands for a mixture with a bug."""

    def forward(self, input):
        return 2 * super().forward(input)


def suspects(n_tokens=5):
    """A round of two: A is sound, and B answers twice as loud."""
    torch.manual_seed(0)
    x = torch.randn(n_tokens, 3)
    return {"A": (SOUND, nn.Linear(3, 2, bias=False), x), "B": (LOUD, Loud(3, 2, bias=False), x)}


def loud(moe, x):
    """Its answer is what its weight says.

    The page shows the first line.
    """
    return (moe(x) - x @ moe.weight.T).norm()


def by_a_copy(moe, x):
    """A copy answers the same, one token at a time."""
    import copy

    other = copy.deepcopy(moe)
    return max((other(row[None]) - moe(row[None])).norm() for row in x)


def never(moe, x):
    return float("nan")


def stops(moe, x):
    """It stops after one token."""
    moe(input=x[:1])
    raise RuntimeError("no more\nof this")


def forgets(moe, x):
    moe(x)


def spoils(moe, x):
    """It changes what it got."""
    moe.weight.data.zero_()
    x.zero_()
    return torch.rand(()) + moe.training


PROBES = [spoils, loud, by_a_copy, never, stops, forgets]


@pytest.fixture(scope="module")
def board():
    return detective("14.suspects", [suspects(), suspects(n_tokens=7)], PROBES, DOES, WHY)


def secrets(board):
    return json.loads(b64decode(board.settings["sealed"]))


def test_a_probe_costs_the_tokens_that_the_mixture_and_its_copies_read_the_most_over_the_suspects(board):
    prices = {each["name"]: each["price"] for each in board.settings["probes"]}
    assert prices == {"spoils": 0, "loud": 7, "by_a_copy": 14, "never": 0, "stops": 1, "forgets": 7}
    assert not suspects()["A"][1]._forward_pre_hooks


def test_what_is_not_below_a_thousandth_fails_and_so_does_what_stops(board):
    fails = {"spoils": "FAILS", "by_a_copy": "", "never": "FAILS", "stops": "stopped with RuntimeError: no more"}
    fails |= {"forgets": "stopped with TypeError: float() argument must be a string or a real number, not 'NoneType'"}
    for found in secrets(board)["found"]:
        assert found == {"A": fails | {"loud": ""}, "B": fails | {"loud": "FAILS"}}


def test_the_page_shows_the_probes_and_seals_who_has_which_bug(board):
    shown = board.settings
    asks = {each["name"]: each["asks"] for each in shown["probes"]}
    assert (asks["loud"], asks["never"]) == ("Its answer is what its weight says.", "")
    assert (shown["rounds"], shown["bugs"]) == (["AB", "AB"], [SOUND, LOUD])
    assert (secrets(board)["truth"], secrets(board)["why"]) == (2 * [{"A": SOUND, "B": LOUD}], WHY)
    assert set(shown) == {"probes", "rounds", "bugs", "does", "sealed", "digest"}
    html = board._repr_mimebundle_()[0]["text/html"]
    assert "<code>loud</code>: Its answer is what its weight says." in html
    assert "FAILS" not in html
    assert "It takes JavaScript" in html


def test_it_finds_the_same_each_time_and_draws_nothing_from_the_lessons_generator(board):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = detective("14.suspects", [suspects(), suspects(n_tokens=7)], PROBES, DOES, WHY)
    torch.manual_seed(3)
    assert torch.equal(before, torch.get_rng_state())
    assert again.settings == board.settings


@pytest.mark.parametrize(
    ("probes", "said"),
    [
        ([], r"14.it: probes are \[\]; allowed are functions of different names"),
        ([loud, loud], r"14.it: probes are \['loud', 'loud'\]; allowed are"),
        ([lambda moe, x: 0], r"14.it: probes are \['<lambda>'\]; allowed are"),
    ],
)
def test_probes_that_have_no_names_of_their_own_are_refused(probes, said):
    with pytest.raises(ValueError, match=said):
        detective("14.it", 2 * [suspects()], probes, DOES, WHY)
