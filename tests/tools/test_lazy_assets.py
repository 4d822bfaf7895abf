"""What cells showed becomes files: a widget's code and state, and pictures, each loaded when a reader is near."""

import base64
import copy
import io

import nbformat
import numpy as np
from bs4 import BeautifulSoup
from nbformat import v4
from PIL import Image

from moe_tutorial.course import guess, guesses, reveal
from moe_tutorial.tools.site.content.lazy_assets import FOLDER, STATES, VIEW, publish


def lesson(html="", code="export default { render({ el }) { el.textContent = 1; } };\n"):
    """A notebook that shows a widget and a picture."""
    notebook = v4.new_notebook(cells=[v4.new_code_cell("sweep()"), v4.new_code_cell("picture()")])
    view = {VIEW: {"model_id": "a", "version_major": 2}, "text/plain": "Sweep (an interactive picture)"}
    notebook.cells[0].outputs = [v4.new_output("display_data", view)]
    notebook.cells[1].outputs = [v4.new_output("execute_result", {"text/html": html, "text/plain": "Picture"})]
    own = {"_esm": code, "_css": ".a{}", "_model_name": "AnyModel", "layout": "IPY_MODEL_b", "settings": {"steps": [1]}}
    buffers = [{"path": ["points"], "encoding": "base64", "data": base64.b64encode(b"\1\2").decode()}]
    model = {"model_name": "AnyModel", "model_module": "anywidget", "state": own, "buffers": buffers}
    notebook.metadata["widgets"] = {STATES: {"state": {"a": model}, "version_major": 2, "version_minor": 0}}
    return nbformat.from_dict(notebook)


def test_a_widgets_place_names_its_files_and_says_what_will_stand_there(tmp_path):
    given = lesson()
    before = copy.deepcopy(given)
    page = publish(given, tmp_path)
    assert given == before
    assert "widgets" not in page.metadata
    html = page.cells[0].outputs[0].data["text/html"]
    assert "Sweep (an interactive picture)" in html
    assert {path.suffix for path in tmp_path.iterdir()} == {".js", ".css"}
    assert all(path.stem in html for path in tmp_path.iterdir())


def test_a_widgets_own_html_stands_there_until_it_comes(tmp_path):
    given = lesson()
    given.cells[0].outputs[0].data["text/html"] = '<section class="moe-ask">Which one?</section>'
    html = publish(given, tmp_path).cells[0].outputs[0].data["text/html"]
    assert html.endswith('><section class="moe-ask">Which one?</section></div>')
    assert "This picture" not in html


def test_what_was_measured_joins_the_card_of_its_guess(tmp_path, monkeypatch):
    monkeypatch.setattr(guesses, "_asked", {})
    asked = guess("05.sixty", "How many?", slider=(0, 60, 1, "of 60"))
    notebook, states = v4.new_notebook(cells=[v4.new_code_cell("guess(...)"), v4.new_code_cell("reveal(...)")]), {}
    for cell, widget in zip(notebook.cells, (asked, reveal("05.sixty", 57, says="So it is.")), strict=True):
        data = {VIEW: {"model_id": widget.model_id}, "text/html": widget.page()}
        cell.outputs = [v4.new_output("display_data", data)]
        states[widget.model_id] = {"model_module": "anywidget", "state": widget.get_state()}
    notebook.metadata["widgets"] = {STATES: {"state": states}}
    first, second = publish(nbformat.from_dict(notebook), tmp_path).cells
    assert not second.outputs
    (card,) = BeautifulSoup(first.outputs[0].data["text/html"], "html.parser").select("section")
    assert "moe-joined" in card["class"]
    assert "Answer: 57 of 60.So it is." in card.get_text()
    assert any('"measured": 57' in file.read_text() for file in tmp_path.glob("*.js"))


def test_one_code_serves_all_lessons_and_each_state_is_its_own(tmp_path):
    other = lesson()
    other.metadata["widgets"][STATES]["state"]["a"]["state"]["settings"] = {"steps": [2]}
    for given, files in ((lesson(), 2), (lesson(), 2), (other, 3)):
        publish(given, tmp_path)
        assert len(list(tmp_path.glob("*.js"))) == files


def test_a_picture_becomes_a_file_that_loads_late_and_a_tiny_one_stays(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)  # no two are alike
    Image.fromarray(pixels).save(png := io.BytesIO(), "png")
    data, tiny = (f"data:image/png;base64,{base64.b64encode(code).decode()}" for code in (png.getvalue(), b"\x89PNG"))
    html = f'<img src="{data}" alt="words"><img src="{tiny}">'
    shown = publish(lesson(html), tmp_path).cells[1].outputs[0].data["text/html"]
    (file,) = tmp_path.glob("*.webp")
    assert (np.asarray(Image.open(file)) == pixels).all()
    late, stays = (image.attrs for image in BeautifulSoup(shown, "html.parser").find_all("img"))
    size = {"width": "64", "height": "48"}
    assert late == {"src": f"_static/{FOLDER}/{file.name}", "loading": "lazy", "alt": "words"} | size
    assert stays == {"src": tiny}
