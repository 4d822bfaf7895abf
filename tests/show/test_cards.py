import re

from moe_tutorial.show import bars, expert_bars, expert_cards, message, usage_bars


def test_a_chosen_expert_wears_its_colour_and_its_weight():
    html = expert_cards([0.0, 0.75])
    assert html.count("<li") == 2
    assert "not asked" in html
    assert "--c:var(--moe-e1);--o:var(--moe-on1)" in html
    assert "0.75" in html
    assert "var(--moe-e0)" not in html
    assert "3 asked" in expert_cards([0, 3], "{} asked".format)


def test_bars_are_as_long_as_their_numbers():
    html = bars({"total": 4000, "active": 1000}, "parameters", strong=["active"])
    assert "0 1 75.00%" in html
    assert "0 1 18.75%" in html
    assert "4,000" in html
    assert 'aria-label="parameters"' in html


def test_words_are_escaped():
    assert "&lt;b&gt;" in message("<b>")
    assert "&lt;b&gt;" in bars({"<b>": 1}, "parameters")
    assert "<b>4 &amp; more</b>" in bars({"total": 4}, "parameters", texts={"total": "4 & more"})


def test_usage_bars_strike_out_who_does_not_work():
    html = usage_bars([0.75, 0.245, 0.005])
    assert re.findall(r">(\d+)\xa0%<", html) == ["75", "25"]
    assert html.count("moe-dead") == html.count(">dead<") == 1
    assert "var(--moe-e2)" not in html
    assert "width:75.0%" in html
    assert html.count("left:33.3%") == 3  # even use, on a scale that does not follow the largest bar
    assert ">never<" in usage_bars([1.0, 0.0], idle="never")


def test_bars_may_stand_before_a_dashed_frame():
    html = expert_bars([2, 0], ["2 & more", "none"], 4, "Choices", behind=[8, 1])
    assert re.findall(r"width:([\d.]+)%", html) == ["100.0", "25.0", "12.5"]
    assert html.count("moe-frame") == 2
    assert html.count("left:50.0%") == 2
    assert "2 &amp; more" in html
    assert html.count("moe-dead") == 1
