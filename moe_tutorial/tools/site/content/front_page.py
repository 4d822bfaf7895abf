"""The front page's directives: the GPT to break, what is measured, how to run the course, and its map."""

import base64
import re
from collections import Counter
from html import escape
from pathlib import Path

import torch
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from moe_tutorial.layers import GPT
from moe_tutorial.show.web import read
from moe_tutorial.show.who_answers import MARKS
from moe_tutorial.show.widgets.claim_box import anchor
from moe_tutorial.show.widgets.live_gpt import Dare, dequantised, live_gpt
from moe_tutorial.study import encode
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.systems.cost import distinct_experts
from moe_tutorial.tools.notebooks.tables import lessons
from moe_tutorial.tools.site.content.claims import measured
from moe_tutorial.tools.site.content.lazy_assets import FOLDER, place
from moe_tutorial.tools.site.content.trained import letters, trained_gpt
from moe_tutorial.tools.site.repository import binder, colab
from moe_tutorial.tools.site.repository import repository as course_address

FIRST = "00_start_here"
ANCHOR = "run-it-yourself"  # the section on the front page
# The claim that refutes the belief named on the front page: no guess asks about it, and no clock judges it.
BELIEF = "10.3"
FOUND = "Each character asks two of eight experts (above: one). Eight in a row ask <b>{:.1f}</b>; by chance, {:.1f}"


def to_do(repository: Path) -> Counter[str]:
    """How many guesses, exercises, suspects and challenges each lesson has, by its number such as "03"."""
    written = "".join(path.read_text(encoding="utf-8") for path in (repository / "notebooks").glob("*.py"))
    names = {name for _, name in re.findall(r'\b(guess|check|detective)\(\s*"(\d\d\.\w+)"', written)}
    return Counter([name[:2] for name in names] + ["03", "06", "07"])  # with a challenge in the playground


