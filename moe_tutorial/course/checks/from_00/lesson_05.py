"""Lesson 05: an even start, who works, how even that is, and how good each expert is by itself."""

import torch

from moe_tutorial.course.vocabulary import Ask, checks, draw


@checks(
    "05.handicap",
    hints=(
        "An expert's logits on all images are a column of `logits`. What does its mean need to become 0?",
        "`logits.mean(0)` is the mean of each column, (E,). An expert that is ahead has to lose as much.",
        "`return -logits.mean(0)`.",
    ),
    mistakes={
        "That puts those that are ahead further ahead. What brings a mean to 0 is its negative.": "-logits => logits",
        "That is a number for each image. Take the mean over the images: one number for each expert.": (
            "mean(0) => mean(1)"
        ),
        "That is one number for all experts. Each needs its own.": "mean(0) => mean()",
        "Those are sums over the images. Take the means.": "mean(0) => sum(0)",
        "Those are the logits with the handicap in them. Return the handicap alone.": (
            "return ... => logits - logits.mean(0)"
        ),
        "That brings each expert's largest logit to 0. Bring its mean there.": "mean(0) => amax(0)",
        "You average probabilities. The task says logits.": "return ... => -logits.softmax(1).mean(0)",
        "You even out probabilities. The task is about the mean of the logits.": (
            "return ... => 1 / logits.shape[1] - logits.softmax(1).mean(0)"
        ),
        "You divide by the mean. A handicap is added: which number takes the mean to 0?": (
            "return ... => 1 / logits.mean(0)"
        ),
    },
)
def handicap(ask: Ask) -> None:
    for seed, (N, E) in enumerate([(4, 3), (3, 5), (5, 2)]):
        given = {"logits": draw(seed, N, E)}
        says = "for each expert what brings the mean of its logits to 0"
        ask.gives(given, says, where=f"{E} experts have logits on {N} images")
    logits = draw(7, 4, 3)
    says = "With the images in another order, the handicap should be the same."
    ask.follows({"logits": logits}, {"logits": logits.flip(0)}, lambda found: found, says)
    says = "With the experts in another order, each should keep its handicap."
    ask.follows({"logits": logits}, {"logits": logits.flip(1)}, lambda found: found.flip(0), says)
    says = "With all logits larger by 2, each handicap should be smaller by 2."
    ask.follows({"logits": logits}, {"logits": logits + 2}, lambda found: found - 2, says)


@checks(
    "05.my_share",
    hints=(
        "First count: how often does each expert's number stand in `chosen`? Then divide.",
        "`torch.bincount` counts a list of numbers, so flatten first. With `minlength=n_experts` it does not leave out "
        "the last experts if nobody chose them.",
        "`counts = torch.bincount(chosen.flatten(), minlength=n_experts)`, divided by `chosen.numel()`.",
    ),
    mistakes={
        "You divide by the number of images, so the shares add up to k. Each image makes k choices: divide by all of "
        "them.": "chosen.numel() => len(chosen)",
        "You divide by the number of experts. Divide by the number of choices.": "chosen.numel() => n_experts",
        "That is how each compares with the busiest. The shares should add up to 1.": "chosen.numel() => counts.max()",
        "Those are counts. Divide them by the number of choices.": "return ... => counts",
        "That is in per cent. The shares should add up to 1.": "return counts => return 100 * counts",
        "Experts that nobody chose are missing at the end. `minlength=n_experts` keeps a place for each.": (
            ", minlength=n_experts => "
        ),
        "Experts that nobody chose are left out. They get a 0.": (
            "return ... => chosen.unique(return_counts=True)[1] / chosen.numel()"
        ),
        "Only the first choice of each image counts in your answer. All k of them do.": (
            "torch.bincount(chosen.flatten() => torch.bincount((chosen := chosen[:, :1]).flatten()"
        ),
        "An expert that is chosen several times counts once in your answer, as `counts[chosen] += 1` adds a single "
        "1.": ("return ... => (counts > 0) / chosen.numel()"),
    },
)
def my_share(ask: Ask) -> None:
    for rows, n_experts in (([[1], [0], [1], [3], [1]], 5), ([[3, 1], [3, 0], [1, 2]], 4), ([[2, 4, 0], [4, 2, 5]], 7)):
        given = {"chosen": torch.tensor(rows), "n_experts": n_experts}
        says = "the part of all choices that each expert got, 0 for those that nobody chose"
        ask.gives(given, says, where=f"{len(rows)} images choose {len(rows[0])} of {n_experts} experts each")
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])  # expert e gets the number order[e]
    says = "With the experts under other numbers, each should keep its share."
    ask.follows(given, given | {"chosen": order[given["chosen"]]}, lambda found: found[order.argsort()], says)


