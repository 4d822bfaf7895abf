"""Lesson 11: when a mixture computes for longer than it reads, room, the price of a request, experts over machines."""

import torch

from moe_tutorial.course.vocabulary import Ask, checks


@checks(
    "11.crossing",
    hints=(
        "A dense layer needs F b / 2 tokens, so that computing takes as long as reading. How many have to come, so "
        "that each expert gets as many?",
        "Of T tokens an expert gets T k / E. So T is E / k times as large as what one expert needs.",
        "`n_experts / top_k * flop_per_byte * bytes_a_weight / 2`",
    ),
    mistakes={
        "It is upside down: more experts get fewer tokens each, so more tokens have to come. E / k, not k / E.": (
            "n_experts / top_k => top_k / n_experts"
        ),
        "You round E / k down. It stays as it is.": "n_experts / top_k => n_experts // top_k",
        "You forget that each token asks k experts, so that each expert gets more: divide by k.": " / top_k => ",
        "That is what one expert needs. Of T tokens it gets only T k / E.": "n_experts / top_k * => ",
        "You forget the 2: each token takes two operations with a weight.": " / 2 => ",
        "You multiply by the 2. Two operations a token make the arithmetic longer, so fewer tokens are enough.": (
            "/ 2 => * 2"
        ),
        "You forget the bytes of a weight: a weight that is twice as large is read for twice as long.": (
            " * bytes_a_weight => "
        ),
        "You divide by the bytes of a weight. A larger weight is read for longer, so MORE tokens are needed.": (
            "* bytes_a_weight => / bytes_a_weight"
        ),
        "You divide by the FLOP per byte. A machine that computes faster needs MORE tokens, to be busy as long.": (
            "* flop_per_byte => / flop_per_byte"
        ),
        "You round down. The number stays as it is: it says where two times are equal.": (
            "return ... => n_experts * flop_per_byte * bytes_a_weight // (2 * top_k)"
        ),
    },
)
def crossing(ask: Ask) -> None:
    for E, k, balance, size in ((17, 3, 7.0, 4), (64, 8, 300.0, 2), (5, 1, 0.6, 1), (9, 5, 7.0, 2)):
        given = {"n_experts": E, "top_k": k, "flop_per_byte": balance, "bytes_a_weight": size}
        where = f"{k} of {E} experts are asked, and a weight has {size} byte{'s' * (size > 1)}"
        ask.gives(given, "E / k times the tokens of a dense layer", where=where)
    says = "With twice as many experts, and twice as many asked, the number should be the same."
    ask.follows(given, given | {"n_experts": 18, "top_k": 10}, lambda tokens: tokens, says)
    says = "With half the bytes and twice the FLOP per byte, the number should be the same."
    ask.follows(given, given | {"flop_per_byte": 14.0, "bytes_a_weight": 1}, lambda tokens: tokens, says)


@checks(
    "11.price",
    hints=(
        "First: how many replicas? As many as it takes, and no part of one can be rented.",
        "In one second `rate` requests come, and `replicas * gpus` GPUs work for one second each.",
        "`replicas = math.ceil(rate / most)`, and then `replicas * gpus / rate`.",
    ),
    mistakes={
        "That is the price if all replicas are full. A part of a replica cannot be rented: round up.": (
            "math.ceil(rate / most) => rate / most"
        ),
        "You round down, or to the nearest, and then some requests are not served in time. Round up.": (
            "math.ceil(rate / most) => rate // most"
        ),
        "You rent one replica more than needed, where the requests fill the others exactly.": (
            "math.ceil(rate / most) => rate // most + 1"
        ),
        "Those are the GPUs that are rented. Their second is shared by the requests that come in it.": " / rate => ",
        "A replica comes whole. Round up the replicas first, and then count their GPUs.": (
            "return ... => math.ceil(rate / most * gpus) / rate"
        ),
        "You count replicas, and not their GPUs.": "replicas * gpus => replicas",
        "You rent one replica, however many requests come. How many replicas do they need?": "replicas * gpus => gpus",
        "That is how many requests a GPU-second serves. Turn it over.": "return ... => rate / (replicas * gpus)",
    },
)
def price(ask: Ask) -> None:
    for rate, most, gpus in ((110.0, 50.0, 8), (90.0, 35.0, 4), (10.0, 40.0, 5), (80.0, 40.0, 1)):
        given = {"rate": rate, "most": most, "gpus": gpus}
        ask.gives(given, "the GPU-seconds of all rented replicas, shared by the requests of a second")
    says = "With twice the requests, and replicas that serve twice as many, a request should cost half."
    ask.follows(given, {"rate": 160.0, "most": 80.0, "gpus": 1}, lambda price: price / 2, says)


