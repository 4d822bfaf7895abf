"""What the benchmark of the mixture stored is whole."""

from moe_tutorial.study.systems.edge import speed


def test_every_implementation_has_a_time_for_each_number_of_tokens_and_none_beats_the_limit_of_much_arithmetic():
    found = speed.measured()
    assert found["tokens"] == [1, 64, 1024, 8192]
    assert set(found["seconds"]) == {"ours", "loop", "eager", "grouped_mm", "limit"}
    for times in found["seconds"].values():
        assert len(times) == 4
        assert times[-1] >= found["seconds"]["limit"][-1]