@checks(
    "05.my_cv2",
    hints=(
        "Two numbers: how far the shares lie from their mean, squared and averaged, and the square of the mean.",
        "`shares.var(correction=0)` is the variance over all E shares. By itself PyTorch divides by E - 1.",
        "`shares.var(correction=0) / shares.mean() ** 2`.",
    ),
    mistakes={
        "Your variance divides by E - 1, as PyTorch's does by itself. With `correction=0` it divides by E, and one "
        "expert for everything gives E - 1.": "correction=0 => ",
        "That is the coefficient of variation. Square it.": "return ... => shares.std(correction=0) / shares.mean()",
        "The mean below the line has to be squared: else twice the numbers would give twice the answer.": " ** 2 => ",
        "That is the variance. Divide it by the square of the mean.": " / shares.mean() ** 2 => ",
        "Take the mean from the shares: there need not be eight.": "shares.mean() => (1 / 8)",
        "That is the mean of the squares over the square of the mean. Take the mean away before you square.": (
            "shares.var(correction=0) => (shares**2).mean()"
        ),
        "That is the sum of the squares. A variance is their mean.": "return => return len(shares) *",
        "It is upside down: the variance stands above the line.": (
            "return ... => shares.mean() ** 2 / shares.var(correction=0)"
        ),
    },
)
def my_cv2(ask: Ask) -> None:
    for numbers in ([0.7, 0.1, 0.2], [0.0, 0.6, 0.1, 0.3], [1.0, 0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]):
        ask.gives({"shares": torch.tensor(numbers)}, "the variance over the square of the mean")
    shares = torch.tensor([0.5, 0.1, 0.4])
    says = "With the experts in another order, the number should be the same."
    ask.follows({"shares": shares}, {"shares": shares.flip(0)}, lambda found: found, says)


@checks(
    "05.my_strength",
    hints=(
        "An expert's answer to an image is the class with its largest score. Which of the three dimensions holds the "
        "classes?",
        "`answers.argmax(-1)` has shape (T, E): a class for each image and each expert. Compare it with "
        "`labels[:, None]`, which has shape (T, 1).",
        "`right = answers.argmax(-1) == labels[:, None]`, and then the mean over the images: `right.float().mean(0)`.",
    ),
    mistakes={
        "That is how many of the experts are right about each image: a number for each image. Take the mean over the "
        "images.": "mean(0) => mean(1)",
        "That is one number, the mean over the experts. Each is to be judged alone.": "mean(0) => mean()",
        "Those are counts. Divide by the number of images.": "right.float().mean(0) => right.sum(0)",
        "That is how often each expert is wrong. Its strength is how often it is right.": "== => !=",
        "That is in per cent. A strength is a part, at most 1.": "return right => return 100 * right",
        "`labels` (T,) is lined up with the experts. `labels[:, None]` has shape (T, 1).": "labels[:, None] => labels",
        "True and False have no mean: `.float()` first.": ".float() => ",
        "You take the largest score over the experts. Each expert's answer is its largest score over the classes.": (
            "argmax(-1) => argmax(1)"
        ),
        "You take the smallest score for an expert's answer. It is the largest.": "argmax => argmin",
        "Those are probabilities of the right class. Count the images whose largest score is the right one.": (
            "return ... => answers.softmax(-1)[torch.arange(len(labels)), :, labels].mean(0)"
        ),
        "That is one number: how good the experts are together. Each is to be judged alone.": (
            "return ... => (answers.sum(1).argmax(-1) == labels).float().mean()"
        ),
    },
)
def my_strength(ask: Ask) -> None:
    for seed, (T, E, C) in enumerate([(6, 2, 3), (4, 3, 2), (7, 1, 4), (3, 3, 3)]):
        given = {"answers": (10 * draw(seed, T, E, C)).round(), "labels": draw(seed, T, C).argmax(-1)}
        says = "for each expert the part of the images that it gets right when it answers alone"
        where = f"{E} {'expert answers' if E == 1 else 'experts answer'} {T} images, with {C} classes"
        ask.gives(given, says, where=where)
    given = {"answers": (10 * draw(7, 5, 2, 2)).round(), "labels": torch.tensor([0, 0, 0, 0, 1])}
    ask.gives(given, says, where="four of five images are of one class")
    given = {"answers": draw(9, 6, 4, 3), "labels": torch.tensor([0, 2, 1, 1, 0, 2])}
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    moved = {"answers": given["answers"][order], "labels": given["labels"][order]}
    says = "With the images in another order, each expert should be as strong as before."
    ask.follows(given, moved, lambda found: found, says)
    says = "With the experts in another order, each should keep its strength."
    ask.follows(given, given | {"answers": given["answers"].flip(1)}, lambda found: found.flip(0), says)
    says = "With all scores three times as large, the answers are the same, and so is the strength."
    ask.follows(given, given | {"answers": 3 * given["answers"]}, lambda found: found, says)
