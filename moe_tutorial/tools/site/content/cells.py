"""Hide or fold a lesson's cells by their tags and places.

The code of cells that measure, draw or set up is hidden until the reader turns on "Show code" in the page's header. An
exercise is shown as its stub. The section "Further" folds as a whole, and so does the list of things to try, since they
need JupyterLab. What stands between a guess and the end of its section is hidden until the guess is locked.
"""

import json
import re
from collections.abc import Callable
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from moe_tutorial.course.exercises import EXERCISES
from moe_tutorial.course.guesses import ID
from moe_tutorial.course.lesson import Cell, solved, stub
from moe_tutorial.tools.site.content.puzzles import widget

CODE = {"setup", "measure", "draw"}
LABELS = {"playground": "Open the playground here", "quiz": "Test yourself: questions on this lesson"}
CHECKED = re.compile(r'check\("([^"]+)"')
TITLE = re.compile(r"(?:<a [^\n]*\n+)?(#+) ")  # an anchor for JupyterLab may stand above it
TITLE_AND_TEXT = re.compile(r"((?:(?:<a [^\n]*\n+)?#+ [^\n]*\n*)?)(.*)", re.DOTALL)
COLUMNS = re.compile(r"\S {2,}\S.* {2,}\S|\S {3,}\S|^ {2,}\S.* {2,}\S")  # a line that has columns
COLUMN = re.compile(r"x+(?: x+)*")  # where any of the lines has a character
TRUE = re.compile(r"^( *)(\S.*?): +True$", re.MULTILINE)


class Fold(nodes.General, nodes.Element):
    """A ``<details>`` element, which needs no JavaScript, with the summary ``label``.

    The class ``moe-press`` draws its summary as a button.
    """


def visit_fold(translator: HTML5Translator, node: Fold) -> None:
    """Write the start tag of a closed fold, and its summary."""
    kind, label = " ".join(["moe-fold", *node["classes"]]), escape(node["label"])
    translator.body.append(f'<details class="{kind}"><summary title="{label}"><span>{label}</span></summary>\n')


def depart_fold(translator: HTML5Translator, node: Fold) -> None:
    """Write the end tag."""
    translator.body.append("</details>\n")


def written(cell: nodes.container, how: Callable[[str], str]) -> nodes.container:
    """A copy of a cell with ``how(source)`` as its source."""
    copy = cell.deepcopy()
    (block,) = copy.findall(nodes.literal_block)
    block.rawsource = how(block.rawsource)
    block[:] = [nodes.Text(block.rawsource)]
    return copy


def show_stubs(doctree: nodes.document, root: Path) -> None:
    """Show each exercise as its stub and its puzzle, and fold the solution and the next cell, which is its check."""
    for cell in [node for node in doctree.findall(nodes.container) if "tag_exercise" in node["classes"]]:
        section = cell.parent
        check = section[section.index(cell) + 1]
        section.remove(check)
        ids = [id for id in CHECKED.findall(check.children[0].astext()) if id in EXERCISES]
        puzzles = [Fold("", widget(id, root), label="Solve it here", classes=["moe-press"]) for id in ids]
        solution = Fold("", written(cell, solved), check, label="One solution", classes=["moe-press", "moe-solution"])
        section.replace(cell, [written(cell, stub), *puzzles, solution])


def answers(cells: list[Cell]) -> list[set[str]]:
    """The guesses that each cell answers: those above it in its section, and those whose ids it has as tags."""
    found, level = [], 0
    levels: dict[str, int] = {}  # a guess whose section has not ended -> the level of the section's title
    for cell in cells:
        if title := TITLE.match(cell.source) if cell.kind == "markdown" else None:
            level = len(title[1])
            levels = {id: other for id, other in levels.items() if other < level}
        asks = cell.ids("guess") + cell.ids("quiz")
        tagged = {tag for tag in cell.tags if ID.fullmatch(tag)}
        found.append(set() if asks else tagged | set(levels))
        levels |= dict.fromkeys(cell.ids("guess"), level)
    return found


def tag_answers(cells: list[dict[str, Any]]) -> list[set[str]]:
    """Tag a notebook's code cells with the guesses that they answer. Returns the guesses that each cell answers.

    Jupyter Book's cache compares tags, so an executed lesson needs the same ones as the page's source.
    """
    found = answers([Cell(cell["cell_type"], cell["source"], cell["metadata"].get("tags", [])) for cell in cells])
    for cell, ids in zip(cells, found, strict=True):
        if ids and cell["cell_type"] == "code":
            cell["metadata"]["tags"] = sorted({*cell["metadata"].get("tags", []), *ids})
    return found


def veil_text(app: Sphinx, page: str, content: list[str]) -> None:
    """Put text that answers a guess into a container for ``static/veil.js``, and tag the code that does."""
    if not str(app.env.doc2path(page)).endswith(".ipynb"):
        return
    notebook = json.loads(content[0])
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    for cell, ids in zip(notebook["cells"], tag_answers(notebook["cells"]), strict=True):
        if ids and cell["cell_type"] == "markdown":
            title, text = TITLE_AND_TEXT.fullmatch(cell["source"]).groups()
            cell["source"] = f"{title}:::{{container}} {veil_classes(ids)}\n{text}\n:::" if text else title
    content[0] = json.dumps(notebook)


