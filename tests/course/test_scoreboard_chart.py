import json

from moe_tutorial.course import lesson, scoreboard
from moe_tutorial.study import score


def test_a_lesson_stands_among_those_before_it(tmp_path, monkeypatch, capsys):
    own = score("04", {"learned": (8, 64, [0.8, 0.9])})
    lines = {"02_first": "scoreboard 02: dice | 8 of 32 neurons | accuracy 0.680", "04_own": capsys.readouterr().out}
    lines["05_later"] = "scoreboard 05: collapsed | 8 of 64 neurons | accuracy 0.500"
    for name, text in lines.items():
        outputs = [{"output_type": "stream", "text": [text]}, {"output_type": "display_data", "data": {}}]
        cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": outputs}]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(lesson, "lessons_folder", lambda: tmp_path)
    html = scoreboard(own, title="It learns")._repr_html_()
    assert "It learns. learned (8 of 64): 0.850 [" in html
    assert html.index("learned (8 of 64)") < html.index("dice (8 of 32): 0.680")
    assert "collapsed" not in html
    assert "black: those of earlier lessons." in html
