"""Lesson 05: who works, how even that is, and how good each expert is by itself."""

import torch

from moe_tutorial.course.checks.vocabulary import Ask, checks, draw


def shares(chosen, n_experts):
    return torch.bincount(chosen.flatten(), minlength=n_experts) / chosen.numel()


@checks(
    "05.my_share",
    hints=(
        "First count: how often does each expert's number stand in `chosen`? Then divide.",
        "`torch.bincount` counts a list of numbers, so flatten first. With `minlength=n_experts` it does not leave out "
        "the last experts if nobody chose them.",
        "`counts = torch.bincount(chosen.flatten(), minlength=n_experts)`, divided by `chosen.numel()`.",
    ),
    puzzle={
        "return counts / len(chosen)": "That divides by the tokens. Each of them makes k choices.",
        "return counts / n_experts": "The number of experts says nothing about how many choices there are.",
        "return counts / counts.max()": "That is how each compares with the busiest. The shares should add up to 1.",
    },
)
def my_share(ask: Ask) -> None:
    mistakes = {
        "Those are counts. Divide them by the number of choices.": lambda chosen, n: torch.bincount(
            chosen.flatten(), minlength=n
        ),
        "Experts that nobody chose are missing at the end. `minlength=n_experts` keeps a place for each.": (
            lambda chosen, n: torch.bincount(chosen.flatten()) / chosen.numel()
        ),
        "Experts that nobody chose are left out. They get a 0.": lambda chosen, n: (
            chosen.unique(return_counts=True)[1] / chosen.numel()
        ),
        "You divide by the number of tokens, so the shares add up to k. Each token makes k choices: divide by all of "
        "them.": lambda chosen, n: torch.bincount(chosen.flatten(), minlength=n) / len(chosen),
        "Only the first choice of each token counts in your answer. All k of them do.": lambda chosen, n: shares(
            chosen[:, :1], n
        ),
        "You divide by the number of experts. Divide by the number of choices.": lambda chosen, n: (
            torch.bincount(chosen.flatten(), minlength=n) / n
        ),
    }
    cases = ([[1], [0], [1], [3], [1]], 5), ([[3, 1], [3, 0], [1, 3]], 4), ([[2, 4, 0], [4, 2, 5]], 7)
    for rows, n_experts in cases:
        given = {"chosen": torch.tensor(rows), "n_experts": n_experts}
        says = "the part of all choices that each expert got, 0 for those that nobody chose"
        where = f"{len(rows)} tokens choose {len(rows[0])} of {n_experts} experts each"
        ask.gives(given, {"shares": shares(**given)}, says, mistakes, where)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])  # expert e gets the number order[e]
    ask.follows(
        given,
        given | {"chosen": order[given["chosen"]]},
        lambda found: found[order.argsort()],
        "With the experts under other numbers, each should keep its share.",
    )


def variation(shares):
    return shares.var(correction=0) / shares.mean() ** 2


@checks(
    "05.my_cv2",
    hints=(
        "Two numbers: how far the shares lie from their mean, squared and averaged, and the square of the mean.",
        "`shares.var(correction=0)` is the variance over all E shares. By itself PyTorch divides by E - 1.",
        "`shares.var(correction=0) / shares.mean() ** 2`.",
    ),
    puzzle={
        "return shares.var() / shares.mean() ** 2": "PyTorch's variance divides by E - 1 if nobody says otherwise.",
        "return shares.std(correction=0) / shares.mean()": "That is the coefficient of variation. Square it.",
        "return shares.var(correction=0) / shares.mean()": "The mean has to be squared, too.",
    },
)
def my_cv2(ask: Ask) -> None:
    mistakes = {
        "Your variance divides by E - 1, as PyTorch's does by itself. With `correction=0` it divides by E, and one "
        "expert for everything gives E - 1.": lambda shares: shares.var() / shares.mean() ** 2,
        "That is the coefficient of variation. Square it.": lambda shares: shares.std(correction=0) / shares.mean(),
        "The mean below the line has to be squared: otherwise twice the numbers would give twice the answer.": (
            lambda shares: shares.var(correction=0) / shares.mean()
        ),
        "That is the variance. Divide it by the square of the mean.": lambda shares: shares.var(correction=0),
        "That is the mean of the squares over the square of the mean. Take the mean away before you square.": (
            lambda shares: (shares**2).mean() / shares.mean() ** 2
        ),
        "That is the sum of the squares. A variance is their mean.": lambda shares: (
            (shares / shares.mean() - 1).square().sum()
        ),
        "It is upside down: the variance stands above the line.": lambda shares: (
            shares.mean() ** 2 / shares.var(correction=0)
        ),
    }
    for numbers in ([0.7, 0.1, 0.2], [0.0, 0.6, 0.1, 0.3], [1.0, 0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]):
        given = {"shares": torch.tensor(numbers)}
        says = "the variance over the square of the mean"
        ask.gives(given, {"cv2": variation(**given)}, says, mistakes)
    given = {"shares": torch.tensor([0.5, 0.1, 0.4])}
    says = "With the experts in another order, the number should be the same."
    ask.follows(given, {"shares": given["shares"].flip(0)}, lambda found: found, says)


