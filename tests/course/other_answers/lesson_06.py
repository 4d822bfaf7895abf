"""Answers to lesson 06's exercises: what a learner may write."""

import torch
from answers import right, wrong

# ── others_move ──


@wrong("06.others_move", "sign is turned round")
def with_the_gradient(x, others, dL_dz, eta):
    return eta * (others @ x)[:, None] * dL_dz


@wrong("06.others_move", "eta, is missing")
def no_eta(x, others, dL_dz, eta):
    return -(others @ x)[:, None] * dL_dz


@wrong("06.others_move", "both the sign and the size")
def neither_sign_nor_size(x, others, dL_dz, eta):
    return torch.outer(others @ x, dL_dz)


@wrong("06.others_move", "pixel by pixel")
def by_pixel(x, others, dL_dz, eta):
    return -eta * dL_dz * (others * x)


@wrong("06.others_move", "row for each expert")
def experts_first(x, others, dL_dz, eta):
    return -eta * torch.outer(dL_dz, others @ x)


@wrong("06.others_move", "on x itself")
def on_itself(x, others, dL_dz, eta):
    return -eta * (x @ x) * dL_dz.repeat(len(others), 1)


@wrong("06.others_move", "nothing in common")
def no_product(x, others, dL_dz, eta):
    return -eta * torch.ones(len(others), 1) * dL_dz


@wrong("06.others_move", "summed over the experts")
def summed(x, others, dL_dz, eta):
    return -eta * (others @ x) * dL_dz.sum()


@right("06.others_move")
def by_the_matrix(x, others, dL_dz, eta):
    step = -eta * dL_dz[:, None] * x  # how the rows move
    return others @ step.T


@right("06.others_move")
def one_by_one(x, others, dL_dz, eta):
    return torch.stack([torch.stack([-eta * g * torch.dot(other, x) for g in dL_dz]) for other in others])


# ── noisy_topk ──


def best(logits, k):
    values, chosen = logits.topk(k)
    return chosen, values.softmax(-1)


@wrong("06.noisy_topk", "noise in evaluation")
def always(logits, std, k, training):
    return best(logits + std * torch.randn_like(logits), k)


@wrong("06.noisy_topk", "do not multiply by it")
def multiplied_noise(logits, std, k, training):
    return best(logits * (1 + std * torch.randn_like(logits)) if training else logits, k)


@wrong("06.noisy_topk", "never changes who is first")
def never(logits, std, k, training):
    return best(logits, k)


@wrong("06.noisy_topk", "drawn for each expert by itself")
def one_for_all_experts(logits, std, k, training):
    return best(logits + std * torch.randn(len(logits), 1) if training else logits, k)


@wrong("06.noisy_topk", "All tokens get the same noise")
def one_draw_for_the_batch(logits, std, k, training):
    noise = torch.tensor([-1.0, 1.0, 0.5, 0.2, 0.1])[: logits.shape[1]] * torch.randn(1).abs() * 5
    return best(logits + std * noise if training else logits, k)


@wrong("06.noisy_topk", "come from the logits without it")
def clean_weights(logits, std, k, training):
    noisy = logits + std * torch.randn_like(logits) if training else logits
    chosen = noisy.topk(k).indices
    return chosen, logits.gather(-1, chosen).softmax(-1)


@wrong("06.noisy_topk", "does not depend on std")
def not_scaled(logits, std, k, training):
    some = training and bool(torch.as_tensor(std).any())
    return best(logits + torch.randn_like(logits) if some else logits, k)


@wrong("06.noisy_topk", "in proportion to std")
def variance_for_deviation(logits, std, k, training):
    return best(logits + std**0.5 * torch.randn_like(logits) if training else logits, k)


@wrong("06.noisy_topk", "another size")
def uniform(logits, std, k, training):
    return best(logits + std * (torch.rand_like(logits) - 0.5) if training else logits, k)


@wrong("06.noisy_topk", "over all experts")
def softmax_over_all(logits, std, k, training):
    if training:
        logits = logits + std * torch.randn_like(logits)
    weights, chosen = logits.softmax(-1).topk(k)
    return chosen, weights


@wrong("06.noisy_topk", "in the other order")
def swapped(logits, std, k, training):
    return noisy(logits, std, k, training)[::-1]


@wrong("06.noisy_topk", "changes the logits that it is given")
def in_place(logits, std, k, training):
    with torch.no_grad():
        if training:
            logits += std * torch.randn_like(logits)
    return best(logits, k)


@wrong("06.noisy_topk", "without a softmax")
def without_softmax(logits, std, k, training):
    if training:
        logits = logits + std * torch.randn_like(logits)
    best, chosen = logits.topk(k, dim=-1)
    return chosen, best


@wrong("06.noisy_topk", "without a draw")
def added_to_the_first(logits, std, k, training):
    noise = torch.randn_like(logits) if training else torch.eye(logits.shape[-1])[0]
    best, chosen = (logits + std * noise).topk(k, dim=-1)
    return chosen, best.softmax(-1)


@right("06.noisy_topk")
def noisy(logits, std, k, training):
    return best(logits + std * torch.randn_like(logits) * training, k)


@wrong("06.noisy_topk", "No gradient")
def normal_around_the_logits(logits, std, k, training):
    scale = torch.as_tensor(std, dtype=logits.dtype).expand_as(logits)
    return best(torch.normal(logits, scale) if training else logits, k)


