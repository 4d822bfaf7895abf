"""Answers to lesson 02's exercises: what a learner may write."""

import torch
from answers import right, wrong

# ── by_loop ──


@wrong("02.by_loop", "One expert answers the whole batch")
def one_for_the_batch(x, oracle, experts, n_classes):
    return experts[oracle[0]](x)


@wrong("02.by_loop", "in the order of the experts")
def not_put_back(x, oracle, experts, n_classes):
    return torch.cat([expert(x[oracle == i]) for i, expert in enumerate(experts)])


@wrong("02.by_loop", "This happens where expert 1 gets no image")
def breaks_on_an_empty_expert(x, oracle, experts, n_classes):
    scores = torch.zeros(len(x), n_classes)
    for i, expert in enumerate(experts):
        scores[oracle == i] = torch.stack([expert(image[None])[0] for image in x[oracle == i]])
    return scores


@wrong("02.by_loop", "all experts say")
def everybody_answers(x, oracle, experts, n_classes):
    return sum(expert(x) for expert in experts)


@wrong("02.by_loop", "Right, but expert 0 was asked about 3 images, and the oracle sends it 1")
def everybody_asked(x, oracle, experts, n_classes):
    everyone = torch.stack([expert(x) for expert in experts])
    return everyone[oracle, torch.arange(len(x))]


@wrong("02.by_loop", "are zeros")
def written_into_a_copy(x, oracle, experts, n_classes):
    scores = torch.zeros(len(x), n_classes)
    for i, expert in enumerate(experts):
        scores[oracle == i][:] = expert(x[oracle == i])
    return scores


@wrong("02.by_loop", "not all of `oracle`")
def list_asked_by_a_tensor(x, oracle, experts, n_classes):
    return experts[oracle](x)


@wrong("02.by_loop", "Give an expert its own images")
def all_images_into_some_rows(x, oracle, experts, n_classes):
    scores = torch.zeros(len(x), n_classes)
    for i, expert in enumerate(experts):
        scores[oracle == i] = expert(x)
    return scores


@wrong("02.by_loop", "Only the last expert's answers are left")
def overwritten(x, oracle, experts, n_classes):
    for i, expert in enumerate(experts):
        scores = expert(x[oracle == i])
    return scores


@wrong("02.by_loop", "Does the loop return too early")
def returned_in_the_loop(x, oracle, experts, n_classes):
    scores = torch.zeros(len(x), n_classes)
    for i, expert in enumerate(experts):
        scores[oracle == i] = expert(x[oracle == i])
        return scores


@wrong("02.by_loop", "Expert 0 answers every image")
def expert_0_alone(x, oracle, experts, n_classes):
    return experts[0](x)


@right("02.by_loop")
def image_by_image(x, oracle, experts, n_classes):
    return torch.stack([experts[oracle[b]](x[b]) for b in range(len(x))])


@right("02.by_loop")
def sorted_first(x, oracle, experts, n_classes):
    answers = torch.cat([expert(x[oracle == i]) for i, expert in enumerate(experts)])
    return answers[oracle.argsort(stable=True).argsort()]


@right("02.by_loop")
def only_who_is_named(x, oracle, experts, n_classes):
    scores = torch.empty(len(x), n_classes)
    for i in oracle.unique():
        scores[oracle == i] = experts[i](x[oracle == i])
    return scores


# ── stacked ──


@wrong("02.stacked", "b_in is missing")
def no_bias_in(x, w_in, b_in, w_out, b_out):
    neurons = torch.einsum("bd,ehd->beh", x, w_in).relu()
    return torch.einsum("beh,eho->beo", neurons, w_out) + b_out


@wrong("02.stacked", "b_out is missing")
def no_bias_out(x, w_in, b_in, w_out, b_out):
    neurons = (torch.einsum("bd,ehd->beh", x, w_in) + b_in).relu()
    return torch.einsum("beh,eho->beo", neurons, w_out)


@wrong("02.stacked", "Both biases are missing")
def no_bias(x, w_in, b_in, w_out, b_out):
    return torch.einsum("beh,eho->beo", torch.einsum("bd,ehd->beh", x, w_in).relu(), w_out)


@wrong("02.stacked", "w_out is turned round")
def w_out_transposed(x, w_in, b_in, w_out, b_out):
    neurons = (torch.einsum("bd,ehd->beh", x, w_in) + b_in).relu()
    return torch.einsum("beh,eoh->beo", neurons, w_out) + b_out


@wrong("02.stacked", "no relu")
def linear(x, w_in, b_in, w_out, b_out):
    neurons = torch.einsum("bd,ehd->beh", x, w_in) + b_in
    return torch.einsum("beh,eho->beo", neurons, w_out) + b_out