def own_accuracy(answers, labels):
    return (answers.argmax(-1) == labels[:, None]).float().mean(0)


@checks(
    "05.my_strength",
    hints=(
        "An expert's answer to an image is the class with its largest score. Which of the three dimensions holds the "
        "classes?",
        "`answers.argmax(-1)` has shape (T, E): a class for each image and each expert. Compare it with "
        "`labels[:, None]`, which has shape (T, 1).",
        "`right = answers.argmax(-1) == labels[:, None]`, and then the mean over the images: `right.float().mean(0)`.",
    ),
    puzzle={
        "return right.float().mean(1)": "That is how many experts are right about each image.",
        "return right.float().mean()": "That is one number, the mean over the experts. Each is judged alone.",
        "return right.sum(0)": "Those are counts. A strength is a part of the images.",
    },
)
def my_strength(ask: Ask) -> None:
    mistakes = {
        "That is how many of the experts are right about each image: a number for each image. Take the mean over the "
        "images.": lambda answers, labels: (answers.argmax(-1) == labels[:, None]).float().mean(1),
        "Those are counts. Divide by the number of images.": lambda answers, labels: (
            answers.argmax(-1) == labels[:, None]
        ).sum(0),
        "`labels` (T,) is lined up with the experts. `labels[:, None]` has shape (T, 1).": lambda answers, labels: (
            (answers.argmax(-1) == labels).float().mean(0)
        ),
        "True and False have no mean: `.float()` first.": lambda answers, labels: (answers.argmax(-1) > 0).mean(0),
        "You take the largest score over the experts. Each expert's answer is its largest score over the classes.": (
            lambda answers, labels: (answers.argmax(1) == labels[:, None]).float().mean(0)
        ),
        "That is one number: how good the experts are together. Each is to be judged alone.": lambda answers, labels: (
            (answers.sum(1).argmax(-1) == labels).float().mean()
        ),
        "That is one number, the mean over the experts. Each is to be judged alone.": lambda answers, labels: (
            own_accuracy(answers, labels).mean()
        ),
        "You take the smallest score for an expert's answer. It is the largest.": lambda answers, labels: own_accuracy(
            -answers, labels
        ),
    }
    for seed, (T, E, C) in enumerate([(4, 2, 3), (4, 3, 2), (7, 1, 4), (3, 3, 3)]):
        given = {"answers": (10 * draw(seed, T, E, C)).round(), "labels": draw(seed, T, C).argmax(-1)}
        says = "for each expert the part of the images that it gets right when it answers alone"
        where = f"{E} {'expert answers' if E == 1 else 'experts answer'} {T} images, with {C} classes"
        ask.gives(given, {"strength": own_accuracy(**given)}, says, mistakes, where)
    given = {"answers": draw(9, 6, 4, 3), "labels": torch.tensor([0, 2, 1, 1, 0, 2])}
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    moved = {"answers": given["answers"][order], "labels": given["labels"][order]}
    says = "With the images in another order, each expert should be as strong as before."
    ask.follows(given, moved, lambda found: found, says)
    moved = given | {"answers": given["answers"].flip(1)}
    says = "With the experts in another order, each should keep its strength."
    ask.follows(given, moved, lambda found: found.flip(0), says)
    moved = given | {"answers": 3 * given["answers"]}
    says = "With all scores three times as large, the answers are the same, and so is the strength."
    ask.follows(given, moved, lambda found: found, says)
