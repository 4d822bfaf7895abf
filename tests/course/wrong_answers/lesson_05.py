"""Answers to lesson 05's exercises: what a learner may write."""

import torch
from answers import right, wrong

# ── my_share ──


@wrong("05.my_share", "Those are counts")
def only_counted(chosen, n_experts):
    return torch.bincount(chosen.flatten(), minlength=n_experts)


@wrong("05.my_share", "missing at the end")
def last_experts_missing(chosen, n_experts):
    return torch.bincount(chosen.flatten()) / chosen.numel()


@wrong("05.my_share", "left out")
def unused_left_out(chosen, n_experts):
    return torch.stack([(chosen == e).float().mean() for e in range(n_experts) if (chosen == e).any()])


@wrong("05.my_share", "add up to k")
def over_tokens(chosen, n_experts):
    return torch.stack([(chosen == e).float().sum() / chosen.shape[0] for e in range(n_experts)])


@wrong("05.my_share", "Only the first choice")
def first_choice(chosen, n_experts):
    first = chosen[:, 0]
    return torch.bincount(first, minlength=n_experts) / len(first)


@wrong("05.my_share", "number of experts")
def over_experts(chosen, n_experts):
    return torch.bincount(chosen.flatten(), minlength=n_experts) / n_experts


@wrong("05.my_share", "a list of 5 things")
def as_a_list(chosen, n_experts):
    return [(chosen == e).float().mean().item() for e in range(n_experts)]


@right("05.my_share")
def by_one_hot(chosen, n_experts):
    return torch.nn.functional.one_hot(chosen, n_experts).float().mean((0, 1))


@right("05.my_share")
def expert_by_expert(chosen, n_experts):
    return torch.stack([(chosen == e).float().mean() for e in range(n_experts)])


@right("05.my_share")
def by_python(chosen, n_experts):
    counts = [0] * n_experts
    for row in chosen.tolist():
        for expert in row:
            counts[expert] += 1
    return torch.tensor(counts) / sum(counts)


# ── my_cv2 ──


@wrong("05.my_cv2", "divides by E - 1")
def unbiased(shares):
    return shares.var() / shares.mean() ** 2


@wrong("05.my_cv2", "Square it")
def not_squared(shares):
    return (((shares - shares.mean()) ** 2).mean() ** 0.5) / shares.mean()


@wrong("05.my_cv2", "has to be squared")
def index_of_dispersion(shares):
    return ((shares - shares.mean()) ** 2).mean() / shares.mean()


@wrong("05.my_cv2", "Divide it by the square of the mean")
def variance(shares):
    return ((shares - shares.mean()) ** 2).mean()


@wrong("05.my_cv2", "before you square")
def mean_left_in(shares):
    return shares.square().mean() / shares.mean().square()


@wrong("05.my_cv2", "the sum of the squares")
def not_averaged(shares):
    return ((shares - shares.mean()) ** 2).sum() / shares.mean() ** 2


@wrong("05.my_cv2", "upside down")
def inverse(shares):
    return shares.mean() ** 2 / shares.var(correction=0)


@right("05.my_cv2")
def by_hand(shares):
    mean = sum(shares.tolist()) / len(shares)
    return sum((share - mean) ** 2 for share in shares.tolist()) / len(shares) / mean**2


@right("05.my_cv2")
def whose_mean_is_one_over_their_number(shares):
    return len(shares) * (shares**2).sum() - 1


# ── my_strength ──


@wrong("05.my_strength", "a number for each image")
def of_each_image(answers, labels):
    return (answers.argmax(-1) == labels[:, None]).float().mean(-1)


@wrong("05.my_strength", "Those are counts")
def number_right(answers, labels):
    return torch.stack([(answers[:, e].argmax(-1) == labels).sum() for e in range(answers.shape[1])])


@wrong("05.my_strength", "is lined up with the experts")
def no_second_dimension(answers, labels):
    return (answers.argmax(-1) == labels).float().mean(0)


@wrong("05.my_strength", "no mean")
def not_yet_numbers(answers, labels):
    return (answers.argmax(-1) == labels[:, None]).mean(0)


@wrong("05.my_strength", "over the classes")
def best_expert(answers, labels):
    return (answers.argmax(1) == labels[:, None]).float().mean(0)


@wrong("05.my_strength", "good the experts are together")
def together(answers, labels):
    return (answers.sum(1).argmax(-1) == labels).float().mean()


@wrong("05.my_strength", "the mean over the experts")
def averaged(answers, labels):
    return (answers.argmax(-1) == labels[:, None]).float().mean()


@wrong("05.my_strength", "the smallest score")
def least_likely(answers, labels):
    return (answers.argmin(-1) == labels[:, None]).float().mean(0)


@right("05.my_strength")
def one_after_the_other(answers, labels):
    return torch.stack([(answers[:, e].argmax(-1) == labels).float().mean() for e in range(answers.shape[1])])


@right("05.my_strength")
def experts_first(answers, labels):
    guesses = answers.softmax(-1).max(-1).indices
    return guesses.T.eq(labels).float().mean(-1)


@right("05.my_strength")
def counted_in_python(answers, labels):
    T, E, _ = answers.shape
    right = [sum(int(answers[t, e].argmax() == labels[t]) for t in range(T)) for e in range(E)]
    return torch.tensor(right) / T
