"""Answers to lesson 13's exercises in other styles."""

import math

import torch
import torch.nn.functional as F
from answers import right, wrong


@right("13.path_layer")
def token_by_token(x, w_in, b_in, w_out, depth):
    answers = []
    for token in x:
        n, answer = 0, torch.zeros(w_out.shape[1])
        for _ in range(depth):
            score = token @ w_in[n] + b_in[n]
            answer = answer + F.gelu(score) * w_out[n]
            n = 2 * n + (2 if score >= 0 else 1)
        answers.append(answer)
    return torch.stack(answers)


@right("13.path_layer")
def all_nodes_and_a_mask(x, w_in, b_in, w_out, depth):
    scores = x @ w_in.T + b_in
    on_the_way = torch.zeros_like(scores)
    node = torch.zeros(len(x), 1, dtype=torch.long)
    for _ in range(depth):
        on_the_way.scatter_(1, node, 1.0)
        node = 2 * node + torch.where(scores.gather(1, node) < 0, 1, 2)
    return (F.gelu(scores) * on_the_way) @ w_out


@right("13.path_layer")
def from_one_node_down(x, w_in, b_in, w_out, depth):
    def below(node, token, levels):
        if not levels:
            return 0 * w_out[0]
        score = (token * w_in[node]).sum() + b_in[node]
        return F.gelu(score) * w_out[node] + below(2 * node + 1 + int(score >= 0), token, levels - 1)

    return torch.stack([below(0, token, depth) for token in x])


@right("13.verdict")
def word_by_word(low, high, limit):
    if low > limit:
        return "ahead"
    if high < -limit:
        return "behind"
    return "alike" if max(abs(low), abs(high)) <= limit else "unsettled"


@right("13.verdict")
def by_where_the_ends_lie(low, high, limit):
    below, above = ((end > limit) - (end < -limit) for end in (low, high))
    return {(1, 1): "ahead", (-1, -1): "behind", (0, 0): "alike"}.get((below, above), "unsettled")


@right("13.verdict")
def as_tensors(low, high, limit):
    ends = torch.tensor([low, high])
    for word, all_of in (("ahead", ends > limit), ("behind", ends < -limit), ("alike", ends.abs() <= limit)):
        if all_of.all():
            return word
    return "unsettled"


@right("13.multiplications")
def kind_by_kind(kind, n, d, h):
    if kind == "dense":
        return 2 * d * n * h
    if kind == "mixture":
        return n * d + 2 * d * h
    questions = round(math.log2(n))
    return questions * 2 * d if kind == "path" else questions * d + 2 * d * h


@right("13.multiplications")
def in_products_of_width(kind, n, d, h):
    questions = 0
    while 2**questions < n:
        questions += 1
    return d * {"dense": 2 * n * h, "mixture": n + 2 * h, "tree": questions + 2 * h, "path": 2 * questions}[kind]


@right("13.multiplications")
def as_a_tensor(kind, n, d, h):
    questions = torch.tensor(float(n)).log2()
    row = ["dense", "mixture", "tree", "path"].index(kind)
    choose = torch.tensor([0.0, n, questions, 0.0])[row]
    answer = torch.tensor([float(n * h), h, h, questions])[row]
    return choose * d + answer * 2 * d


@right("13.choose_path")
def by_sign_and_matmul(x, w, b, ways):
    yes = torch.where(torch.nn.functional.linear(x, w, b) >= 0, 1.0, -1.0)
    return torch.matmul(ways, yes.T).max(0).indices


@right("13.choose_path")
def by_agreement(x, w, b, ways):
    yes = torch.where(x @ w.T + b >= 0, 1.0, -1.0)
    agree = (yes[:, None] * ways[None]).sum(-1) == ways.abs().sum(-1)
    return agree.float().argmax(1)


@right("13.choose_path")
def one_after_the_other(x, w, b, ways):
    leaves = []
    for token in x:
        signs = [1 if token @ row + bias >= 0 else -1 for row, bias in zip(w, b, strict=True)]
        scores = [sum(s * a for s, a in zip(signs, way.tolist(), strict=True)) for way in ways]
        leaves.append(scores.index(max(scores)))
    return torch.tensor(leaves)


@wrong("13.choose_path", "Each counts")
def by_the_logits(x, w, b, ways):
    return ((x @ w.T + b) @ ways.T).argmax(-1)


@wrong("13.verdict", "reaches across a limit is unsettled")
def a_narrow_interval(low, high, limit):
    if low > limit:
        return "ahead"
    if high < -limit:
        return "behind"
    return "alike" if high - low < limit else "unsettled"
