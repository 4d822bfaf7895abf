from moe_tutorial.show import bars, expert_cards, message


def test_a_chosen_expert_wears_its_colour_and_its_weight():
    html = expert_cards([0.0, 0.75])
    assert html.count("<li") == 2
    assert "not asked" in html
    assert "background:var(--moe-e1);color:var(--moe-on1)" in html
    assert "0.75" in html
    assert "var(--moe-e0)" not in html


def test_bars_are_as_long_as_their_numbers():
    html = bars({"total": 4000, "active": 1000}, "parameters", strong=["active"])
    assert "0 1 75.00%" in html
    assert "0 1 18.75%" in html
    assert "4,000" in html
    assert 'aria-label="parameters"' in html


def test_bars_of_nothing():
    assert "0 1 0.00%" in bars({"none": 0}, "parameters")


def test_words_are_escaped():
    assert "&lt;b&gt;" in message("<b>")
    assert "&lt;b&gt;" in bars({"<b>": 1}, "parameters")
