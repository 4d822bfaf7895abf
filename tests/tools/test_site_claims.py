"""A lesson's claims on its page: rows in place of their lines."""

from types import SimpleNamespace

from docutils import nodes
from docutils.utils import new_document
from nbformat import v4
from sphinx import addnodes

from moe_tutorial.show.widgets.claim_box import box
from moe_tutorial.study import above
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.estimates import estimate
from moe_tutorial.tools.site.content.claims import draw
from moe_tutorial.tools.site.content.lazy_assets import publish


def test_a_claim_is_a_row_with_its_address_and_what_is_printed_beside_it_stays(tmp_path):
    claim = Claim("02.1", "So", estimate(1.0), holds=True, rule=above(0.5))
    data, metadata = claim._repr_mimebundle_()
    outputs = [
        v4.new_output("stream", name="stdout", text="before\n"),
        v4.new_output("display_data", data, metadata=metadata),
        v4.new_output("display_data", {"text/plain": "Picture: a title"}),
    ]
    notebook = v4.new_notebook(cells=[v4.new_code_cell("claim()", outputs=outputs)])
    before, row, after = publish(notebook, tmp_path).cells[0].outputs
    assert [before, after] == [outputs[0], outputs[2]]
    assert list(row.data) == ["text/html"]
    assert '<a href="#claim-02-1">02.1</a>' in row.data["text/html"]


def test_the_search_finds_a_claim_by_its_number():
    page = new_document("a lesson")
    page += nodes.container(
        "", nodes.raw("", box(Claim("02.13", "So", estimate(1.0), holds=True), address="#claim-02-13"))
    )
    draw(SimpleNamespace(), page)
    (index,) = page.findall(addnodes.index)
    assert [entry[1:3] for entry in index["entries"]] == [("02.13", "claim-02-13"), ("claim 02.13", "claim-02-13")]
