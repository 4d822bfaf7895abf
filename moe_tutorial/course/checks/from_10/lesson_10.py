"""Lesson 10: the experts that tokens ask for, tokens a second, a cache of experts."""

from moe_tutorial.course.running import NotYet
from moe_tutorial.course.vocabulary import Ask, checks


@checks(
    "10.distinct",
    hints=(
        "One token draws k different experts of E, so it asks for a given one with probability k / E.",
        "It misses that expert with probability 1 - k / E, and n tokens all miss it with that to the power of n.",
        "So each of the E experts is drawn with probability `1 - (1 - k / E) ** n`. How many are that on average?",
    ),
    mistakes={
        "That is the probability that one expert is drawn. There are E of them.": "E * (1 => (1",
        "That is how many experts nobody draws. The others are wanted.": "(1 - (1 - k / E) ** n) => (1 - k / E) ** n",
        "You count every choice. Two tokens may draw the same expert, which is then read once.": (
            "return ... => min(E, n * k)"
        ),
        "You count every choice, and get more experts than there are. Tokens share them.": "return ... => n * k",
        "In your answer a token draws one expert. It draws k.": "k / E => 1 / E",
        "In your answer all n tokens draw the expert. It is enough if one does: ask for the case that all miss it.": (
            "(1 - (1 - k / E) ** n) => (k / E) ** n"
        ),
        "A token draws k DIFFERENT experts. In your answer it may draw the same one twice.": (
            "(1 - k / E) ** n => (1 - 1 / E) ** (n * k)"
        ),
        "`^` is no power in Python. Write `**`.": "(1 - k / E) ** n => (1 - k / E) ^ n",
    },
)
def distinct(ask: Ask) -> None:
    for E, k, n in ((5, 2, 3), (8, 1, 3), (6, 3, 5), (16, 2, 1), (5, 5, 2), (16, 4, 16)):
        ask.gives({"E": E, "k": k, "n": n}, "how many different experts are drawn, on average")
    one = {"E": 8, "k": 3, "n": 1}
    ask.follows(one, one | {"E": 80}, lambda found: found, "One token draws k experts, however many there are.")
    two = {"E": 8, "k": 2, "n": 4}
    says = "Twice as many experts, of which each token draws twice as many: twice as many are drawn."
    ask.follows(two, {"E": 16, "k": 4, "n": 4}, lambda found: 2 * found, says)


@checks(
    "10.tokens_per_second",
    hints=(
        "Of the experts' weights a token uses the part k / E, and all of those that every token uses.",
        "`active = always + experts * k / E`. A token reads `active * n_bytes` bytes.",
        "A memory that delivers 100 bytes a second needs half a second for 50 of them: "
        "`bandwidth / (active * n_bytes)` tokens a second.",
    ),
    mistakes={
        "You read all experts. A token uses k of E.": "experts * k / E => experts",
        "That is k / E of all weights. What every token uses is read whole.": (
            "always + experts * k / E => (always + experts) * k / E"
        ),
        "What every token uses is read, too.": "always + experts => experts",
        "You read one expert. A token uses k of them.": "experts * k / E => experts / E",
        "`experts` are the weights of all experts together, not those of one.": "experts * k / E => experts * k",
        "A weight has `n_bytes` bytes, and bandwidth counts bytes.": "active * n_bytes => active",
        "That is the seconds of a token. Tokens a second are one over that.": (
            "return ... => active * n_bytes / bandwidth"
        ),
        "More bytes a weight take longer to read, so `n_bytes` belongs below the line, in brackets with the weights.": (
            "(active * n_bytes) => active * n_bytes"
        ),
    },
)
def tokens_per_second(ask: Ask) -> None:
    for always, experts, E, k, n_bytes, bandwidth in (
        (20, 80, 8, 2, 4, 3200),
        (30, 60, 3, 1, 2, 750),
        (50, 0, 1, 1, 2, 1000),
        (0, 90, 9, 4, 0.5, 900),
        (10, 40, 4, 4, 1, 128),
    ):
        given = {"always": always, "experts": experts, "E": E, "k": k, "n_bytes": n_bytes, "bandwidth": bandwidth}
        ask.gives(given, "bandwidth over the bytes of the active weights")
    says = "A memory twice as fast makes twice as many tokens a second."
    ask.follows(given, given | {"bandwidth": 256}, lambda found: 2 * found, says)
    says = "If every token uses all experts, their number does not matter."
    ask.follows(given, given | {"E": 2, "k": 2}, lambda found: found, says)


@checks(
    "10.fetched",
    hints=(
        "For each expert of the stream: is it in memory? If not, it is fetched. In both cases it is now the newest.",
        "Keep the oldest in front. An expert that is asked again leaves its place, and goes to the end.",
        "`memory.remove(expert)` takes it from its place. `memory = [*memory, expert][-room:]` puts it at the end, and "
        "keeps the last `room` of all.",
    ),
    mistakes={
        "You count the hits. Those that are not in memory are fetched.": "return ... => len(stream) - n_fetched",
        "An expert that is asked again is the newest from then on, but it keeps its old place in your memory.": (
            "memory.remove(expert) => continue"
        ),
        "An expert that is asked again stands in your memory twice, and takes the room of another.": (
            "memory.remove(expert) => pass"
        ),
        "You give up the newest. The oldest has to go: it stands first.": (
            "[*memory, expert][-room:] => [*memory[: room - 1], expert]"
        ),
        "When your memory is full, nothing new comes in. The oldest makes room for it.": "[-room:] => [:room]",
        "Your memory forgets nothing. It holds `room` experts.": "[-room:] => ",
        "Your memory holds one expert too many.": "[-room:] => [-room - 1 :]",
        "Your memory holds one expert too few.": "[-room:] => [-room + 1 :]",
        "You count every request. An expert that is in memory is not fetched.": "return ... => len(stream)",
    },
)
def fetched(ask: Ask) -> None:
    for room, stream in (
        (2, [0, 1, 0, 0, 1, 0]),
        (2, [1, 3, 0, 2, 3, 0, 1, 0, 3, 1, 1, 3, 2]),
        (3, [1, 0, 5, 3, 1, 2, 0, 4, 2, 1, 1, 4, 2, 0, 3]),
    ):
        ask.gives({"stream": stream, "room": room}, "how many experts are fetched")
    given = {"stream": stream, "room": room}
    moved = given | {"stream": [7 - expert for expert in given["stream"]]}
    ask.follows(given, moved, lambda found: found, "With the experts under other numbers, as many are fetched.")
    fewer = [ask(given | {"room": room}) for room in (1, 2, 3, 5)]
    if sorted(fewer, reverse=True) != fewer:
        raise NotYet("More room never fetches more.")
