"""An output on a page: its claim lines become boxes, and what stands between them stays text."""

from moe_tutorial.tools.site.content.claims import parts

LINE = "✓ claim 02.{} holds: So | measured 1.000 | rule: mean > 0.5"


def test_claims_and_the_text_between_them_keep_their_order():
    text = f"\nbefore\n\n  and more\n{LINE.format(1)}\n{LINE.format(2)}\nafter\n{LINE.format(3)}\n\n"
    found = parts(text)
    assert [part if isinstance(part, str) else part.id for part in found] == [
        "\nbefore\n\n  and more",
        "02.1",
        "02.2",
        "after",
        "02.3",
    ]
