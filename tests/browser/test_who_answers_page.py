"""The page "Who answers?" on the site: what was computed when it was built is what the page computes."""

import re
import xml.etree.ElementTree as ET

import pytest

from moe_tutorial.tools.site.content.trained import SENTENCE


@pytest.fixture
def page(open_page):
    page = open_page("who_answers.html", reduced_motion="reduce")
    page.get_by_role("button", name="Expert 0 of layer 1").wait_for()
    yield page
    assert page.wrong == []


def test_an_expert_that_is_off_costs_what_its_bar_says(page):
    for layer in (1, 2):
        rows = page.get_by_role("list", name=f"Layer {layer}", exact=True).get_by_role("listitem").all_inner_texts()
        assert len(rows) == 8
        for expert, row in enumerate(rows):
            number, said = row.split(maxsplit=1)
            assert int(number) == expert
            tile = page.get_by_role("button", name=f"Expert {expert} of layer {layer}")
            tile.click()
            verdict = page.locator(".moe-live-verdict").inner_text()
            found = re.search(r"(\d\.\d\d)\s+nats a character (worse|better)", verdict)
            cost, direction = found.groups() if found else ("0.00", "worse")  # nobody asks for it
            expected = 0.0 if said == "not asked" else float(said.replace("−", "-"))
            assert (1 if direction == "worse" else -1) * float(cost) == pytest.approx(expected, abs=0.011)
            tile.click()


def test_each_expert_of_each_layer_has_its_characters_and_places(page):
    for table in page.locator(".moe-answers").all():
        rows = table.locator("tbody tr")
        assert rows.count() == 8
        assert 95 <= sum(float(row.split()[1]) for row in rows.all_inner_texts()) <= 105
        assert table.locator("tbody td:nth-child(n + 4) b").count() >= 8
    assert page.locator(".moe-answers").count() == 2


def test_the_picture_can_be_saved(page):
    with page.expect_download() as saving:
        page.get_by_role("link", name="Save the picture").click()
    assert saving.value.suggested_filename == "who-answers.svg"
    words = [node.text for node in ET.parse(saving.value.path()).iter("{http://www.w3.org/2000/svg}text")]
    characters = [word for word in words if not word.startswith("layer")][::3]
    assert "".join(characters) == SENTENCE.replace(" ", "·")


def test_rounding_the_weights_costs_less_than_a_hundredth_of_a_nat(page):
    loss, rounded = map(float, re.findall(r"\d\.\d{4}", page.get_by_text("Test loss").inner_text()))
    assert 1 < loss < 2
    assert abs(rounded - loss) < 0.01