@wrong("02.stacked", "The relu comes last")
def relu_last(x, w_in, b_in, w_out, b_out):
    return linear(x, w_in, b_in, w_out, b_out).relu()


@wrong("02.stacked", "has shape (4, 2); it should be (4, 3, 2)")
def summed(x, w_in, b_in, w_out, b_out):
    return linear(x, w_in, b_in, w_out, b_out).sum(1)


@wrong("02.stacked", "after the bias b_in")
def relu_before_the_bias(x, w_in, b_in, w_out, b_out):
    neurons = torch.einsum("bd,ehd->beh", x, w_in).relu() + b_in
    return torch.einsum("beh,eho->beo", neurons, w_out) + b_out


@wrong("02.stacked", "a relu at the end, too")
def relu_twice(x, w_in, b_in, w_out, b_out):
    neurons = (torch.einsum("bd,ehd->beh", x, w_in) + b_in).relu()
    return (torch.einsum("beh,eho->beo", neurons, w_out) + b_out).relu()


@wrong("02.stacked", "Is e on the right of the einsum")
def experts_summed(x, w_in, b_in, w_out, b_out):
    neurons = (torch.einsum("bd,ehd->beh", x, w_in) + b_in).relu()
    return torch.einsum("beh,eho->bo", neurons, w_out) + b_out


@wrong("02.stacked", "A reshape swaps no axes")
def reshaped(x, w_in, b_in, w_out, b_out):
    neurons = torch.relu(x @ w_in.transpose(1, 2) + b_in[:, None])
    return (neurons @ w_out + b_out[:, None]).reshape(len(x), len(w_in), -1)


@wrong("02.stacked", "w_in is turned round")
def w_in_turned(x, w_in, b_in, w_out, b_out):
    neurons = (torch.einsum("bd,edh->beh", x, w_in) + b_in).relu()
    return torch.einsum("beh,eho->beo", neurons, w_out) + b_out


@right("02.stacked")
def by_loop(x, w_in, b_in, w_out, b_out):
    answers = []
    for e in range(w_in.shape[0]):
        answers.append(torch.relu(x @ w_in[e].T + b_in[e]) @ w_out[e] + b_out[e])
    return torch.stack(answers, dim=1)


@right("02.stacked")
def by_batched_products(x, w_in, b_in, w_out, b_out):
    neurons = torch.relu(x @ w_in.transpose(1, 2) + b_in[:, None])  # (E, B, h)
    return (neurons @ w_out + b_out[:, None]).transpose(0, 1)


# ── bill ──


@wrong("02.bill", "That is the total twice")
def total_as_active(n_experts, n_asked, d, h, d_out):
    total = n_experts * (d * h + h + h * d_out + d_out)
    return total, total


@wrong("02.bill", "other way round")
def swapped(n_experts, n_asked, d, h, d_out):
    one = d * h + h + h * d_out + d_out
    return n_asked * one, n_experts * one


@wrong("02.bill", "The biases are missing")
def no_biases(n_experts, n_asked, d, h, d_out):
    one = d * h + h * d_out
    return n_experts * one, n_asked * one


@wrong("02.bill", "The way out is missing")
def way_in_only(n_experts, n_asked, d, h, d_out):
    return n_experts * (d + 1) * h, n_asked * (d + 1) * h


@wrong("02.bill", "wants parentheses")
def no_parentheses(n_experts, n_asked, d, h, d_out):
    return n_experts * d * h + h + h * d_out + d_out, n_asked * d * h + h + h * d_out + d_out


@wrong("02.bill", "It should return two whole numbers")
def out_of_the_inputs(n_experts, n_asked, d, h, d_out):
    one = d * h + h + d * d_out + d_out
    return n_experts * one, n_asked * one


@wrong("02.bill", "2 things: total, active")
def total_only(n_experts, n_asked, d, h, d_out):
    return n_experts * ((d + 1) * h + (h + 1) * d_out)


@wrong("02.bill", "one expert's parameters")
def bill_of_one(n_experts, n_asked, d, h, d_out):
    one = (d + 1) * h + (h + 1) * d_out
    return n_experts * one, one


@wrong("02.bill", "biases on the way out")
def no_biases_out(n_experts, n_asked, d, h, d_out):
    one = (d + 1) * h + h * d_out
    return n_experts * one, n_asked * one


@right("02.bill")
def by_division(n_experts, n_asked, d, h, d_out):
    total = n_experts * ((d + 1) * h + (h + 1) * d_out)
    return total, total / n_experts * n_asked


@right("02.bill")
def counted_on_modules(n_experts, n_asked, d, h, d_out):
    layers = torch.nn.Linear(d, h), torch.nn.Linear(h, d_out)
    one = torch.tensor(sum(p.numel() for layer in layers for p in layer.parameters()))
    return [n_experts * one, n_asked * one]
