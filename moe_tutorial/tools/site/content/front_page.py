"""The front page's directives: the animated figure, the numbers of claims, how to run the course, and its map."""

from functools import cache
from html import escape
from pathlib import Path

import numpy as np
import torch
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from moe_tutorial.layers import MixtureOfExperts, switch_loss
from moe_tutorial.show import grid, region_map
from moe_tutorial.show.web import bundle, style
from moe_tutorial.study import regimes_2d, train
from moe_tutorial.tools.notebooks.tables import lessons
from moe_tutorial.tools.site.content.claims import measured
from moe_tutorial.tools.site.content.lazy_assets import FOLDER, digest, notice, place
from moe_tutorial.tools.site.repository import binder, colab
from moe_tutorial.tools.site.repository import repository as course_address

FIRST = "00_start_here"
ANCHOR = "run-it-yourself"  # the section on the front page


@cache
def divided() -> tuple[np.ndarray, str]:
    """Train four experts on a plane. Returns the router's probabilities (40 * 40, 4), and a map of regions as HTML."""
    torch.set_num_threads(1)
    plane = regimes_2d(seed=0)
    trained = train(
        lambda: MixtureOfExperts(2, 8, n_experts=4, top_k=1, d_out=2),
        plane,
        [0],
        learning_rate=0.02,
        penalty=lambda routing: 0.1 * switch_loss(routing),
    )
    places = grid(plane.x_train, 40)
    probs = trained.routing(places).probs[0].numpy()
    return probs, region_map(probs, places, plane.x_train[:120], plane.y_train[:120])


def cards(repository: Path) -> str:
    """The map of the lessons: what each asks, how long it takes, and which lessons it needs."""
    items = []
    for lesson in lessons(repository):
        after = f" · after {' and '.join(name[:2] for name in lesson.needs)}" if lesson.needs else ""
        items.append(
            f'<li><a href="{lesson.file}.html"><b>{escape(lesson.title)}</b><span>{escape(lesson.asks)}</span>'
            f"<small>{lesson.lesson.minutes} minutes{after}</small></a></li>"
        )
    return f'<ol class="moe-lessons">{"".join(items)}</ol>'


class HtmlDirective(SphinxDirective):
    """A directive that inserts HTML. Its content is for readers in JupyterLab."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Insert what :meth:`html` returns."""
        return [nodes.raw("", self.html(Path(self.env.srcdir).parent), format="html")]


class Lessons(HtmlDirective):
    """``{lessons}``: the map of the lessons."""

    def html(self, repository: Path) -> str:
        """A card for each lesson."""
        return cards(repository)


class Hero(HtmlDirective):
    """``{hero}``: an animated figure of four experts that divide a plane."""

    def html(self, repository: Path) -> str:
        """The figure's placeholder, with a still map for readers without JavaScript. It loads like a widget."""
        css = style("web/widgets/hero.css", "web/widgets/cards.css")
        link = f'<link rel="stylesheet" href="_static/{FOLDER}/{digest(css)}.css">'
        still = notice("Four experts divide a plane", f'{link}<div class="moe-figure moe-still">{divided()[1]}</div>')
        model = {"model_module": "anywidget", "state": {"_esm": bundle("web/widgets/hero.js"), "_css": css}}
        return place(model, still, repository / "_build/assets" / FOLDER)


class Run(HtmlDirective):
    """``{run}``: README's commands, and buttons for Binder and Colab if the course's address is known."""

    def html(self, repository: Path) -> str:
        """The commands as a block of code, and the buttons below it."""
        return commands(course_address(repository))


def commands(course: str | None) -> str:
    """The two commands, and with the course's address also how to fetch it, or to run it in the browser."""
    lines = [f"git clone {course}.git\ncd {course.rsplit('/', 1)[1]}"] if course else []
    lines += ["make lab     # opens your own folder of the course in JupyterLab", "make test    # runs every test"]
    places = {"Binder": binder, "Colab": colab} if course else {}
    buttons = "".join(f'<a href="{escape(at(course, FIRST))}">Open in {name}</a>' for name, at in places.items())
    code = escape("\n".join(lines))
    block = f'<div class="highlight-sh"><div class="highlight"><pre>{code}</pre></div></div>'
    return block + (f'<p class="moe-run">{buttons}</p>' if buttons else "")


def link_run(app: Sphinx, doctree: nodes.document) -> None:
    """Let each lesson say below its first paragraph how it can be run."""
    if app.env.docname[0].isdigit():
        first = next(iter(doctree.findall(nodes.paragraph)))
        link = nodes.reference("", "Run it yourself", refuri=f"index.html#{ANCHOR}", internal=True)
        first.parent.insert(first.parent.index(first) + 1, nodes.paragraph("", "", link, classes=["moe-run"]))


class Measured(HtmlDirective):
    """``{measured}``: the numbers of claims, of refuted beliefs, and of runs."""

    def html(self, repository: Path) -> str:
        """A list of the numbers, each with its words."""
        found = [claim for lesson in measured(repository) for claim in lesson.claims]
        figures = {
            "claims, each measured when this site was built": len(found),
            "beliefs that turned out false": sum(bool(claim.refutes) for claim in found),
            "runs from different seeds stand behind them": sum(claim.n_seeds for claim in found if not claim.timed),
        }
        items = "".join(f"<li><b>{number:,}</b> <span>{words}</span></li>" for words, number in figures.items())
        return f'<ul class="moe-measured">{items}</ul>'
