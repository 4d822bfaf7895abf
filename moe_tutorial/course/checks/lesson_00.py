"""Lesson 00: all parameters of a layer, those that one token uses, and a rule that can say no."""

import numpy as np

from moe_tutorial.course.checks.vocabulary import Ask, checks, verdicts
from moe_tutorial.course.running import NotYet


def kept(n_experts, expert, router):
    return n_experts * expert + router


@checks(
    "00.count_total",
    hints=(
        "A layer is made of experts, and of one thing more: who chooses among them?",
        "All n_experts of them are kept, whether anybody asks them or not, and the router.",
        "`n_experts * expert + router`.",
    ),
    puzzle={
        "return n_experts * expert": "The router is kept, too.",
        "return expert + router": "That is one expert. The layer keeps all of them.",
        "return n_experts * (expert + router)": "There is one router for all experts.",
    },
)
def count_total(ask: Ask) -> None:
    mistakes = {
        "The router is missing. Its numbers are learned and kept like all others.": lambda n, e, r: n * e,
        "That is one expert and the router. The layer keeps all of them.": lambda n, e, r: e + r,
        "The router is counted for each expert. There is one for all.": lambda n, e, r: n * (e + r),
        "That is one expert's size times the router's. Sizes of kept parts are added.": lambda n, e, r: n * e * r,
        "You add the number of experts. Each is `expert` parameters large: multiply.": lambda n, e, r: n + e + r,
    }
    for sizes in ((8, 100, 30), (4, 50, 7), (6, 20, 12)):
        given = dict(zip(("n_experts", "expert", "router"), sizes, strict=True))
        ask.gives(given, {"total": kept(*sizes)}, "how many parameters the layer keeps", mistakes)
    says = "With one expert more, the layer should keep one expert's parameters more."
    ask.follows(given, given | {"n_experts": 7}, lambda total: total + 20, says)


def met(n_experts, top_k, expert, router):
    return top_k * expert + router


@checks(
    "00.count_active",
    hints=(
        "A token meets the experts that are asked, and one thing more: who decides whom to ask?",
        "It meets top_k experts, whole, and the whole router. How many there are in all does not matter.",
        "`top_k * expert + router`.",
    ),
    puzzle={
        "return top_k * expert": "The router looks at every token, too.",
        "return n_experts * expert + router": "Those are all that is kept. A token asks top_k of the experts.",
        "return top_k * (expert + router)": "The router is asked once.",
    },
)
def count_active(ask: Ask) -> None:
    mistakes = {
        "The router is missing. It looks at every token before anybody is chosen.": lambda n, k, e, r: k * e,
        "You take k / E of the total, and with it only a part of the router. A token meets the router whole.": (
            lambda n, k, e, r: (n * e + r) * k / n
        ),
        "Those are all parameters, the total. A token meets only the experts that it asks, and the router.": (
            lambda n, k, e, r: n * e + r
        ),
        "That is one expert and the router. A token may ask several.": lambda n, k, e, r: e + r,
        "That is a part of the total. How many are they?": lambda n, k, e, r: (k * e + r) / (n * e + r),
        "The router is counted for each chosen expert. It is asked once.": lambda n, k, e, r: k * (e + r),
    }
    for sizes in ((8, 2, 100, 32), (4, 1, 50, 7), (6, 3, 20, 12)):
        given = dict(zip(("n_experts", "top_k", "expert", "router"), sizes, strict=True))
        ask.gives(given, {"active": met(*sizes)}, "how many parameters one token meets", mistakes)
    says = "With more experts of the same size to choose from, a token should meet as many parameters as before."
    ask.follows(given, given | {"n_experts": 60}, lambda active: active, says)


@checks(
    "00.rule",
    hints=(
        "`part` is an array with a number for each seed. The claim says that a token meets less than half: compare "
        "with 0.5.",
        "`part < 0.5` is a yes or no for each seed. One yes or no is wanted: of the mean, or whether it is so in all.",
        "`part.mean() < 0.5`.",
    ),
    puzzle={
        "return part < 0.5": "That is a yes or no for each seed. One verdict is asked for.",
        "return part.mean() > 0.5": "It is the wrong way round: less than half is claimed.",
        "return part.min() < 0.5": "One seed below half is not enough: look at the mean, or at all of them.",
    },
)
def rule(ask: Ask) -> None:
    parts = {
        "what was measured": ([0.27, 0.26, 0.28], True),
        "the control, which met everything": ([1.0, 1.0, 1.0], False),
        "a little less than half": ([0.49, 0.48, 0.47], True),
        "a little more than half": ([0.52, 0.51, 0.53], False),
        "five seeds, all below half": ([0.4, 0.2, 0.45, 0.3, 0.35], True),
        "exactly half": ([0.5, 0.5, 0.5], False),
        "one seed below half, the others far above": ([0.4, 0.9, 0.8], False),
        "one seed below half, the last": ([0.9, 0.8, 0.4], False),
        "what was measured, in another order": ([0.28, 0.27, 0.26], True),
    }
    found = verdicts(ask, {name: ({"part": np.array(part)}, right) for name, (part, right) in parts.items()})
    right = {name: right for name, (_, right) in parts.items()}
    if all(found.values()):
        raise NotYet(
            "It says yes to everything, and so to the control, too, where a token met all parameters. A rule that "
            "cannot say no shows nothing."
        )
    if not any(found.values()):
        raise NotYet(
            "It says no to everything, to what was measured, too. Compare with 0.5 before .all(), not after it."
        )
    if sum(found[name] != right[name] for name in found) >= len(found) - 1:  # exactly half may be either
        raise NotYet("It is the wrong way round: it says no to less than half, and yes to more.")
    for name, (part, wanted) in parts.items():
        if found[name] != wanted:
            said = found[name]
            control = "The control passes, too. " if name.startswith("the control") else ""
            lucky = "One seed is not enough: look at the mean, or at all of them. " if name.startswith("one") else ""
            raise NotYet(
                f"{control}{lucky}It says {said} to {name}.\npart = {part}\nexpected {wanted}\ngot      {said}"
            )
