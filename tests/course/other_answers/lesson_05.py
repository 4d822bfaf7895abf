"""Answers to lesson 05's exercises in other styles."""

import torch
from answers import right


@right("05.handicap")
def by_what_is_missing(logits):
    return (0 - logits).sum(dim=0) / len(logits)


@right("05.handicap")
def column_by_column(logits):
    return torch.tensor([-sum(column) / len(column) for column in logits.T.tolist()])


@right("05.handicap")
def from_the_centred_logits(logits):
    centred = logits - logits.mean(dim=0, keepdim=True)
    return (centred - logits)[0]


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


@right("05.my_cv2")
def by_hand(shares):
    mean = sum(shares.tolist()) / len(shares)
    return sum((share - mean) ** 2 for share in shares.tolist()) / len(shares) / mean**2


@right("05.my_cv2")
def whose_mean_is_one_over_their_number(shares):
    return len(shares) * (shares**2).sum() - 1


@right("05.my_cv2")
def by_numpy(shares):
    return (shares.numpy().std() / shares.numpy().mean()) ** 2


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