@checks(
    "11.kept",
    hints=(
        "A choice finds room if, counted up to and with it, its expert was asked at most `room` times.",
        "`asked.cumsum(0)` counts, from above, how often each expert was asked. Of each row only one column matters: "
        "that of the choice's own expert.",
        "`place = (asked.cumsum(0) * asked).sum(-1)` is each choice's place at its expert, 1 for the first. It stays "
        "if that is at most `room`; `view_as(indices)` brings back (T, k).",
    ),
    mistakes={
        "One too few stays at each expert: the last who finds room stays, too.": "place <= room => place < room",
        "One too many stays at each expert. Does your count begin with 0?": "place <= room => place - 1 <= room",
        "You keep those that find no room.": "place <= room => place > room",
        "All stay: every choice has place 1. Do you count along the experts, and not from choice to choice?": (
            "asked.cumsum(0) * asked => asked.cumsum(1) * asked"
        ),
        "You take the count of the fullest expert, and not of the one that this choice asks.": (
            "(asked.cumsum(0) * asked).sum(-1) => asked.cumsum(0).max(-1).values"
        ),
        "`asked.cumsum(0)` has a column for each expert. Keep the one asked: multiply by `asked`, then `.sum(-1)`.": (
            "(asked.cumsum(0) * asked).sum(-1) => asked.cumsum(0)"
        ),
        "You keep the LAST to come. Who comes first, stays.": (
            "asked.cumsum(0) * asked => asked.flip(0).cumsum(0).flip(0) * asked"
        ),
        "That is one for each choice, in a row. `view_as(indices)` gives it back the shape (T, k).": (
            ".view_as(indices) => "
        ),
        "Your choices come column by column: all first choices, and then all second ones. They come token by token.": (
            "return ... => (((c := (indices.T.flatten()[:, None] == torch.arange(n_experts))).cumsum(0) * c).sum(-1) "
            "<= room).view_as(indices.T).T"
        ),
        "Each column has its own count in your answer. An expert's room is for all choices, first and second.": (
            "return ... => torch.stack([((c := (column[:, None] == torch.arange(n_experts))).cumsum(0) * c).sum(-1) <= "
            "room for column in indices.T], -1)"
        ),
        "You compare all experts' counts. Pick those of the asked one with `[asked]`, and bring back (T, k).": (
            "return ... => asked.cumsum(0) <= room"
        ),
        "You count the tokens and not those that ask this expert: all experts are full at once.": (
            "return ... => (torch.arange(indices.numel()) < room).view_as(indices)"
        ),
        "A full expert loses all its choices in your answer. The first `room` of them stay.": (
            "return ... => (asked.sum(0) <= room)[indices]"
        ),
        "You return places at the experts. Compare them with `room`.": "return ... => place.view_as(indices)",
        "A token loses all its choices in your answer, if one finds no room. Each is kept or dropped by itself.": (
            "return ... => (place <= room).view_as(indices).all(-1, keepdim=True).expand_as(indices)"
        ),
    },
)
def kept(ask: Ask) -> None:
    cases = (
        ([[0], [0], [1], [0], [1], [1], [2], [0]], 4, 2),
        ([[0, 2], [2, 0], [1, 2], [2, 1], [1, 2]], 4, 2),
        ([[1, 0], [1, 3], [3, 1], [1, 2]], 4, 1),
        ([[2, 0, 1], [2, 1, 3], [0, 2, 3], [3, 0, 2]], 5, 2),
    )
    for rows, n_experts, room in cases:
        given = {"indices": torch.tensor(rows), "n_experts": n_experts, "room": room}
        where = f"{len(rows)} tokens choose {len(rows[0])} of {n_experts} experts each, with room for {room}"
        ask.gives(given, "True for the first choices of each expert, as many as find room", where=where)
    later = given | {"indices": torch.cat([given["indices"][:2], given["indices"][2:].flip(0)])}
    says = "With other tokens behind the second, the first two should keep what they had."
    ask.compare(ask(later)[:2], ask(given)[:2], says, (), "")
    order = torch.tensor([3, 0, 4, 1, 2])
    says = "With the experts under other numbers, the same choices should stay."
    ask.follows(given, given | {"indices": order[given["indices"]]}, lambda fits: fits, says)


