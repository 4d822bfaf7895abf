import pytest

from moe_tutorial.study import score
from moe_tutorial.study.scores import read_rows


def test_what_is_printed_is_read_again(capsys):
    rows = score("02", {"dense of active size": (8, 8, [0.7, 0.8]), "experts and dice": (8, 32, [0.6, 0.7])})
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("scoreboard 02: dense of active size | 8 of 8 neurons | accuracy 0.750 [")
    found = read_rows(f"something else\n{printed}")
    assert [row[:4] for row in found] == [row[:4] for row in rows]
    assert [row.accuracy.mean for row in found] == pytest.approx([0.75, 0.65])