def cards(repository: Path) -> str:
    """The map of the lessons: what each asks, how long it takes, and which lessons it needs.

    ``static/progress.js`` fills a lesson's number with the colour of its expert as far as the reader has done it.
    """
    of, items = to_do(repository), []
    for lesson in lessons(repository):
        after = f" · after {' and '.join(name[:2] for name in lesson.needs)}" if lesson.needs else ""
        number, title = lesson.lesson.title.split(" ", 1)
        badge = f'<span class="moe-lesson" data-of="{of[number]}" style="{_dye(int(number))}">{number}</span>'
        items.append(
            f'<li><a href="{lesson.lesson.name}.html"><b>{badge} {escape(title)}</b>'
            f"<small>{lesson.lesson.minutes} min{after}</small><span>{escape(lesson.asks)}</span></a></li>"
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
    """``{hero}``: the site's own GPT, in a sentence that types itself. It loads like a lesson's widget."""

    def html(self, repository: Path) -> str:
        """The widget's placeholder: a still that says the same."""
        gpt, dares = trained_gpt(repository)
        title = "A small GPT that has read manuals, code and sums"
        state = live_gpt(gpt, dares[0].text, title=title, dares=dares, link=True).get_state()
        buffers = [{"path": ["weights"], "data": base64.b64encode(state.pop("weights")).decode()}]
        model = {"model_module": "anywidget", "state": state, "buffers": buffers}
        css = read("web/widget.css") + read("web/widgets/live_gpt.css")  # so that the still is there at the first paint
        still = f"<style>{css}</style>{drawn(gpt, dares[0])}"
        return place(model, still, repository / "_build/assets" / FOLDER)


def answers(gpt: GPT, text: str) -> list[list[list[int]]]:
    """The experts that each layer asks for each character, best first, with the weights that the page computes with."""
    with torch.no_grad():
        return [routing.indices.tolist() for routing in dequantised(gpt)(encode(text)[None])[2]]


def drawn(gpt: GPT, dare: Dare) -> str:
    """What ``live_gpt.js`` draws of a dare, as HTML that stands still. ``later``: what JavaScript writes by itself."""
    text, asked = dare.text, answers(gpt, dare.text)
    E, n, one = gpt.config.n_experts, letters(dare.right), len(dare.experts) == 1
    opening = f"{'One' if one else 'Two'} of these sixteen experts it cannot do without. "
    opening += "Which? Press it." if one else "Press one of them."
    later = text.find(" ", len(text) // 4) + 1 or len(text)
    cells = "".join(
        f'<span class="moe-live-cell moe-live-u0{" moe-live-later" if i >= later else ""}" data-e="{e}" '
        f'data-mark="{c.translate(MARKS) if c.isspace() else ""}" style="{_dye(e)}">{escape(c)}</span>'
        for i, (c, (e, *_)) in enumerate(zip(text, asked[0], strict=True))
    )
    layers = "".join(
        f'<div class="moe-live-layer"><label><span>Layer {b}</span></label><div>{_tiles(text, experts, E)}</div></div>'
        for b, experts in enumerate(asked, start=1)
    )
    said = ", ".join(f"{'space' if c == ' ' else c} {e}" for c, (e, *_) in zip(text, asked[0], strict=True))
    return (
        '<div class="moe-root"><div class="moe-widget moe-still">'
        '<p class="moe-kicker">A small GPT that has never read this sentence</p>'
        f'<p class="moe-title moe-live-title">{opening}</p><p class="moe-live-rule">One expert at a time. It is broken '
        f"when {(n + 1) // 2} of the {n} letters that it writes next are wrong.</p>"
        '<div class="moe-live"><div class="moe-live-head"><p class="moe-note">In each layer, a router sends '
        "each character to one of eight small networks, the experts. Below each letter: its expert in layer 1. Each "
        "box is an expert, with letters that ask it. Typing takes JavaScript.</p></div>"
        '<div class="moe-live-line" role="img" '
        f'aria-label="A sentence, and the expert of each character: {escape(said)}">'
        f'<div class="moe-live-cells">{cells}</div></div>'
        f'<div class="moe-live-layers" style="--columns:{min(E, 8)}">{layers}</div><div class="moe-live-two">'
        f"{_goes('With all sixteen', text, dare.right, f'✓ as in {dare.source}')}"
        f"{_goes('Without one of them', text, '?' * len(dare.right), '')}</div>"
        '<div class="moe-live-score"></div></div></div></div>'
    )


def _goes(who: str, text: str, words: str, remark: str) -> str:
    begun = re.search(r"\w{0,6}$", text)[0]
    letters = "".join(f'<span class="moe-live-begun moe-live-later">{c}</span>' for c in begun)
    letters += "".join(f'<span class="moe-live-later">{escape(c.translate(MARKS))}</span>' for c in words)
    later = ' class="moe-live-later"' if remark else ""
    return (
        f'<div class="moe-live-goes{"" if remark else " moe-muted"}"><span>{who}</span>'
        f'<p class="moe-mono" role="img" aria-label="{escape(begun + words)}">{letters}</p>'
        f"<small{later}>{remark}</small></div>"
    )


def _dye(expert: int) -> str:
    return f"--c:var(--moe-e{expert});--o:var(--moe-on{expert});--t:var(--moe-t{expert})"


def _tiles(text: str, experts: list[list[int]], n_experts: int) -> str:
    """One layer's experts, each with the characters that ask it most often."""
    often = [Counter(c for c, chosen in zip(text, experts, strict=True) if e in chosen) for e in range(n_experts)]
    return "".join(
        f'<span class="moe-live-tile moe-live-u0" style="{_dye(e)}"><b>{e}</b><span class="moe-mono">'
        f"{escape(' '.join(c.translate(MARKS) for c, _ in counts.most_common(4)))}</span></span>"
        for e, counts in enumerate(often)
    )


class Run(HtmlDirective):
    """``{run}``: README's commands, and buttons for Binder and Colab if the course's address is known."""

    def html(self, repository: Path) -> str:
        """The commands as a block of code, and the buttons below it."""
        course, fetch, places = course_address(repository), "# in the course's folder", {}
        if course:
            fetch = f"git clone {course}.git\ncd {course.rsplit('/', 1)[1]}"
            places = {"Open in Binder": binder(course, FIRST), "Open in Colab": colab(course, FIRST)}
        elif (repository / "_build/assets/moe/course.zip").exists():
            places = {"Download the course": "_static/moe/course.zip"}
        buttons = "".join(f'<a href="{escape(at)}">{words}</a>' for words, at in places.items())
        code = escape(f"{fetch}\nmake lab    # opens your copy in JupyterLab")
        shown = f'<div class="highlight-sh"><div class="highlight"><pre>{code}</pre></div></div>'
        return f'{shown}<p class="moe-run">{buttons}</p>'


def link_run(app: Sphinx, doctree: nodes.document) -> None:
    """Let each lesson say below its first paragraph how it can be run."""
    if app.env.docname[0].isdigit():
        first = next(iter(doctree.findall(nodes.paragraph)))
        link = nodes.reference("", "Run it yourself", refuri=f"index.html#{ANCHOR}", internal=True)
        first.parent.insert(first.parent.index(first) + 1, nodes.paragraph("", "", link, classes=["moe-run"]))


class Measured(HtmlDirective):
    """``{measured}``: how many claims, runs and false beliefs there are, and one belief as a question."""

    def html(self, repository: Path) -> str:
        """A paragraph with the numbers, then the belief with its figure."""
        found = [claim for lesson in measured(repository) for claim in lesson.claims]
        runs = sum(claim.n_seeds for claim in found if not claim.timed)
        refuted = {claim.id: claim for claim in found if claim.refutes}
        return (
            f'<p class="moe-measured"><a href="claims.html"><b>{len(found)}</b> claims</a>, measured when this site '
            f"was built, in {runs:,} runs from different seeds, each with a control that has to fail. "
            f"<b>{len(refuted)}</b> beliefs turned out false. Is this one true?</p>{belief(refuted[BELIEF])}"
        )


def belief(claim: Claim) -> str:
    """A belief that a claim refutes, as a question: either answer shows what was measured (``site.css``)."""
    by_chance = distinct_experts(8, 2, 8)  # as in lesson 10
    asked, control = (by_chance - found.mean for found in (claim.measured, claim.control))
    return (
        f'<fieldset class="moe-belief"><legend><q>{escape(claim.refutes)}</q></legend>'
        '<label><input type="radio" name="belief">True</label> <label><input type="radio" name="belief">False</label>'
        f"<p><span>No: it is false.</span><span>Right: it is false.</span> {FOUND.format(asked, by_chance)}. "
        f"The control, {escape(claim.control_is)}: {control:.1f}. "
        f'<a href="claims.html#{anchor(claim)}">How it was measured</a></p></fieldset>'
    )