@checks(
    "11.place",
    hints=(
        "`total.argmin()` is the machine with the least work so far. But it may be full.",
        "A machine that is full must not be chosen: `torch.where(held < room, total, math.inf).argmin()` is the one "
        "with the least work among the others.",
        "Then add `load[expert]` to `total[machine]`, and 1 to `held[machine]`.",
    ),
    mistakes={
        "Full machines get further experts. Count in `held` what each holds, and leave out those that are full.": (
            "torch.where(held < room, total, math.inf).argmin() => total.argmin()"
        ),
        "Your machines take turns. Each expert goes to the one with the least work: `total` adds loads, not experts.": (
            "torch.where(held < room, total, math.inf).argmin() => held.argmin()"
        ),
        "You fill one machine after the other. Take the one with the least in `total`, and add each load there.": (
            "torch.where(held < room, total, math.inf).argmin() => (held < room).int().argmax()"
        ),
        "Where machines have equally little to do, you take the last of them. Take the first.": (
            "torch.where(held < room, total, math.inf).argmin() => "
            "machines - 1 - torch.where(held < room, total, math.inf).flip(0).argmin()"
        ),
    },
    swaps=(("total[machine] += load[expert]", "held[machine] += 1"),),
)
def place(ask: Ask) -> None:
    cases = (
        ([1.0, 3.0, 10.0, 2.0], 2),
        ([7.0, 6.0, 5.0, 2.5, 4.0, 12.0], 2),
        ([3.0, 14.0, 9.0, 8.0, 2.0, 21.0], 3),
        ([1.0, 2.0, 30.0, 5.0, 11.0, 6.0, 40.0, 20.5], 4),
    )
    for load, machines in cases:
        given = {"load": torch.tensor(load), "machines": machines}
        where = f"{len(load)} experts go to {machines} machines, {len(load) // machines} to each"
        ask.gives(given, "each expert's machine, the most asked expert placed first", where=where)
    says = "With ten times the load, each expert should live where it did."
    ask.follows(given, given | {"load": 10 * given["load"]}, lambda owner: owner, says)
    order = torch.tensor([5, 2, 7, 0, 1, 4, 6, 3])
    says = "With the experts under other numbers, each should live where it did."
    ask.follows(given, given | {"load": given["load"][order]}, lambda owner: owner[order], says)


@checks(
    "11.dispatch",
    hints=(
        "Flatten the choices, token by token. Their numbers 0, 1, 2, ... are to stand in the order of their experts.",
        "`argsort(stable=True)` gives that order, and keeps the earlier token first where experts are equal. "
        "`bincount` counts, and with `minlength` also the experts that nobody asks.",
        "`order = choice.argsort(stable=True)` and `counts = choice.bincount(minlength=n_experts)`.",
    ),
    mistakes={
        "Your order holds the tokens' numbers. It should hold those of the choices: token n has k, from n * k on.": (
            "choice.argsort(stable=True) => choice.argsort(stable=True) // indices.shape[1]"
        ),
        "Your order says where each choice goes. It should say which choice stands first, second, and so on.": (
            "choice.argsort(stable=True) => choice.argsort(stable=True).argsort()"
        ),
        "Those are the experts in order, and not the choices.": "choice.argsort(stable=True) => choice.sort().values",
        "At one expert, your choices are not in the order of their tokens: sort with `stable=True`.": (
            "argsort(stable=True) => argsort()"
        ),
        "Your choices begin with the last expert.": "stable=True => stable=True, descending=True",
        "Your choices are read column by column: all first choices, then all second ones. They come token by token.": (
            "indices.flatten() => indices.T.flatten()"
        ),
        "The last experts are missing in your counts, if nobody asks them: `minlength`.": "minlength=n_experts => ",
        "Only the first choice of each token is counted.": "counts = choice => counts = indices[:, 0]",
        "You do not sort: the choices stand token by token.": (
            "choice.argsort(stable=True) => torch.arange(len(choice))"
        ),
    },
    swaps=(("order = choice.argsort(stable=True)", "counts = choice.bincount(minlength=n_experts)"),),
)
def dispatch(ask: Ask) -> None:
    names = ("order", "counts")
    for rows, n_experts in (
        ([[3, 1], [0, 3], [3, 0], [1, 0]], 5),
        ([[2], [0], [1], [0], [2]], 4),
        ([[0, 2], [1, 0], [2, 1]] * 3, 3),  # of more than 16 choices, an unstable sort moves equal ones
        ([[1, 4, 2], [4, 0, 1], [2, 1, 0]], 6),
    ):
        given = {"indices": torch.tensor(rows), "n_experts": n_experts}
        where = f"{len(rows)} tokens choose {len(rows[0])} of {n_experts} experts each"
        ask.gives(given, "the choices expert by expert, and how many each expert gets", names, where)
    order = torch.arange(n_experts - 1).flip(0)
    says = "With the experts numbered backwards, each should get as many as before."
    counts = ask(given)[1][: n_experts - 1]
    ask.compare(ask(given | {"indices": order[given["indices"]]})[1][: n_experts - 1], counts.flip(0), says, (), "")
