"""On a page, a cell that asks shows no code; every other cell does."""

from docutils import nodes

from moe_tutorial.tools.site.content.guess import hide_code


def test_the_code_of_guesses_and_quizzes_is_left_out_and_no_other():
    document = nodes.section()
    for tag in ("tag_guess", "tag_quiz", "tag_nbval-ignore-output"):
        cell = nodes.container("", classes=["cell", tag])
        cell += [nodes.container(tag, classes=["cell_input"]), nodes.container("", classes=["cell_output"])]
        document += cell
    hide_code(None, document)
    kept = [[part["classes"][0] for part in cell.children] for cell in document.children]
    assert kept == [["cell_output"], ["cell_output"], ["cell_input", "cell_output"]]
