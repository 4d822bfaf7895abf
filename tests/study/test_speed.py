"""What the benchmark of the mixture stored is whole, and is summed up as it says."""

import itertools

import pytest

from moe_tutorial.study.systems import speed


@pytest.fixture(scope="module")
def found():
    return speed.measured()


def planted(T, training, ratio, **more):
    sizes = {"T": T, "E": 8, "d": 256, "k": 2, "training": training, "ratio": ratio, "limit": 1.0}
    return {**sizes, "seconds": {"ours": 2.0, "loop": 3.0}, **more}


def test_every_shape_is_there_with_its_peers_and_its_limit(found):
    stored = {(one["T"], one["E"], one["d"], one["k"], one["training"]) for one in found["cells"]}
    for sizes in itertools.product((1, 64, 1024, 8192), (8, 64), (128, 256), (1, 2), (False, True)):
        assert sizes in stored or (sizes[0] == 1 and sizes[-1])
    for one in found["cells"]:
        others = {name: took for name, took in one["seconds"].items() if name != "ours"}
        rows_fit = one["d"] % 4 == 0
        assert {"loop", "eager", *(["grouped_mm"] if rows_fit else [])} <= set(others)
        assert one["fastest"] == min(others, key=others.get)
        low, middle, high = one["ratio"]
        assert 0 < low <= middle <= high
        assert one["limit"] > 0


def test_the_machine_is_named(found):
    line = speed.machine_lines(found)
    assert found["machine"]["processor"] in line
    assert "one thread" in line
    assert "GB/s" in line


def test_a_summary_counts_all_but_training_on_one_token():
    cells = [
        planted(1, True, [8.0, 9.0, 10.0]),
        planted(1, False, [0.4, 0.5, 0.6]),
        planted(64, True, [0.9, 1.1, 1.2]),
        planted(64, False, [1.5, 2.0, 2.5]),
    ]
    summary = speed.summary(cells)
    assert summary["cells"] == 3
    assert summary["level"] == summary["faster"] == pytest.approx(1 / 3)
    assert summary["not worse"] == pytest.approx(2 / 3)
    assert summary["mean"] == pytest.approx((0.5 * 1.1 * 2.0) ** (1 / 3))
    assert speed.named(summary["worst"]) == "64 tokens, 8 experts, width 256, top 2, forward"


def test_times_over_tokens_are_of_one_kind_of_shape():
    cells = [planted(1, False, [1, 1, 1]), planted(64, False, [1, 1, 1]), planted(64, True, [1, 1, 1])]
    cells += [planted(64, False, [1, 1, 1], k=1), planted(64, False, [1, 1, 1], E=64)]
    times, limit = speed.over_tokens(cells, 8, 256, 2, training=False)
    assert times == {"ours": {1: 2.0, 64: 2.0}, "loop": {1: 3.0, 64: 3.0}}
    assert limit == {1: 1.0, 64: 1.0}


def test_an_interval_is_what_pictures_take():
    figure = speed.interval([0.9, 1.0, 1.2])
    assert (figure.mean, figure.low, figure.high, str(figure)) == (1.0, 0.9, 1.2, "1.00 [0.90, 1.20]")
