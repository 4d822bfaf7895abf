"""Lesson 00: all parameters of a layer, those that one token uses, and a rule that can say no."""

import numpy as np

from moe_tutorial.course.vocabulary import Ask, checks


@checks(
    "00.count_total",
    hints=(
        "A layer is made of experts, and of one thing more: who chooses among them?",
        "All n_experts of them are kept, whether anybody asks them or not, and the router.",
        "`n_experts * expert + router`.",
    ),
    mistakes={
        "The router is missing. Its numbers are learned and kept like all others.": " + router => ",
        "That is one expert and the router. The layer keeps all of them.": "n_experts * expert => expert",
        "The router is counted for each expert. There is one for all.": "return ... => n_experts * (expert + router)",
        "That is one expert's size times the router's. Sizes of kept parts are added.": "+ => *",
        "You add the number of experts. Each is `expert` parameters large: multiply.": "* => +",
    },
)
def count_total(ask: Ask) -> None:
    for sizes in ((8, 100, 30), (4, 50, 7), (6, 20, 12)):
        given = dict(zip(ask.names, sizes, strict=True))
        ask.gives(given, "how many parameters the layer keeps")
    says = "With one expert more, the layer should keep one expert's parameters more."
    ask.follows(given, given | {"n_experts": 7}, lambda total: total + 20, says)


@checks(
    "00.count_active",
    hints=(
        "A token meets the experts that are asked, and one thing more: who decides whom to ask?",
        "It meets top_k experts, whole, and the whole router. How many there are in all does not matter.",
        "`top_k * expert + router`.",
    ),
    mistakes={
        "The router is missing. It looks at every token before anybody is chosen.": " + router => ",
        "Those are all parameters, the total. A token meets only the experts that it asks, and the router.": (
            "top_k => n_experts"
        ),
        "The router is counted for each chosen expert. It is asked once.": "return ... => top_k * (expert + router)",
        "You take k / E of the total, and with it only a part of the router. A token meets the router whole.": (
            "return ... => (n_experts * expert + router) * top_k / n_experts"
        ),
        "That is one expert and the router. A token may ask several.": "top_k * expert => expert",
    },
)
def count_active(ask: Ask) -> None:
    for sizes in ((8, 2, 100, 32), (4, 1, 50, 7), (6, 3, 20, 12)):
        given = dict(zip(ask.names, sizes, strict=True))
        ask.gives(given, "how many parameters one token meets")
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
    mistakes={
        "That is a yes or no for each seed. One verdict is asked for, as by .all(), .any() or a mean.": ".mean() => ",
        "It is the wrong way round: it says no to less than half, and yes to more.": "< => >",
        "One seed below half is not enough: look at the mean, or at all of them.": "mean => min",
        "It looks at the first seed alone. One seed is not enough: look at the mean, or at all of them.": (
            "part.mean() => part[0]"
        ),
        "It says yes to everything, and so to the control, too, where a token met all parameters. A rule that cannot "
        "say no shows nothing.": "return ... => True",
        "It says no to everything, to what was measured, too. Compare with 0.5 before .all(), not after it.": (
            "mean => all"
        ),
        "The sum grows with the number of seeds. Compare their mean with 0.5, or each of them.": "mean => sum",
        "Exactly half is not less than half: <, not <=.": "< => <=",
    },
)
def rule(ask: Ask) -> None:
    parts = {
        "these parts were measured": [0.27, 0.26, 0.28],
        "this is the control, which met everything": [1.0, 1.0, 1.0],
        "all are a little less than half": [0.49, 0.488, 0.489],
        "all are a little more than half": [0.52, 0.51, 0.53],
        "five seeds are below half": [0.4, 0.2, 0.45, 0.3, 0.35],
        "five seeds are far below half": [0.07, 0.05, 0.06, 0.08, 0.04],
        "all are exactly half": [0.5, 0.5, 0.5],
        "the first seed is below half, the others far above": [0.4, 0.9, 0.8],
        "the last seed is below half, the others far above": [0.9, 0.8, 0.4],
    }
    ask.judges({f"{where}, {part}": {"part": np.array(part)} for where, part in parts.items()})