def veil(doctree: nodes.document) -> None:
    """Mark the outputs of cells that answer a guess for ``static/veil.js``."""
    for cell in [node for node in doctree.findall(nodes.container) if "cell" in node["classes"]]:
        ids = {name.removeprefix("tag_") for name in cell["classes"] if ID.fullmatch(name.removeprefix("tag_"))}
        for part in cell.children:
            if ids and part.get("nb_element") == "cell_code_output":
                part["classes"] += veil_classes(ids).split()


def veil_classes(ids: set[str]) -> str:
    """The classes of what answers these guesses."""
    return " ".join(["moe-veil", *(f"moe-veil-{id.replace('.', '-')}" for id in sorted(ids))])


def draw_prints(doctree: nodes.document) -> None:
    """Print what is true with a tick, and lines in columns as a table, which a phone can show whole.

    ``same choice: True`` becomes ``✓ same choice``.
    """
    for block in [node for node in doctree.findall(nodes.literal_block) if "output" in node["classes"]]:
        text = TRUE.sub(r"\1✓ \2", block.rawsource)
        runs = [list(run) for _, run in groupby(text.splitlines(), lambda line: bool(COLUMNS.search(line)))]
        if not any(map(columns, runs)):
            runs = [[text]]
        place = block.parent.index(block)
        block.parent[place : place + 1] = [
            nodes.raw("", columns(lines), format="html")
            if columns(lines)
            else nodes.literal_block("\n".join(lines), "\n".join(lines), **block.attributes)
            for lines in runs
        ]


def columns(lines: list[str]) -> str:
    """An HTML table of three or more lines in columns that blanks part; empty if they are not."""
    if len(lines) < 3 or not all(map(COLUMNS.search, lines)):
        return ""
    is_used = [any(line[x : x + 1].strip() for line in lines) for x in range(max(map(len, lines)))]
    ends = [found.span() for found in COLUMN.finditer("".join(" x"[used] for used in is_used))]
    if len(ends) < 2:
        return ""
    rows = [[line[start:end].strip() for start, end in ends] for line in lines]
    has_head = not re.search(r"\b\d", lines[0]) and all(re.search(r"\b\d", line) for line in lines[1:])
    html = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[has_head:])
    head = "".join(f'<th scope="col">{escape(cell)}</th>' if cell else "<td></td>" for cell in rows[0] if has_head)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{html}</tbody></table>"
    return f'<figure class="moe-figure"><div class="moe-scroll">{table}</div></figure>'


def hide_code(doctree: nodes.document) -> None:
    """Mark the code that "Show code" shows, and remove that of guesses and quizzes."""
    for code in list(doctree.findall(nodes.container)):
        if "cell_input" not in code["classes"]:
            continue
        cell, tags = code.parent, {name.removeprefix("tag_") for name in code.parent["classes"]}
        if tags & {*CODE, "playground"}:
            code["classes"].append("moe-how")
        elif tags & {"guess", "quiz"}:
            cell.remove(code)
            if not cell.children:  # its result stands in the card of its guess
                cell.parent.remove(cell)


def fold_cells(doctree: nodes.document) -> None:
    """Fold the playground, which is two screens high, and the quiz."""
    for cell in list(doctree.findall(nodes.container)):
        for tag, label in LABELS.items():
            if f"tag_{tag}" in cell["classes"]:
                fold = Fold("", label=label, classes=["moe-press"])
                cell.parent.replace(cell, fold)
                fold += cell


def fold_section(section: nodes.section) -> None:
    """Put everything below a section's title into one fold, whose label counts its claims and figures."""
    title, *rest = section.children
    claims = sum('<section class="moe-claim ' in html.astext() for html in section.findall(nodes.raw))
    figures = sum(box.get("nb_element") == "mime_bundle" for box in section.findall(nodes.container)) - claims
    held = [f"{n} {what}{'s' * (n > 1)}" for n, what in ((claims, "claim"), (figures, "figure")) if n]
    section[:] = [title, Fold("", *rest, label=f"Open: {', '.join(held) or 'code and its output'}")]


def fold_list(section: nodes.section, label: str) -> None:
    """Put a section's list into a fold, whose label counts its items."""
    for items in [child for child in section.children if isinstance(child, nodes.enumerated_list | nodes.bullet_list)]:
        things = f"{len(items)} thing{'s' * (len(items) > 1)}"
        section.replace(items, Fold("", items, label=f"{things} {label}"))


def fold(app: Sphinx, doctree: nodes.document) -> None:
    """Fold a page's cells and sections."""
    show_stubs(doctree, Path(app.srcdir).parent)
    veil(doctree)
    draw_prints(doctree)
    hide_code(doctree)
    fold_cells(doctree)
    for section in list(doctree.findall(nodes.section)):
        title = section.children[0].astext()
        if title.startswith("Further"):
            fold_section(section)
        elif title == "Try it":
            fold_list(section, "to try in JupyterLab")
        elif title == "Recap":  # it answers the page's guesses
            fold_list(section, "to remember")