@right("06.noisy_topk")
def by_sorting(logits, std, k, training):
    noise = std * torch.normal(0.0, 1.0, logits.shape) if training else 0
    ranked = (logits + noise).sort(dim=1, descending=True)
    weights = ranked.values[:, :k].exp()
    return ranked.indices[:, :k], weights / weights.sum(1, keepdim=True)


# ── flip_probability ──


@wrong("06.flip_probability", "It draws numbers")
def sampled(gap, std):
    return (std * 2**0.5 * torch.randn(1000, 1) > gap).float().mean(0)


@wrong("06.flip_probability", "not the root of 2")
def root_of_both(gap, std):
    return torch.special.ndtr(-gap / (std * 2) ** 0.5)


@wrong("06.flip_probability", "stays first")
def stays(gap, std):
    return torch.special.ndtr(gap / (2**0.5 * std))


@wrong("06.flip_probability", "Both logits get noise")
def one_noise(gap, std):
    return 1 - torch.special.ndtr(gap / std)


@wrong("06.flip_probability", "standard deviations do not")
def deviations_added(gap, std):
    return torch.special.ndtr(-gap / (std + std))


@wrong("06.flip_probability", "multiply by std")
def multiplied(gap, std):
    return torch.special.ndtr(-gap * (2**0.5) * std)


@wrong("06.flip_probability", "on one side")
def both_sides(gap, std):
    return 2 * torch.special.ndtr(-gap / (2**0.5 * std))


@wrong("06.flip_probability", "by the variance")
def by_variance(gap, std):
    return torch.special.ndtr(-gap / (2 * std**2))


@right("06.flip_probability")
def by_erfc(gap, std):
    return torch.erfc(gap / (2 * std)) / 2


@right("06.flip_probability")
def by_distribution(gap, std):
    return torch.distributions.Normal(0.0, (std**2 + std**2) ** 0.5).cdf(-gap)


# ── expected_load ──


def load(logits, to_beat, std):
    return torch.special.ndtr((logits - to_beat) / std).sum(0)


@wrong("06.expected_load", "would have to beat itself")
def number_k_of_all(logits, noisy, std, k):
    return load(logits, noisy.topk(k).values[:, -1:], std)


@wrong("06.expected_load", "beat number k + 1")
def number_k_plus_one(logits, noisy, std, k):
    return load(logits, noisy.topk(k + 1).values[:, -1:], std)


@wrong("06.expected_load", "`>=`, not `>`")
def without_number_k(logits, noisy, std, k):
    order = noisy.topk(k + 1).values
    return load(logits, torch.where(noisy > order[:, [k - 1]], order[:, [k]], order[:, [k - 1]]), std)


@wrong("06.expected_load", "The others keep their noise")
def clean_others(logits, noisy, std, k):
    return right_load(logits, logits, std, k)


@wrong("06.expected_load", "not from the noisy one")
def from_noisy(logits, noisy, std, k):
    return right_load(noisy, noisy, std, k)


@wrong("06.expected_load", "A load is a sum")
def mean_load(logits, noisy, std, k):
    return right_load(logits, noisy, std, k) / logits.shape[0]


@wrong("06.expected_load", "divide by std")
def not_divided(logits, noisy, std, k):
    return right_load(logits, noisy, torch.ones_like(std), k)


@right("06.expected_load")
def right_load(logits, noisy, std, k):
    loads = []
    for i in range(logits.shape[1]):
        others = torch.cat([noisy[:, :i], noisy[:, i + 1 :]], -1)
        to_beat = others.sort(-1, descending=True).values[:, k - 1]
        loads.append(torch.special.ndtr((logits[:, i] - to_beat) / std[:, i]).sum())
    return torch.stack(loads)


@right("06.expected_load")
def by_masks(logits, noisy, std, k):
    order = noisy.sort(-1, descending=True)
    inside = torch.zeros_like(noisy).scatter(-1, order.indices[:, :k], 1.0)
    to_beat = inside * order.values[:, [k]] + (1 - inside) * order.values[:, [k - 1]]
    return torch.distributions.Normal(0.0, 1.0).cdf((logits - to_beat) / std).sum(0)


# ── wavers ──


@wrong("06.wavers", "came in training mode, where noise is right")
def in_its_own_mode(moe, x):
    return not torch.equal(moe(x)[0], moe(x)[0])


@wrong("06.wavers", "in another mode than before")
def left_in_evaluation(moe, x):
    moe.eval()
    return not torch.equal(moe(x)[0], moe(x)[0])


@wrong("06.wavers", "yes where the answers stay")
def turned_round(moe, x):
    return not asked_twice(moe, x)


def after(compare):
    """A probe that compares the two results, routing and all, in its own way."""

    def probe(moe, x):
        mode = moe.training
        moe.eval()
        first, second = moe(x), moe(x)
        moe.train(mode)
        return not torch.equal(compare(*first), compare(*second))

    return probe


asked_twice = right("06.wavers")(after(lambda y, routing: y))
for compare in (lambda y, _: y[:2], lambda y, _: y.argmax(-1), lambda y, routing: routing.indices):
    wrong("06.wavers", "Compare the whole answers")(after(compare))


@wrong("06.wavers", "no of every mixture")
def one_seed_for_both(moe, x):
    mode = moe.training
    moe.eval()
    torch.manual_seed(0)
    first = moe(x)[0]
    torch.manual_seed(0)
    second = moe(x)[0]
    moe.train(mode)
    return not torch.equal(first, second)


@right("06.wavers")
def on_a_copy(moe, x):
    import copy

    still = copy.deepcopy(moe).eval()
    return not torch.allclose(still(x)[0], still(x)[0], rtol=0, atol=0)
